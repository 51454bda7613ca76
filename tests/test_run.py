"""The loop around provider calls: its deadlines, what it pays back to the pool, and what it says of time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gateway.config.load import load_text
from gateway.testing.acts import Act, End, Wait
from gateway.testing.faults import NoEnd
from gateway.testing.prompt import Prompt
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from tests.gateway import BODY, against, serving


class LateEnd:
    """The end of the body lags behind its last event, as it does over TLS."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in acts:
            if isinstance(act, End):
                yield Wait(0.05)
            yield act


async def test_a_stream_whose_end_lags_behind_its_last_event_gives_its_connection_back() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault=LateEnd(), text="one two"))
        for n in range(3):
            assert (await gateway.chat({**BODY, "stream": True})).text.endswith("data: [DONE]\n\n")
            await provider.requests[n].over()
        assert provider.accepted == 1


async def test_the_finish_of_an_answer_without_content_goes_out_though_its_done_comes_later() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault=NoEnd(0.05), text=""))
        text = (await gateway.chat({**BODY, "stream": True})).text
        assert (text.count('"role":"assistant"'), text.count('"finish_reason":"stop"')) == (1, 1)
        assert text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_slow_first_try_gets_a_second_one_beside_it_after_the_time_that_is_configured(stream: bool) -> None:
    hedge = "routes: [{name: r, policy: {pool: [a, b], hedge: {after: 50ms, extra: 1}}}]"
    async with against(hedge) as (gateway, provider):
        provider.script("a", Script(fault="silence"))
        answer = await gateway.chat({**BODY, "stream": stream})
        await provider.asked("a")[0].over()
        (record,) = await gateway.settled(1)
        assert (answer.status_code, len(provider.asked("b"))) == (200, 1)
        assert provider.asked("a")[0].left_at is not None
        assert sorted((a.deployment, a.cancelled) for a in record.attempts) == [("a", True), ("b", False)]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_deadline_of_a_route_holds_while_a_provider_is_silent(stream: bool) -> None:
    async with against("routes: [{name: r, policy: {pool: [a], timeout: 300ms}}]") as (gateway, provider):
        provider.script("a", Script(fault="silence"))
        asked_at = time.monotonic()
        response = await gateway.chat({**BODY, "stream": stream})
        assert time.monotonic() - asked_at < 3
        assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")


async def test_one_attempt_may_not_take_longer_than_its_own_total() -> None:
    async with SimulatedProvider(Script(words=300, pace=Pace(0, 0.02))) as provider:
        timeouts = "{connect: 100ms, first_byte: 300ms, stall: 300ms, total: 300ms}"
        config = (
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true,"
            f" timeouts: {timeouts}}}}}\n"
            "deployments: {a: {provider: sim, model: a}}"
        )
        async with serving(load_text(config, {})) as gateway:
            text = (await gateway.chat({**BODY, "stream": True})).text
            (record,) = await gateway.settled(1)
        assert '"code":"upstream_stalled"' in text
        assert "[DONE]" not in text
        assert (record.outcome, record.total_s < 3) == ("timeout", True)


async def test_an_answer_that_was_no_good_is_not_where_the_gateways_own_time_begins() -> None:
    config = "routes: [{name: r, policy: {pool: [a], fallback: [b], timeout: 400ms}}]"
    async with against(config) as (gateway, provider):
        provider.script("a", Script(fault="html"))
        provider.script("b", Script(fault="silence"))
        await gateway.chat()
        (record,) = await gateway.settled(1)
        assert [a.failure and a.failure.kind for a in record.attempts] == ["garbage", "garbage", "silent"]
        assert record.overhead_s < 0.2 < record.total_s


async def test_nobody_waits_for_a_retry_of_what_the_failure_itself_has_shut() -> None:
    config = (
        "routes: [{name: r, policy: {pool: [a], fallback: [b], retry: {base: 60s, cap: 60s}}}]\n"
        "reliability: {breaker: {min_failures: 1}}"
    )
    async with against(config) as (gateway, provider):
        for model in ("a", "b"):
            provider.script(model, Script(fault="overloaded"))
        asked_at = time.monotonic()
        response = await gateway.chat()
        assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_overloaded")
        assert time.monotonic() - asked_at < 3
        assert [request.model for request in provider.requests] == ["a", "b"]


@pytest.mark.parametrize(
    ("header", "stream"),
    [("x-request-timeout", False), ("x-request-timeout", True), ("x-stainless-read-timeout", False)],
)
async def test_no_try_goes_on_beyond_the_callers_own_patience(header: str, stream: bool) -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault="silence"))
        response = await gateway.chat({**BODY, "stream": stream}, **{header: "0.2"})
        assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")
        (record,) = await gateway.settled(1)
        assert [a.deployment for a in record.attempts] == ["a"]
        assert record.total_s < 2
