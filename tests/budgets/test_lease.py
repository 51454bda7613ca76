"""Leases: what a request waits for, and what it is told when nobody answers. Time and store do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from gateway.budgets.account import Row
from gateway.budgets.fleet import Ask, Turn
from gateway.errors import Unavailable
from gateway.testing.clock import HandWoundLoop
from gateway.types import Budget, Money, Scope
from tests.budgets.stage import TEAM, Store, account, on_hand_wound_time, treasury

CLOSED = Money(on_state_loss="closed")
GRACE = Money(grace=30)


async def outcome(answer: Awaitable[bool]) -> bool | str | None:
    """Whether there is a lease, or the code of what was said instead."""
    try:
        return await answer
    except Unavailable as error:
        return error.code if error.should_retry else "should not be asked again"


def taken_by_others(store: Store, micros: int) -> None:
    """Another replica has settled so much of the team's budget."""
    row = Row(1, micros, micros)
    store._fleet.turn(Turn("another", (Ask("team:support/2026-11", 1_000, 60, row, micros, micros),)))


def told(store: Store) -> dict[str, Row]:
    return store._fleet.rows("team:support/2026-11")


# --- waiting ----------------------------------------------------------------------------------------------------------


@on_hand_wound_time
async def test_who_needs_a_lease_waits_50_ms_at_most(loop: HandWoundLoop) -> None:
    store = Store()
    store.mood = "silent"
    money = treasury(store, CLOSED, clock=loop.clock)
    waiting = loop.create_task(outcome(money.lease([account(money)], 10)))
    await loop.turn(0.049)
    assert not waiting.done()
    await loop.turn(0.001)
    assert waiting.result() == "budget_unavailable"


@on_hand_wound_time
async def test_one_turn_serves_all_that_wait_and_the_next_all_that_came_meanwhile(loop: HandWoundLoop) -> None:
    store = Store()
    store.mood = "silent"
    money = treasury(store, clock=loop.clock)
    first = [loop.create_task(money.lease([account(money)], 10)) for _ in range(20)]
    await loop.turn(0.01)
    second = [loop.create_task(money.lease([account(money)], 11)) for _ in range(20)]
    await loop.turn(0.01)
    assert len(store.turns) == 1
    store.wake.set()
    assert await asyncio.gather(*first, *second) == [True] * 40
    assert (len(store.turns), money.awaited) == (2, 40)


@on_hand_wound_time
async def test_while_the_lease_lasts_nobody_is_asked(loop: HandWoundLoop) -> None:
    store = Store()
    money = treasury(store, clock=loop.clock)
    team = account(money)
    assert await money.lease([team], 10)
    while team.free >= 10:
        assert await money.lease([team], 10)
        assert money.hold(f"a.{team.held}", [team], 10)
    assert (team.held, len(store.turns), money.awaited) == (20, 1, 1)


@on_hand_wound_time
async def test_an_answer_that_comes_late_is_of_use_to_the_next(loop: HandWoundLoop) -> None:
    store = Store()
    store.mood = "silent"
    money = treasury(store, CLOSED, clock=loop.clock)
    waiting = loop.create_task(outcome(money.lease([account(money)], 10)))
    await loop.turn(0.06)
    assert (waiting.result(), money.error) == ("budget_unavailable", "no answer in time")
    store.wake.set()
    await loop.turn(0.01)
    assert (money.error, await money.lease([account(money)], 10), len(store.turns)) == (None, True, 1)


# --- when nobody knows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", ["gone", "barred", "silent"])
@pytest.mark.parametrize(("money", "said"), [(CLOSED, "budget_unavailable"), (GRACE, True)], ids=["closed", "grace"])
def test_a_store_that_cannot_say_leaves_the_grace_and_nothing_else(mood: str, money: Money, said: object) -> None:
    @on_hand_wound_time
    async def story(loop: HandWoundLoop) -> None:
        store = Store()
        store.mood = mood  # type: ignore[assignment]
        one = treasury(store, money, clock=loop.clock)
        team = account(one)
        waiting = loop.create_task(outcome(one.lease([team], 30)))
        await loop.turn(0.05)
        assert waiting.result() == said
        assert one.hold("a.0", [team], 30) is (said is True)
        again = loop.create_task(outcome(one.lease([team], 1)))
        await loop.turn(0.05)
        assert again.result() == "budget_unavailable"

    story()


@on_hand_wound_time
async def test_grace_ends_when_the_store_answers_and_is_given_once(loop: HandWoundLoop) -> None:
    store = Store()
    money = treasury(store, GRACE, clock=loop.clock)
    team = account(money)
    taken_by_others(store, 1_000)
    for mood, said in [("gone", True), ("answers", False), ("gone", "budget_unavailable")]:
        store.mood = mood  # type: ignore[assignment]
        await loop.turn(2.0)
        if mood == "gone":
            # What is known to be spent stays so.
            team.others = 0
        assert await outcome(money.lease([team], 20)) == said
        if said is True:
            assert money.hold("a.0", [team], 20)
            money.settle("a.0", 20)
    assert (team.free, team.settled) == (-20, 20)


