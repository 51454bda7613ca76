"""The simulated provider on real sockets: answers, scripts, and each fault as a client meets it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx2
import openai
import pytest

from gateway.testing.faults import FAULTS, Cut, InBandError, Silence, SlowFirstToken, Stall
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from tests.testing.asking import body, events, provider, valid

FORTY = " ".join(f"w{n}" for n in range(60))


async def test_an_openai_client_is_served() -> None:
    async with provider() as (simulated, _):
        client = openai.AsyncOpenAI(base_url=simulated.url, api_key="sk-test")
        async with client:
            made = await client.chat.completions.create(**body("Hello?"))
            pieces = [
                chunk.choices[0].delta.content or ""
                async for chunk in await client.chat.completions.create(**body("Hello?", stream=True))
            ]
            models = [model.id async for model in client.models.list()]
    assert made.choices[0].message.content == "".join(pieces)
    assert made.usage is not None
    assert made.usage.completion_tokens == len(pieces) - 2
    assert models == ["m"]


async def test_requests_are_kept_with_what_they_brought() -> None:
    async with provider() as (simulated, client):
        await client.post("/chat/completions", json=body(), headers={"X-Team": "red"})
        (request,) = simulated.requests
        assert simulated.asked("m") == [request]
        assert simulated.asked("other") == []
    assert (request.method, request.path, request.model) == ("POST", "/v1/chat/completions", "m")
    assert (request.fields, request.headers["x-team"]) == (body(), "red")
    assert (request.left_at, request.ended_at is not None, request.connection) == (None, True, 1)


async def test_scripts_follow_one_another_and_then_the_default() -> None:
    once = Script(fault="overloaded", times=2)
    async with provider(once, Script(text="back", times=1)) as (_, client):
        got = [(await client.post("/chat/completions", json=body())) for _ in range(4)]
        other = await client.post("/chat/completions", json=body(model="other"))
    assert [answer.status_code for answer in (*got, other)] == [503, 503, 200, 200, 200]
    assert got[2].json()["choices"][0]["message"]["content"] == "back"
    assert got[3].json()["choices"] == other.json()["choices"]


async def test_a_script_can_last_for_a_time_instead_of_a_number() -> None:
    now = [100.0]
    async with SimulatedProvider(clock=lambda: now[0]) as simulated:
        simulated.script("*", Script(fault="server_error", lasts_s=60))
        async with httpx2.AsyncClient(base_url=simulated.url, trust_env=False) as client:
            statuses = []
            for at in (100.0, 159.0, 161.0):
                now[0] = at
                statuses.append((await client.post("/chat/completions", json=body())).status_code)
    assert statuses == [500, 500, 200]


async def test_a_header_or_the_models_name_selects_a_fault() -> None:
    async with provider() as (_, client):
        by_header = await client.post("/chat/completions", json=body(), headers={"x-sim-fault": "context"})
        by_name = await client.post("/chat/completions", json=body(model="gpt@rate_limited"))
        alone = await client.post("/chat/completions", json=body(model="unauthorized"))
        unknown = await client.post("/chat/completions", json=body(), headers={"x-sim-fault": "gremlins"})
        dated = await client.post("/chat/completions", json=body(model="model@20250514"))
    assert (by_header.status_code, by_header.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert (by_name.status_code, by_name.headers["retry-after"]) == (429, "2")
    assert (alone.status_code, dated.status_code, unknown.status_code) == (401, 200, 400)
    assert "no fault is called 'gremlins'" in unknown.json()["error"]["message"]


async def test_an_unknown_fault_is_refused_when_it_is_scripted() -> None:
    with pytest.raises(ValueError, match="no fault is called 'gremlins'; there are: bad_gateway"):
        SimulatedProvider().script("m", Script(fault="gremlins"))


REFUSALS = {
    "rate_limited": 429,
    "rate_limited_bare": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    "overloaded": 503,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "context": 400,
    "filter": 400,
    "invalid_request": 400,
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals_are_openais_errors(name: str) -> None:
    async with provider(Script(fault=name)) as (_, client):
        got = await client.post("/chat/completions", json=body(stream=True))
    assert got.status_code == REFUSALS[name]
    assert valid("ErrorResponse", got.json())


async def text_of(client: httpx2.AsyncClient, **fields: Any) -> tuple[str, type[Exception] | None]:
    """What arrived of an answer, and how it ended."""
    got = ""
    try:
        async with client.stream("POST", "/chat/completions", json=body(**fields)) as response:
            async for piece in response.aiter_raw():
                got += piece.decode(errors="replace")
    except httpx2.TransportError as error:
        return got, type(error)
    return got, None


def content(text: str) -> str:
    chunks = [c for c in events(text) if c != "[DONE]" and "choices" in c]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def test_a_cut_stream_ends_after_so_many_tokens_and_without_its_last_chunk() -> None:
    async with provider(Script(text=FORTY, fault="cut")) as (simulated, client):
        text, ended = await text_of(client, stream=True)
    assert (content(text).split(), ended) == (FORTY.split()[:40], httpx2.RemoteProtocolError)
    assert simulated.requests[0].left_at is None


async def test_a_cut_json_answer_is_half_of_what_was_declared() -> None:
    async with provider(Script(text=FORTY, fault="cut")) as (simulated, client):
        text, ended = await text_of(client)
    assert ended is httpx2.RemoteProtocolError
    assert len(text) == simulated.requests[0].sent > 100


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reset_is_a_reset(stream: bool) -> None:
    async with provider(Script(fault="reset", times=1), Script(fault=Cut(3, reset=True))) as (_, client):
        before = await text_of(client, stream=stream)
        midway = await text_of(client, stream=stream)
    assert before == ("", httpx2.ReadError)
    assert midway[1] is httpx2.ReadError


async def test_a_reset_reaches_the_socket_as_rst() -> None:
    async with provider(Script(fault="reset")) as (simulated, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", simulated.port)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 27\r\n\r\n"
        writer.write(head + b'{"model":"m","messages":[]}')
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_hanging_up_is_an_ordinary_close_without_an_answer() -> None:
    async with provider(Script(fault="hang_up")) as (_, client):
        assert await text_of(client) == ("", httpx2.RemoteProtocolError)


@pytest.mark.parametrize("fault", [Silence(), Stall(after=3)])
async def test_silence_lasts_until_the_client_leaves(fault: Silence | Stall) -> None:
    async with provider(Script(text=FORTY, fault=fault)) as (simulated, client):
        client.timeout = httpx2.Timeout(0.1)
        text, ended = await text_of(client, stream=True)
        request = simulated.requests[0]
        await request.over()
    assert (content(text).split(), ended) == (FORTY.split()[:3] * isinstance(fault, Stall), httpx2.ReadTimeout)
    assert request.ended_at is None
    assert request.left_at is not None
    assert 0.08 < request.left_at - request.at < 2
    assert "client left after" in repr(request)


async def test_a_slow_first_token_comes_after_the_head() -> None:
    async with provider(Script(fault=SlowFirstToken(0.15))) as (_, client):
        started = time.monotonic()
        async with client.stream("POST", "/chat/completions", json=body(stream=True)) as response:
            pieces = response.aiter_text()
            head, head_s = await anext(pieces), time.monotonic() - started
            rest = [piece async for piece in pieces]
    assert (content(head), response.status_code) == ("", 200)
    assert head_s < 0.15 <= time.monotonic() - started
    assert content("".join(rest))


async def test_an_invalid_event_stands_among_good_ones() -> None:
    async with provider(Script(text=FORTY, fault="invalid_event")) as (_, client):
        text, ended = await text_of(client, stream=True)
        whole, _ = await text_of(client)
    parts = text.split("\n\n")
    assert parts[10] == 'data: {"id":"chatcmpl-sim","object":"chat.compl'
    del parts[10]
    assert (content("\n\n".join(parts)), ended) == (FORTY, None)
    assert whole.endswith("} ")


async def test_a_stream_can_lack_its_done_or_its_finish() -> None:
    async with provider(Script(fault="no_done", times=1), Script(fault="no_finish")) as (_, client):
        no_done = events((await text_of(client, stream=True))[0])
        no_finish = events((await text_of(client, stream=True))[0])
        whole = (await client.post("/chat/completions", json=body())).json()
    assert no_done[-1]["choices"][0]["finish_reason"] == "stop"
    assert no_finish[-1] == "[DONE]"
    assert {choice["finish_reason"] for chunk in no_finish[:-1] for choice in chunk["choices"]} == {None}
    assert whole["choices"][0]["finish_reason"] is None


async def test_an_error_in_band_comes_with_status_200() -> None:
    faults = [Script(text=FORTY, fault=InBandError(after), times=1) for after in (0, 10)]
    async with provider(*faults, Script(fault="in_band_error")) as (_, client):
        first = events((await text_of(client, stream=True))[0])
        midway = (await text_of(client, stream=True))[0]
        whole = await client.post("/chat/completions", json=body())
    assert (len(first), first[-1]["error"]["type"]) == (2, "server_error")
    assert content(midway).split() == FORTY.split()[:10]
    assert events(midway)[-1] == first[-1] == whole.json()
    assert whole.status_code == 200


async def test_an_oversized_event_is_one_line_of_two_mebibytes() -> None:
    async with provider(Script(fault="oversized_event")) as (_, client):
        text, ended = await text_of(client, stream=True)
    assert max(map(len, text.split("\n"))) > 2 * 1024 * 1024
    assert ended is None
    assert text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_an_unasked_encoding_is_declared_and_real(stream: bool) -> None:
    async with provider(Script(text=FORTY, fault="wrong_encoding")) as (_, client):
        got = await client.post("/chat/completions", json=body(stream=stream))
    assert got.headers["content-encoding"] == "gzip"
    assert content(got.text) == FORTY if stream else got.json()["choices"][0]["message"]["content"] == FORTY


async def test_prefill_is_refused_only_where_there_is_one() -> None:
    begun = [*body()["messages"], {"role": "assistant", "content": "So"}]
    async with provider(Script(fault="prefill_refused")) as (_, client):
        statuses = [
            (await client.post("/chat/completions", json=fields)).status_code
            for fields in (body(), body(messages=begun))
        ]
    assert statuses == [200, 400]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_the_provider_is_well_again_after_every_fault(name: str, stream: bool) -> None:
    async with provider(Script(text=FORTY, fault=name, times=1)) as (_, client):
        client.timeout = httpx2.Timeout(0.05)
        await text_of(client, stream=stream)
        client.timeout = httpx2.Timeout(5)
        assert (await client.post("/chat/completions", json=body())).status_code == 200


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with provider(Script(text="first", pace=Pace(0.05), times=1), Script(text="second")) as (simulated, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", simulated.port)
        one = b'POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 27\r\n\r\n{"model":"m","messages":[]}'
        writer.write(one * 50)
        await asyncio.sleep(0)
        got = b""
        while got.count(b"HTTP/1.1 200") < 50 or not got.endswith(b"}"):
            got += await reader.read(65536)
        writer.close()
        await writer.wait_closed()
    assert (got.count(b'"first"'), got.count(b'"second"')) == (1, 49)
    assert got.index(b'"first"') < got.index(b'"second"')


async def test_addresses_and_methods_it_does_not_know_are_404() -> None:
    async with provider() as (_, client):
        assert (await client.get("/chat/completions")).status_code == 404
        assert (await client.post("/chat/completions", content=b"{")).status_code == 400
        assert valid("ListModelsResponse", (await client.get("/models")).json())


async def test_stopping_breaks_off_what_is_under_way() -> None:
    async with provider(Script(fault="silence")) as (simulated, client):
        task = asyncio.create_task(text_of(client))
        while not simulated.requests:
            await asyncio.sleep(0)
        assert repr(simulated).endswith("1 requests, 1 connections open)")
        await simulated.stop()
        assert (await task)[1] in (httpx2.RemoteProtocolError, httpx2.ReadError)
    with pytest.raises(RuntimeError, match="not started"):
        _ = simulated.port
