"""Clients that want a whole answer are served from a stream: a silent provider is noticed, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.config.load import load_text
from gateway.testing.acts import Act, End, Head, Send, Wait
from gateway.testing.faults import Refuse, Silence, refusal
from gateway.testing.prompt import Prompt
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from gateway.types import Usage
from tests.gateway import BODY, Running, serving

TIMEOUTS = "{first_token: 150ms, stall: 300ms, no_content: 400ms, first_byte: 5s}"


class RefusesStreams:
    """Streams are refused in these words; whole answers come."""

    def __init__(self, message: str, param: str | None = None) -> None:
        self.refusal = refusal(400, "invalid_request_error", None, message, param=param)

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        return self.refusal.rewrite(acts, prompt) if prompt.stream else acts


class Plain:
    """A whole answer, whatever was asked for: its head at once, its body after so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        message = {"role": "assistant", "content": "plain", "refusal": None}
        body = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": prompt.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        }
        yield Head(200, (("content-type", "application/json"),))
        yield Wait(self.seconds)
        yield Send(json.dumps(body).encode())
        yield End()


class PingsAfterFinish:
    """All but ``[DONE]`` comes; then comments, for ever."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in acts:
            if isinstance(act, Send) and act.part == "done":
                while True:
                    yield Wait(0.3)
                    yield Send(b": ping\n\n")
            yield act


@asynccontextmanager
async def streaming(more: str = "", account: str = "") -> AsyncIterator[tuple[Running, SimulatedProvider]]:
    """A gateway before a provider whose streams say all, as OpenAI's do; ``a`` before ``b``."""
    async with SimulatedProvider() as provider:
        text = (
            f"providers: {{sim: {{kind: openai, base_url: {provider.url}, allow_private: true, api_key: k,"
            f" timeouts: {TIMEOUTS}, {account}}}}}\n"
            "deployments:\n"
            "  a: {provider: sim, model: a, price: {input: 1, output: 2}}\n"
            "  b: {provider: sim, model: b, price: {input: 1, output: 2}}\n"
            f"{more}\n"
        )
        async with serving(load_text(text, {})) as gateway:
            yield gateway, provider


def streams(provider: SimulatedProvider, model: str = "a") -> list[bool]:
    return [bool(r.fields.get("stream")) for r in provider.asked(model)]


async def test_a_whole_answer_is_made_of_a_stream_with_its_usage() -> None:
    async with streaming() as (gateway, provider), gateway.sdk() as client:
        provider.script("a", Script(text="one two", usage=Usage(11, 7, reasoning=3)))
        answer = await client.chat.completions.create(**BODY)
        (record,) = await gateway.settled(1)
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("one two", "stop")
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 7)
        assert (record.usage, record.cost, streams(provider)) == (Usage(11, 7, reasoning=3), 25, [True])
        assert provider.requests[0].fields["stream_options"] == {"include_usage": True}


async def test_it_asks_as_the_client_did_where_that_is_configured() -> None:
    async with streaming("upstream: {stream: as_client}") as (gateway, provider):
        assert (await gateway.chat()).status_code == 200
        assert streams(provider) == [False]


@pytest.mark.parametrize(
    ("fault", "kind"), [("silence", "silent"), ("role_only", "silent"), ("stall", "stall"), ("cut", "truncated")]
)
async def test_who_wants_a_whole_answer_has_the_patience_of_a_stream(fault: str, kind: str) -> None:
    async with streaming() as (gateway, provider):
        provider.script("a", Script(fault=fault, words=50, times=1))
        asked_at = time.monotonic()
        response = await gateway.chat()
        assert time.monotonic() - asked_at < 2
        (record,) = await gateway.settled(1)
        assert response.status_code == 200
        assert [a.failure and a.failure.kind for a in record.attempts] == [kind, None]
        assert record.overhead_s < 0.3


async def test_the_time_that_a_broken_answer_took_is_not_the_gateways_own() -> None:
    async with streaming("routes: [{name: r, policy: {pool: [a]}}]") as (gateway, provider):
        provider.script("a", Script(fault="stall", words=50))
        assert (await gateway.chat()).status_code == 504
        (record,) = await gateway.settled(1)
        assert record.total_s > 0.2 > record.overhead_s