@on_hand_wound_time
async def test_of_the_grace_a_request_takes_what_it_did_cost_and_not_for_ever_what_it_might_have(
    loop: HandWoundLoop,
) -> None:
    store = Store()
    store.mood = "gone"
    money = treasury(store, GRACE, clock=loop.clock)
    team = account(money)
    for n, said in enumerate((True, True, "budget_unavailable")):
        assert await outcome(money.lease([team], 25)) == said
        if said is True:
            assert money.hold(f"a.{n}", [team], 25)
            assert await outcome(money.lease([team], 25)) == "budget_unavailable"
            money.settle(f"a.{n}", 5)
    assert team.settled == 10


@on_hand_wound_time
async def test_what_is_known_to_be_spent_is_not_asked_again_for_a_second(loop: HandWoundLoop) -> None:
    store = Store()
    money = treasury(store, clock=loop.clock)
    taken_by_others(store, 990)
    said = []
    for after in (0.0, 0.5, 0.5, 0.1):
        await loop.turn(after)
        said.append((await money.lease([account(money)], 20), len(store.turns)))
    assert said == [(False, 1), (False, 1), (False, 1), (False, 2)]


@on_hand_wound_time
async def test_what_costs_nothing_needs_no_lease(loop: HandWoundLoop) -> None:
    store = Store()
    store.mood = "gone"
    money = treasury(store, CLOSED, clock=loop.clock)
    team = account(money)
    team.allowance, team.settled = 10, 2_000
    assert await money.lease([team], 0)
    assert money.hold("a.0", [team], 0)
    assert store.turns == []


# --- giving back ------------------------------------------------------------------------------------------------------


@on_hand_wound_time
async def test_what_is_only_leased_ahead_goes_back_when_another_is_short(loop: HandWoundLoop) -> None:
    store = Store()
    money = treasury(store, clock=loop.clock)
    team = account(money)
    assert await money.lease([team], 10)
    assert money.hold("a.0", [team], 10)
    store.short = (team.name,)
    running = loop.create_task(money.run())
    await loop.turn(0.9)
    assert (team.free, told(store)[store.replica].allowance) == (0, 10)
    running.cancel()


@on_hand_wound_time
async def test_who_stops_gives_everything_back(loop: HandWoundLoop) -> None:
    store = Store()
    money = treasury(store, clock=loop.clock)
    team = account(money)
    assert await money.lease([team], 10)
    assert money.hold("a.0", [team], 10)
    money.settle("a.0", 3)
    money.settle("a.0", 3)
    await money.stop()
    assert (told(store), money.book.again) == ({store.replica: Row(2, 3, 3)}, 1)


@on_hand_wound_time
async def test_who_stops_while_nobody_answers_stops_all_the_same(loop: HandWoundLoop) -> None:
    store = Store()
    money = treasury(store, clock=loop.clock)
    assert await money.lease([account(money)], 10)
    store.mood = "gone"
    await money.stop()


@on_hand_wound_time
async def test_who_has_had_nothing_to_say_for_long_still_tells_a_store_that_has_lost_all(loop: HandWoundLoop) -> None:
    store = Store()
    store.epoch = "first"
    money = treasury(store, clock=loop.clock)
    assert await money.lease([account(money)], 10)
    running = loop.create_task(money.run())
    await loop.turn(1_000.0)
    store._fleet._accounts.clear()
    store.epoch = "second"
    await loop.turn(1.5)
    assert told(store)[store.replica].allowance == account(money).allowance == 20
    assert len(store.turns) < 2_500
    running.cancel()


def test_another_kind_of_period_begins_at_once() -> None:
    money = treasury(Store())
    names = [account(money, Scope("team:a", Budget(10, per))).name for per in ("month", "day", "total", "day", "hour")]
    assert names == [f"team:a/{of}" for of in ("2026-11", "2026-11-28", "total", "2026-11-28", "2026-11-28T08")]


def test_what_a_budget_says_after_a_reload_holds_from_the_next_request() -> None:
    money = treasury(Store())
    month, day = Budget(1_000, "month", (0.8,)), Budget(9, "day")
    first = account(money, Scope("team:a", month))
    assert account(money, Scope("team:a", Budget(1_000, "month", (0.5,)))) is first
    assert first.alert_at == (0.5,)
    account(money, Scope("team:a", day))
    assert account(money, Scope("team:a", Budget(2_000, "month", (0.9,)))) is first
    assert (first.limit, first.alert_at) == (2_000, (0.9,))


def test_who_has_no_budget_needs_no_purse() -> None:
    money = treasury(Store())
    assert money.purse("a", [Scope("key:a")]) is None
    assert repr(money.purse("a", [Scope("key:a"), TEAM])) == "0 reservations in team:support/2026-11"
