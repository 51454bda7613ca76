"""A second try beside a slow one, on real sockets: the first content wins, and nothing is left of the other."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.testing.acts import Act, Send, Wait
from gateway.testing.faults import InBandError, SlowFirstToken
from gateway.testing.prompt import Prompt
from gateway.testing.script import Script
from gateway.types import Exchange
from tests.gateway import BODY, Running, against

HEDGED = "routes: [{name: r, policy: {pool: [a, b], hedge: {after: 50ms, extra: 1}, retry: {same_target: 0}}}]"
LATE = Script(fault=SlowFirstToken(5.0), text="late")
STREAM = {**BODY, "stream": True}


class LateError:
    """The head comes at once, an error instead of content after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in InBandError().rewrite(acts, prompt):
            if isinstance(act, Send):
                yield Wait(self.seconds)
            yield act


def tries(record: Exchange) -> list[tuple[int, str, str | None]]:
    """Each try: its number, its deployment, and how it ended unless well."""
    return [
        (a.n, a.deployment, "cancelled" if a.cancelled else a.failure.kind if a.failure is not None else None)
        for a in sorted(record.attempts, key=lambda a: a.n)
    ]


def under_way(gateway: Running) -> int:
    return sum(lane.load.inflight for lane in gateway.app.health.lanes().values())


@pytest.mark.parametrize("stream", [False, True])
async def test_where_the_first_is_slow_the_second_serves_and_the_first_is_closed_at_once(stream: bool) -> None:
    async with against(HEDGED) as (gateway, provider):
        provider.script("a", LATE)
        provider.script("b", Script(text="quick"))
        response = await gateway.chat({**BODY, "stream": stream})
        (record,) = await gateway.settled(1)
        (slow,), (quick,) = provider.asked("a"), provider.asked("b")
        await slow.over()
        assert slow.left_at is not None
        assert quick.ended_at is not None
        assert slow.left_at - quick.ended_at < 0.5
        assert "quick" in response.text
        assert (response.headers["x-gateway-routed-model"], response.headers["x-gateway-attempts"]) == ("b", "2")
        assert (record.outcome, record.deployment, tries(record)) == (
            "ok",
            "b",
            [(1, "a", "cancelled"), (2, "b", None)],
        )
        assert record.usage is not None
        assert not record.usage.estimated
        assert under_way(gateway) == 0


async def test_where_the_first_answers_after_all_the_second_is_closed() -> None:
    async with against(HEDGED) as (gateway, provider):
        provider.script("a", Script(fault=SlowFirstToken(0.2), text="after all"))
        provider.script("b", LATE)
        response = await gateway.chat(STREAM)
        (record,) = await gateway.settled(1)
        await provider.asked("b")[0].over()
        assert response.headers["x-gateway-routed-model"] == "a"
        assert (record.deployment, tries(record)) == ("a", [(1, "a", None), (2, "b", "cancelled")])
        assert provider.asked("b")[0].left_at is not None
        assert under_way(gateway) == 0


@pytest.mark.parametrize(("a_s", "b_s"), [(0.2, 0.02), (0.1, 0.2)])
async def test_when_both_have_failed_the_plan_goes_on_and_each_has_its_own_failure(a_s: float, b_s: float) -> None:
    config = "  c: {provider: sim, model: c}\n" + HEDGED.replace("[a, b]", "[a, b, c]")
    async with against(config) as (gateway, provider):
        provider.script("a", Script(fault=LateError(a_s)))
        provider.script("b", Script(fault=LateError(b_s)))
        response = await gateway.chat(STREAM)
        (record,) = await gateway.settled(1)
        assert response.headers["x-gateway-routed-model"] == "c"
        assert tries(record) == [(1, "a", "overloaded"), (2, "b", "overloaded"), (3, "c", None)]
        assert under_way(gateway) == 0


async def test_the_winner_of_a_race_that_breaks_off_is_the_one_that_is_not_asked_again() -> None:
    config = "  c: {provider: sim, model: c}\n" + HEDGED.replace("[a, b]", "[a, b, c]").replace(
        "hedge:", "rescue: splice, hedge:"
    )
    async with against(config) as (gateway, provider):
        provider.script("a", LATE)
        provider.script("b", Script(fault="cut", text="one two three"))
        provider.script("c", Script(text="one two three four"))
        response = await gateway.chat(STREAM)
        (record,) = await gateway.settled(1)
        assert response.text.endswith("data: [DONE]\n\n")
        assert tries(record) == [(1, "a", "cancelled"), (2, "b", "truncated"), (3, "c", None)]


async def test_hedges_keep_to_their_share_of_the_requests() -> None:
    async with against(HEDGED.replace("extra: 1", "extra: 0.5")) as (gateway, provider):
        provider.script("a", Script(fault=SlowFirstToken(0.15), text="slow"))
        for _ in range(6):
            await gateway.chat(STREAM)
        assert len(provider.asked("b")) == 3


async def test_a_client_that_leaves_a_race_ends_both_tries() -> None:
    async with against(HEDGED) as (gateway, provider):
        provider.script("a", LATE)
        provider.script("b", LATE)
        asking = asyncio.create_task(gateway.chat(STREAM))
        while not provider.asked("b"):
            await asyncio.sleep(0.005)
        left_at = time.monotonic()
        asking.cancel()
        (record,) = await gateway.settled(1)
        for received in provider.requests:
            await received.over()
            assert received.left_at is not None
            assert received.left_at - left_at < 0.5
        assert (record.outcome, tries(record)) == ("cancelled", [(1, "a", "cancelled"), (2, "b", "cancelled")])
        assert (under_way(gateway), gateway.app.admission.inflight) == (0, 0)


async def test_a_hedge_that_may_not_begin_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with against(HEDGED.replace("same_target: 0", "same_target: 1")) as (gateway, provider):
        health = gateway.app.health
        leave = health.leave
        monkeypatch.setattr(health, "leave", lambda d, *more: None if d.name == "b" else leave(d, *more))
        provider.script("a", Script(fault=LateError(0.15), times=1), Script(text="again"))
        await gateway.chat(STREAM)
        (record,) = await gateway.settled(1)
        assert tries(record) == [(1, "a", "overloaded"), (2, "a", None)]


async def test_a_hedge_that_is_given_up_before_it_has_begun_gives_its_leave_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first content comes in the very moment: the second try's task is cancelled before its first step."""
    async with against(HEDGED) as (gateway, provider):
        provider.script("a", Script(fault=SlowFirstToken(0.15), text="first"))
        health, loop = gateway.app.health, asyncio.get_running_loop()
        leave = health.leave

        def given_up(deployment: Any, *more: Any) -> Any:
            if deployment.name == "b":
                loop.call_soon(cancel_what_has_not_begun)
            return leave(deployment, *more)

        monkeypatch.setattr(health, "leave", given_up)
        response = await gateway.chat(STREAM)
        (record,) = await gateway.settled(1)
        assert response.headers["x-gateway-routed-model"] == "a"
        assert (provider.asked("b"), tries(record)) == ([], [(1, "a", None), (2, "b", "cancelled")])
        assert under_way(gateway) == 0


def cancel_what_has_not_begun() -> None:
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
            task.cancel()
