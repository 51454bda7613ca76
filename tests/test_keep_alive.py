"""Comments that keep a silent stream's connections open: they commit the status, and nothing of the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import openai
import pytest

from gateway.api.chat import KEEP_ALIVE
from gateway.story import Story
from gateway.testing.acts import Act, Send, Wait
from gateway.testing.clock import HandWoundLoop
from gateway.testing.faults import InBandError
from gateway.testing.prompt import Prompt
from gateway.testing.script import Script
from gateway.types import Cooling
from gateway.upstream.delivery import Delivery
from tests.gateway import BODY, against
from tests.make import world

SHORT = "reliability: {keep_alive: 50ms}\n"
COMMENT = KEEP_ALIVE.decode()


class LateError:
    """The head comes at once, an error instead of content after a while."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in InBandError().rewrite(acts, prompt):
            if isinstance(act, Send) and b'"error"' in act.data:
                yield Wait(0.15)
            yield act


# --- on real sockets ------------------------------------------------------------------------------------------------


async def test_a_comment_commits_the_status_but_another_may_still_make_everything_good() -> None:
    async with against(SHORT) as (gateway, provider):
        provider.script("a", Script(fault=LateError()))
        provider.script("b", Script(text="one two"))
        response = await gateway.chat({**BODY, "stream": True})
        (record,) = await gateway.settled(1)
    assert response.text.startswith(COMMENT)
    assert response.text.endswith("data: [DONE]\n\n")
    assert contents(response.text) == "one two"
    assert (record.deployment, record.outcome, record.status) == ("b", "fallback_ok", 200)


async def test_the_head_that_a_comment_began_does_not_say_who_will_serve_but_the_last_comment_does() -> None:
    async with against(SHORT) as (gateway, provider):
        provider.script("a", Script(fault=LateError()))
        response = await gateway.chat({**BODY, "stream": True})
    said = {name for name in response.headers if name.startswith("x-gateway")}
    assert said == {"x-gateway-decision-id", "x-gateway-attempts"}
    assert '"routed_model":"b"}' in response.text


async def test_an_error_after_a_comment_comes_within_the_stream() -> None:
    config = SHORT + "routes: [{name: r, policy: {pool: [a], timeout: 200ms}}]"
    async with against(config) as (gateway, provider), gateway.sdk() as client:
        provider.script("a", Script(fault="silence"))
        response = await gateway.chat({**BODY, "stream": True})
        *comments, error, end = response.text.split("\n\n")
        assert (response.status_code, set(comments), end) == (200, {COMMENT.strip()}, "")
        assert json.loads(error.removeprefix("data: "))["error"]["code"] == "upstream_timeout"
        with pytest.raises(openai.APIError):
            _ = [c async for c in await client.chat.completions.create(**BODY, stream=True)]


async def test_what_is_decided_on_anew_after_a_comment_goes_on_with_the_same_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All that was waited for has come to be left alone meanwhile."""
    async with against(SHORT + "routes: [{name: r, policy: {pool: [a]}}]") as (gateway, provider):
        provider.script("a", Script(text="one two"))
        health = gateway.app.health
        leave, cooling = health.leave, health.cooling
        monkeypatch.setattr(health, "cooling", lambda features, now, tenant: {"a": Cooling(now + 0.2, "rate")})

        def not_yet(*asked: Any) -> Any:
            monkeypatch.setattr(health, "leave", leave)
            monkeypatch.setattr(health, "cooling", cooling)

        monkeypatch.setattr(health, "leave", not_yet)
        response = await gateway.chat({**BODY, "stream": True})
        (record,) = await gateway.settled(1)
    assert response.text.startswith(COMMENT)
    assert (contents(response.text), record.outcome) == ("one two", "ok")


async def test_an_answer_that_comes_in_time_has_no_comment() -> None:
    async with against() as (gateway, _):
        assert COMMENT not in (await gateway.chat({**BODY, "stream": True})).text


def contents(text: str) -> str:
    chunks = [json.loads(e.removeprefix("data: ")) for e in text.split("\n\n") if e.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


# --- by the clock ---------------------------------------------------------------------------------------------------


class SlowClient:
    """A client that takes what it is sent only while its gate is open; ``got`` is what it took, in order."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.got: list[bytes] = []
        self.started = False

    async def begin(self, story: Story) -> None:
        await self.gate.wait()
        self.got.append(b"head")
        self.started = True

    async def write(self, data: bytes, dialect: str) -> None:
        await self.gate.wait()
        self.got.append(data)

    def push(self, data: bytes, dialect: str) -> bool:
        return False

    async def keep_alive(self) -> None:
        await self.write(KEEP_ALIVE, "openai")