@pytest.mark.parametrize(
    "fault",
    [
        RefusesStreams("Unsupported value: 'stream' does not support true with this model.", "stream"),
        RefusesStreams("Streaming is not available for this model."),
    ],
)
async def test_who_refuses_to_stream_is_asked_for_a_whole_answer_in_the_same_try_and_from_then_on(fault: Any) -> None:
    async with streaming() as (gateway, provider):
        provider.script("a", Script(fault=fault, text="whole"))
        for _ in range(2):
            response = await gateway.chat()
            assert (response.json()["choices"][0]["message"]["content"], response.headers["x-gateway-attempts"]) == (
                "whole",
                "1",
            )
        assert streams(provider) == [True, False, False]
        first, _ = await gateway.settled(2)
        assert [(a.status, a.failure) for a in first.attempts] == [(200, None)]


async def test_a_refusal_that_is_not_about_the_stream_teaches_nothing() -> None:
    async with streaming() as (gateway, provider):
        provider.script("a", Script(fault=RefusesStreams("The upstream model refused a parameter."), times=1), Script())
        assert (await gateway.chat()).status_code == 400
        assert (await gateway.chat()).status_code == 200
        assert streams(provider) == [True, True]


async def test_a_request_that_is_refused_either_way_teaches_nothing_either() -> None:
    wrong = Script(fault=Refuse(400, refusal(400, "x", None, "stream and tools do not mix").body), times=2)
    async with streaming() as (gateway, provider):
        provider.script("a", wrong, Script())
        assert (await gateway.chat()).status_code == 400
        assert (await gateway.chat()).status_code == 200
        assert streams(provider) == [True, False, True]


async def test_who_answers_whole_whatever_is_asked_has_the_time_that_a_whole_answer_takes() -> None:
    async with streaming() as (gateway, provider):
        provider.script("a", Script(fault=Plain(0.22)))
        for _ in range(2):
            assert (await gateway.chat()).json()["choices"][0]["message"]["content"] == "plain"
        assert streams(provider) == [True, False]
        assert [r.usage for r in await gateway.settled(2)] == [Usage(3, 1)] * 2


@pytest.mark.parametrize("stream", [False, True])
async def test_comments_after_the_finish_reason_keep_nobody_waiting(stream: bool) -> None:
    async with streaming() as (gateway, provider):
        provider.script("a", Script(fault=PingsAfterFinish(), text="one"))
        asked_at = time.monotonic()
        response = await gateway.chat({**BODY, "stream": stream})
        assert response.status_code == 200
        assert time.monotonic() - asked_at < 3
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.usage is not None and record.usage.estimated) == ("ok", False)


async def test_a_client_that_leaves_ends_the_stream_that_its_answer_was_to_be_made_of() -> None:
    async with streaming() as (gateway, provider):
        provider.script("a", Script(words=500, pace=Pace(0, 0.01)))
        asking = asyncio.create_task(gateway.chat())
        while not provider.requests or not provider.requests[0].sent:
            await asyncio.sleep(0.005)
        left_at = time.monotonic()
        asking.cancel()
        (received,) = provider.requests
        await received.over(1.0)
        (record,) = await gateway.settled(1)
        assert received.left_at is not None
        assert received.left_at - left_at < 0.5
        assert (record.outcome, record.attempts[0].cancelled, record.usage is not None) == ("cancelled", True, True)


async def test_to_connect_and_to_wait_for_the_head_do_not_take_the_callers_time_twice() -> None:
    """The one connection that there may be is in use for a while; then the provider is silent."""
    async with streaming("upstream: {stream: as_client}", account="max_connections: 1") as (gateway, provider):
        provider.script("a", Script(fault=Silence(0.8), times=1), Script(fault=Silence(5)))
        first = asyncio.create_task(gateway.chat({**BODY, "model": "a"}))
        while not provider.requests:
            await asyncio.sleep(0.005)
        asked_at = time.monotonic()
        response = await gateway.chat({**BODY, "model": "a"}, **{"x-request-timeout": "1"})
        assert response.status_code == 504
        assert 0.9 < time.monotonic() - asked_at < 1.6
        first.cancel()
        await asyncio.wait({first})
