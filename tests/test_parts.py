"""What each try of a request was for: the record says it, and the story that is made of it."""

from __future__ import annotations

import pytest

from gateway.policy.explain import explain
from gateway.testing.faults import Cut
from gateway.testing.script import Pace, Script
from gateway.types import Attempt, Exchange
from tests.gateway import BODY, Running, against

TEXT = "one two three four five six seven eight nine ten"
STREAM = {**BODY, "stream": True}


def parts(record: Exchange) -> list[tuple[int, str, str, str | None]]:
    return [(a.n, a.deployment, a.part, a.failure.kind if a.failure else None) for a in record.attempts]


def tries(gateway: Running) -> list[str]:
    """The lines of the story about tries, without their times."""
    lines = [line for line in gateway.story().splitlines() if line.startswith("Try ")]
    return [line.split(" (")[0] + " … " + line.split("): ", 1)[1].split(" at ")[0] for line in lines]


async def test_a_second_try_at_the_same_deployment_is_a_retry_and_elsewhere_a_fallback() -> None:
    async with against("routes: [{name: r, policy: {pool: [a, b], retry: {base: 1ms}}}]") as (gateway, provider):
        provider.script("a", Script(fault="overloaded"))
        provider.script("b", Script(fault="overloaded", times=1), Script())
        await gateway.chat()
        (record,) = await gateway.settled(1)
        assert parts(record) == [
            (1, "a", "primary", "overloaded"),
            (2, "a", "retry", "overloaded"),
            (3, "b", "fallback", "overloaded"),
            (4, "b", "retry", None),
        ]


@pytest.mark.parametrize(
    ("rescue", "prefill", "part"), [("continue", "on", "continue"), ("splice", "off", "splice"), ("off", "on", None)]
)
async def test_a_broken_stream_tells_how_it_was_gone_on_with(rescue: str, prefill: str, part: str | None) -> None:
    config = (
        f"  c: {{provider: sim, model: c, prefill: {prefill}}}\n"
        f"routes: [{{name: r, policy: {{pool: [a], fallback: [c], rescue: {rescue}}}}}]"
    )
    async with against(config) as (gateway, provider):
        provider.script("a", Script(text=TEXT, fault=Cut(4)))
        provider.script("c", Script(text=TEXT))
        await gateway.chat(STREAM)
        (record,) = await gateway.settled(1)
        broken = (1, "a", "primary", "truncated")
        assert parts(record) == ([broken, (2, "c", part, None)] if part else [broken])
        assert record.outcome == ("fallback_ok" if part else "upstream_error")
        assert record.attempts[0].first_s is not None
        assert tries(gateway)[0] == "Try 1 at a … first content"
        words = {"continue": "going on from what had gone out", "splice": "anew, for what had not gone out yet"}
        assert tries(gateway)[1:] == ([f"Try 2 at c, {words[part]} … answered, first content"] if part else [])


async def test_of_two_tries_in_a_race_the_slower_one_was_given_up_not_left() -> None:
    policy = "{pool: [a, b], strategy: ordered, hedge: {after: 30ms, extra: 1}}"
    async with against(f"routes: [{{name: r, policy: {policy}}}]") as (gateway, provider):
        provider.script("a", Script(pace=Pace(first_s=5)))
        await gateway.chat(STREAM)
        (record,) = await gateway.settled(1)
        assert parts(record) == [(1, "a", "primary", None), (2, "b", "hedge", None)]
        assert [a.cancelled for a in record.attempts] == [True, False]
        assert tries(gateway) == [
            "Try 1 at a … another was faster.",
            "Try 2 at b, beside the slow one … answered, first content",
        ]


async def test_tries_are_told_in_the_order_in_which_they_began() -> None:
    policy = "{pool: [a, b], strategy: ordered, hedge: {after: 30ms, extra: 1}}"
    async with against(f"routes: [{{name: r, policy: {policy}}}]") as (gateway, provider):
        provider.script("a", Script(pace=Pace(first_s=0.2)))
        provider.script("b", Script(pace=Pace(first_s=5)))
        await gateway.chat(STREAM)
        (record,) = await gateway.settled(1)
        assert parts(record) == [(1, "a", "primary", None), (2, "b", "hedge", None)]
        assert record.deployment == "a"


def test_the_story_names_what_the_provider_was_not_told() -> None:
    record = Exchange("x", 1.0, "chat", "anonymous", "ok", 200, 0.3, 0.0, dropped=("seed", "messages[].name"))
    assert explain(record)[1] == "Left out, since its provider has no words for it: seed, messages[].name."


def test_a_client_that_left_is_told_from_a_try_that_was_slower() -> None:
    left = Attempt(1, "a", "acme", "a", 0.0, 0.3, cancelled=True)
    record = Exchange("x", 1.0, "chat", "anonymous", "cancelled", 499, 0.3, 0.0, attempts=(left,))
    assert explain(record)[1] == "Try 1 at a (0.0 ms to 300.0 ms): the client left."