def by_the_clock(play: Callable[[HandWoundLoop, SlowClient, Delivery], Awaitable[None]]) -> None:
    async def played() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HandWoundLoop)
        client = SlowClient()
        story = Story("1" * 32, 1000.0, loop.clock(), world())
        await play(loop, client, Delivery(client, story, loop.clock, 15.0))

    with asyncio.Runner(loop_factory=HandWoundLoop) as runner:
        runner.run(played())


def test_a_comment_goes_out_after_every_fifteen_silent_seconds_and_none_after_the_end() -> None:
    async def play(loop: HandWoundLoop, client: SlowClient, delivery: Delivery) -> None:
        await loop.turn(14.9)
        assert client.got == []
        await loop.turn(0.2)
        assert (client.got, delivery.begun, delivery.committed) == ([b"head", KEEP_ALIVE], True, False)
        await loop.turn(10)
        await delivery.write(b"one", "openai")
        await loop.turn(14)
        assert client.got[2:] == [b"one"]
        await loop.turn(2)
        await delivery.close()
        await loop.turn(100)
        assert client.got[2:] == [b"one", KEEP_ALIVE]

    by_the_clock(play)


def test_content_waits_for_a_comment_that_a_slow_client_has_not_taken_and_the_head_goes_out_once() -> None:
    async def play(loop: HandWoundLoop, client: SlowClient, delivery: Delivery) -> None:
        client.gate.clear()
        await loop.turn(16)
        writing = loop.create_task(delivery.write(b"one", "openai"))
        await loop.turn(40)
        assert client.got == []
        client.gate.set()
        await writing
        assert client.got == [b"head", KEEP_ALIVE, b"one"]

    by_the_clock(play)


def test_no_comment_goes_out_while_content_waits_for_a_slow_client() -> None:
    async def play(loop: HandWoundLoop, client: SlowClient, delivery: Delivery) -> None:
        client.gate.clear()
        writing = loop.create_task(delivery.write(b"one", "openai"))
        await loop.turn(40)
        client.gate.set()
        await writing
        await delivery.close()
        assert client.got == [b"head", b"one"]

    by_the_clock(play)


def test_the_end_waits_for_a_comment_under_way_since_nothing_may_follow_it() -> None:
    async def play(loop: HandWoundLoop, client: SlowClient, delivery: Delivery) -> None:
        client.gate.clear()
        await loop.turn(16)
        closing = loop.create_task(delivery.close())
        await loop.turn(1)
        assert not closing.done()
        client.gate.set()
        await closing
        assert client.got == [b"head", KEEP_ALIVE]

    by_the_clock(play)


def test_a_client_that_leaves_while_content_waits_behind_a_comment_ends_both() -> None:
    async def play(loop: HandWoundLoop, client: SlowClient, delivery: Delivery) -> None:
        client.gate.clear()
        await loop.turn(16)
        writing = loop.create_task(delivery.write(b"one", "openai"))
        await loop.turn(1)
        writing.cancel()
        await asyncio.wait({writing})
        await delivery.close()
        client.gate.set()
        await loop.turn(1)
        assert (client.got, delivery.begun) == ([], False)

    by_the_clock(play)
