"""The simulated provider without a socket fails as it would over one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway.errors import ConnectFailed, Disconnected, ProtocolViolation, Timeout
from gateway.testing.clock import HandWoundLoop
from gateway.testing.script import Pace, Script, Scripts
from gateway.testing.transport import Simulated
from gateway.types import Endpoint, Timeouts, WireRequest
from gateway.upstream.transport import Transport
from tests.testing.asking import body, events
from tests.transport.asking import pieces

TEXT = " ".join(f"w{n}" for n in range(60))
ENDPOINT = Endpoint("http", "simulated", 80, "POST", "/v1/chat/completions")


def request(fault: str = "", **fields: Any) -> WireRequest:
    headers = ((b"x-sim-fault", fault.encode()),) if fault else ()
    return WireRequest(ENDPOINT, msgspec.json.encode(body(**fields)), headers)


def simulated(script: Script | None = None) -> Simulated:
    return Simulated(Scripts(script or Script(text=TEXT)))


async def taken(transport: Transport, asked: WireRequest) -> tuple[int, bytes]:
    response = await transport.send(asked, Timeouts())
    return response.status, await pieces(response, 30)


async def test_it_answers_as_the_server_does() -> None:
    status, whole = await taken(simulated(), request())
    assert (status, msgspec.json.decode(whole)["choices"][0]["message"]["content"]) == (200, TEXT)
    status, stream = await taken(simulated(), request(stream=True))
    assert (status, events(stream.decode())[-1]) == (200, "[DONE]")
    assert (await taken(simulated(), request("rate_limited")))[0] == 429


async def test_headers_are_lower_case_bytes_and_the_end_stays_the_end() -> None:
    response = await simulated().send(request(), Timeouts())
    assert response.headers[0] == (b"content-type", b"application/json")
    assert await pieces(response, 1)
    assert [await response.next(1), await response.next(1)] == [b"", b""]


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("reset", ConnectFailed, "http://simulated:80 reset the connection"),
        ("hang_up", Disconnected, "before it answered"),
        ("not_http", ProtocolViolation, "not HTTP"),
        ("wrong_encoding", ProtocolViolation, "content-encoding 'gzip'"),
        ("cut", Disconnected, "in the middle of its answer"),
        ("reset_midway", Disconnected, "in the middle of its answer"),
    ],
)
async def test_faults_are_the_errors_of_a_transport(fault: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        await taken(simulated(), request(fault, stream=True))


async def test_what_came_before_a_cut_is_handed_out_first() -> None:
    response = await simulated().send(request("cut", stream=True), Timeouts())
    assert b"w39" in await response.next(1)
    with pytest.raises(Disconnected):
        await response.next(1)


async def test_a_closed_response_gives_nothing_more() -> None:
    response = await simulated().send(request(), Timeouts())
    response.close()
    response.close()
    with pytest.raises(Disconnected):
        await response.next(1)


def on_a_hand_wound_loop(story: Callable[[HandWoundLoop], Awaitable[None]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HandWoundLoop)
        await story(loop)

    with asyncio.Runner(loop_factory=HandWoundLoop) as runner:
        runner.run(run())


@pytest.mark.parametrize(("fault", "phase", "limit"), [("silence", "first_byte", 300), ("stall", "stall", 30)])
def test_silence_is_a_timeout_of_its_phase(fault: str, phase: str, limit: float) -> None:
    async def story(loop: HandWoundLoop) -> None:
        task = asyncio.create_task(taken(simulated(), request(fault, stream=True)))
        await loop.turn(limit - 1)
        assert not task.done()
        await loop.turn(2)
        with pytest.raises(Timeout, match=f"sent nothing for {limit} s") as caught:
            await task
        assert caught.value.phase == phase

    on_a_hand_wound_loop(story)


def test_tokens_come_at_their_pace() -> None:
    async def story(loop: HandWoundLoop) -> None:
        transport = simulated(Script(text="a b c", pace=Pace(first_s=2, token_s=1)))
        response = await transport.send(request(stream=True), Timeouts())
        came: list[tuple[float, int]] = []

        async def read() -> None:
            while piece := await response.next(5):
                came.append((loop.time() - 1000, piece.count(b"\n\n")))

        task = asyncio.create_task(read())
        await loop.turn(10)
        await task
        assert came == [(0, 1), (2, 1), (3, 1), (4, 3)]

    on_a_hand_wound_loop(story)


async def test_the_waits_before_a_head_share_one_limit() -> None:
    with pytest.raises(Timeout) as caught:
        await simulated(Script(pace=Pace(first_s=0.2))).send(request(), Timeouts(first_byte=0.01))
    assert caught.value.phase == "first_byte"
