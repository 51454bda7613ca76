"""Who is served at once, who waits, and who is turned away: by the clock, and on real sockets."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import pytest

from gateway.admission import Admission, Priority
from gateway.errors import Unavailable
from gateway.testing.clock import HandWoundLoop
from gateway.testing.script import Pace, Script
from gateway.types import Admission as Rules
from tests.gateway import BODY, against

ONE = Rules(max_inflight=1, queue=3, wait_s=1.0)


def by_the_clock(play: Callable[[HandWoundLoop, Admission], Awaitable[None]], rules: Rules = ONE) -> None:
    async def played() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HandWoundLoop)
        await play(loop, Admission(rules, clock=loop.clock))

    with asyncio.Runner(loop_factory=HandWoundLoop) as runner:
        runner.run(played())


def waiting(
    loop: HandWoundLoop,
    admission: Admission,
    name: str,
    served: list[str],
    priority: Priority = "interactive",
    tenant: str = "t",
) -> asyncio.Task[None]:
    """Somebody who waits for a place, and is then in ``served``."""

    async def wait() -> None:
        await admission.wait(tenant, priority)
        served.append(name)

    return loop.create_task(wait())


def for_room(loop: HandWoundLoop, admission: Admission, tenant: str, *names: str) -> asyncio.Task[bool]:
    """Somebody who waits for one of these deployments to have room."""
    return loop.create_task(admission.for_room(tenant, "interactive", names, loop.clock() + 1))


def test_places_are_handed_over_to_the_urgent_first_then_in_the_order_of_their_coming() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        served: list[str] = []
        assert admission.enter("interactive")
        assert not admission.enter("interactive")
        tasks = [
            waiting(loop, admission, "batch", served, "batch"),
            waiting(loop, admission, "first", served),
            waiting(loop, admission, "second", served),
        ]
        await loop.turn(0)
        assert not admission.enter("interactive"), "nobody passes those who wait"
        for known in (["first"], ["first", "second"], ["first", "second", "batch"]):
            admission.leave("t")
            await loop.turn(0)
            assert (served, admission.inflight) == (known, 1)
        admission.leave("t")
        assert (admission.inflight, admission.waiting, [t.done() for t in tasks]) == (0, 0, [True] * 3)

    by_the_clock(play)


def test_who_has_waited_for_long_enough_is_told_to_come_again() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        admission.enter("interactive")
        task = waiting(loop, admission, "late", [])
        await loop.turn(0.99)
        assert not task.done()
        await loop.turn(0.02)
        error = task.exception()
        assert isinstance(error, Unavailable)
        assert (error.code, error.retry_after_s, error.should_retry) == ("overloaded", 1.0, True)
        assert (admission.waiting, admission.inflight, admission.shed) == (0, 1, {("queue", "interactive"): 1})

    by_the_clock(play)


def test_nobody_waits_beyond_the_callers_own_patience() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        admission.enter("interactive")
        task = loop.create_task(admission.wait("t", "interactive", loop.clock() + 0.3))
        await loop.turn(0.31)
        assert isinstance(task.exception(), Unavailable)
        with pytest.raises(Unavailable):
            await admission.wait("t", "interactive", loop.clock() - 1)

    by_the_clock(play)


def test_in_a_full_line_the_last_batch_work_makes_way_for_what_is_urgent() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        served: list[str] = []
        admission.enter("interactive")
        batch = [waiting(loop, admission, name, served, "batch") for name in ("b1", "b2", "b3")]
        await loop.turn(0)
        with pytest.raises(Unavailable):
            await admission.wait("t", "batch")
        urgent = waiting(loop, admission, "urgent", served)
        await loop.turn(0)
        assert [t.done() for t in batch] == [False, False, True]
        admission.leave("t")
        await loop.turn(0)
        assert (served, admission.shed) == (["urgent"], {("queue", "batch"): 2})
        for task in (*batch[:2], urgent):
            task.cancel()

    by_the_clock(play)


def test_a_client_that_leaves_while_it_waits_loses_its_place_in_the_line_only() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        served: list[str] = []
        admission.enter("interactive")
        gone = waiting(loop, admission, "gone", served)
        waiting(loop, admission, "next", served)
        await loop.turn(0)
        gone.cancel()
        await loop.turn(0)
        admission.leave("t")
        await loop.turn(0)
        assert (served, admission.inflight, admission.waiting) == (["next"], 1, 0)

    by_the_clock(play)


@pytest.mark.parametrize("others", [0, 1])
def test_a_client_that_leaves_just_as_it_is_called_passes_the_place_on(others: int) -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        served: list[str] = []
        admission.enter("interactive")
        gone = waiting(loop, admission, "gone", served)
        for n in range(others):
            waiting(loop, admission, f"next {n}", served)
        await loop.turn(0)
        admission.leave("t")
        gone.cancel()
        await loop.turn(0)
        assert (len(served), admission.inflight, admission.waiting) == (others, others, 0)

    by_the_clock(play)


def test_a_place_that_comes_in_the_moment_that_the_wait_ends_is_not_lost() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        served: list[str] = []
        admission.enter("interactive")
        at = loop.time() + 1.0
        # This timer goes off before the one of the wait, in the same turn of the loop.
        loop.call_at(at, admission.leave, "t")
        task = waiting(loop, admission, "just", served)
        await loop.turn(1.0)
        assert (task.done(), served, admission.inflight) == (True, ["just"], 1)
        admission.leave("t")
        assert admission.inflight == 0

    by_the_clock(play)


def test_who_waits_for_a_provider_and_leaves_as_it_is_called_lets_the_next_look() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        one, other = (for_room(loop, admission, "t", "a") for _ in range(2))
        await loop.turn(0)
        admission.freed(("a",), {})
        one.cancel()
        await loop.turn(0)
        assert (one.cancelled(), other.result(), admission.waiting) == (True, True, 0)

    by_the_clock(play, Rules(max_inflight=5, queue=5))


def test_who_waits_for_a_deployment_is_called_when_that_one_has_room() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        for_a, for_either = for_room(loop, admission, "t", "a"), for_room(loop, admission, "t", "a", "b")
        await loop.turn(0)
        admission.freed(("b",), {})
        await loop.turn(0)
        assert (for_a.done(), for_either.done()) == (False, True)
        admission.freed(("b",), {})
        await loop.turn(0)
        assert not for_a.done(), "one that could not use it"
        admission.freed(("a",), {})
        await loop.turn(0)
        assert (for_a.result(), for_either.result(), admission.waiting) == (True, True, 0)

    by_the_clock(play, Rules(max_inflight=5, queue=5))


def test_a_place_goes_to_the_tenant_that_has_the_fewest() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        served: list[str] = []
        for _ in range(3):
            admission.enter("interactive")
            admission.took("big")
        tenants = ["big", "big", "small", "small", "other"]
        tasks = [waiting(loop, admission, tenant, served, tenant=tenant) for tenant in tenants]
        await loop.turn(0)
        for gone in ("big", "big", "small"):
            admission.leave(gone)
            await loop.turn(0)
        assert served == ["small", "other", "small"]
        for gone in ("small", "big"):
            admission.leave(gone)
            await loop.turn(0)
        assert (served[3:], admission.inflight, [t.done() for t in tasks]) == (["big", "big"], 3, [True] * 5)
        for gone in ("other", "big", "big"):
            admission.leave(gone)
        assert (admission.inflight, repr(admission)) == (0, "0 requests of 3; nobody waits")

    by_the_clock(play, Rules(max_inflight=3, queue=5))


def test_in_a_full_line_the_last_of_the_tenant_with_most_waiting_makes_way() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        served: list[str] = []
        admission.enter("interactive")
        flood = [waiting(loop, admission, f"big {n}", served, tenant="big") for n in range(4)]
        await loop.turn(0)
        small = waiting(loop, admission, "small", served, tenant="small")
        await loop.turn(0)
        assert [task.done() for task in (*flood, small)] == [False, False, True, True, False]
        assert admission.shed == {("queue", "interactive"): 2}
        assert repr(admission) == "1 requests of 1; 3 wait: 2 of big, 1 of small"
        for task in (*flood, small):
            task.cancel()

    by_the_clock(play)


def test_beside_500_requests_of_one_tenant_another_waits_for_less_than_a_tenth_of_what_they_take() -> None:
    """Calls of 0.2 to 0.4 s, 50 places, ten requests a second of the other one: 99 of 100 wait for 30 ms at most."""
    waits: list[float] = []
    used: list[int] = []
    chance = random.Random(5)

    async def one(loop: HandWoundLoop, admission: Admission, tenant: str) -> bool:
        asked_at = loop.time()
        try:
            if admission.enter("interactive"):
                admission.took(tenant)
            else:
                await admission.wait(tenant, "interactive")
        except Unavailable:
            return False
        if tenant == "small":
            waits.append(loop.time() - asked_at)
        await asyncio.sleep(chance.uniform(0.2, 0.4))
        admission.leave(tenant)
        return True

    async def client(loop: HandWoundLoop, admission: Admission) -> None:
        await asyncio.sleep(chance.random())
        while True:
            if not await one(loop, admission, "big"):
                await asyncio.sleep(chance.uniform(0.75, 1.25))

    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        tasks: list[asyncio.Task[object]] = [loop.create_task(client(loop, admission)) for _ in range(500)]
        await loop.turn(4)
        asked = 0
        for _ in range(100):
            await loop.turn(chance.expovariate(10))
            tasks.append(loop.create_task(one(loop, admission, "small")))
            used.append(admission.inflight)
            asked += 1
        await loop.turn(1)
        for task in tasks:
            task.cancel()
        assert (asked, len(waits)) == (100, 100), "none was turned away"

    by_the_clock(play, Rules(max_inflight=50, queue=100, wait_s=1.0))
    assert sorted(waits)[-2] < 0.03
    assert sum(used) / len(used) > 0.95 * 50


def test_after_a_reload_with_fewer_places_none_is_handed_over_until_there_are_as_few() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        served: list[str] = []
        for _ in range(3):
            admission.enter("interactive")
        admission.rules = Rules(max_inflight=2, queue=3)
        waiting(loop, admission, "next", served)
        await loop.turn(0)
        admission.leave("t")
        await loop.turn(0)
        assert (served, admission.inflight) == ([], 2)
        admission.leave("t")
        await loop.turn(0)
        assert (served, admission.inflight) == (["next"], 2)

    by_the_clock(play, Rules(max_inflight=3))


def test_lasting_lag_of_the_event_loop_turns_batch_work_away_and_a_hiccup_nobody() -> None:
    async def play(loop: HandWoundLoop, admission: Admission) -> None:
        admission.enter("interactive")
        admission.lagged(0.9)
        assert admission.enter("batch")
        for _ in range(20):
            admission.lagged(0.9)
        with pytest.raises(Unavailable):
            admission.enter("batch")
        assert admission.enter("interactive")
        assert admission.shed == {("lag", "batch"): 1}

    by_the_clock(play, Rules(max_inflight=50, lag_s=0.25))


# --- on real sockets ------------------------------------------------------------------------------------------------

SLOW = Script(words=3, pace=Pace(0.3, 0))


async def test_beyond_the_line_clients_are_told_at_once_and_each_has_its_record() -> None:
    async with against("admission: {max_inflight: 1, queue: 1, queue_wait: 2s}") as (gateway, provider):
        provider.script("a", SLOW)
        served = [asyncio.create_task(gateway.chat()) for _ in range(2)]
        while gateway.app.admission.waiting < 1:
            await asyncio.sleep(0.005)
        took = []
        for _ in range(5):
            asked_at = time.monotonic()
            shed = await gateway.chat()
            took.append(time.monotonic() - asked_at)
            assert (shed.status_code, shed.json()["error"]["code"]) == (503, "overloaded")
            assert (shed.headers["x-should-retry"], shed.headers["retry-after-ms"]) == ("true", "1000")
        assert min(took) < 0.01
        assert [(await task).status_code for task in served] == [200, 200]
        records = await gateway.settled(7)
        assert sorted(r.outcome for r in records) == ["ok"] * 2 + ["shed"] * 5
        assert (gateway.app.admission.inflight, gateway.app.admission.waiting) == (0, 0)


async def test_a_client_that_leaves_the_line_leaves_nothing_behind() -> None:
    async with against("admission: {max_inflight: 1, queue: 5, queue_wait: 5s}") as (gateway, provider):
        provider.script("a", SLOW)
        served = asyncio.create_task(gateway.chat())
        while not provider.requests:
            await asyncio.sleep(0.005)
        gone = asyncio.create_task(gateway.chat())
        while not gateway.app.admission.waiting:
            await asyncio.sleep(0.005)
        gone.cancel()
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.attempts) == ("cancelled", ())
        assert ((await served).status_code, len(provider.requests)) == (200, 1)
        await gateway.settled(2)
        assert (gateway.app.admission.inflight, gateway.app.admission.waiting) == (0, 0)


async def test_a_callers_deadline_holds_while_it_waits_in_line() -> None:
    async with against("admission: {max_inflight: 1, queue: 5, queue_wait: 5s}") as (gateway, provider):
        provider.script("a", Script(words=3, pace=Pace(2.0, 0)))
        served = asyncio.create_task(gateway.chat())
        while not provider.requests:
            await asyncio.sleep(0.005)
        asked_at = time.monotonic()
        late = await gateway.chat({**BODY, "stream": True}, **{"x-request-timeout": "0.1"})
        assert (late.status_code, 0.09 < time.monotonic() - asked_at < 1.5) == (503, True)
        assert (await served).status_code == 200


async def test_urgent_requests_are_served_before_batch_work() -> None:
    async with against("admission: {max_inflight: 1, queue: 5, queue_wait: 5s}") as (gateway, provider):
        provider.script("a", Script(words=3, pace=Pace(0.1, 0)))
        asking = [asyncio.create_task(gateway.chat({**BODY, "user": "first"}))]
        while not provider.requests:
            await asyncio.sleep(0.005)
        for n, priority in enumerate(("batch", "interactive"), start=1):
            chat = gateway.chat({**BODY, "user": priority}, **{"x-gateway-priority": priority})
            asking.append(asyncio.create_task(chat))
            while gateway.app.admission.waiting < n:
                await asyncio.sleep(0.005)
        assert [(await task).status_code for task in asking] == [200] * 3
        assert [r.fields["user"] for r in provider.requests] == ["first", "interactive", "batch"]
        wrong = await gateway.chat(**{"x-gateway-priority": "asap"})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "x-gateway-priority")


def test_of_those_in_a_hurry_a_share_is_turned_away_that_grows_with_the_lag() -> None:
    def turned_away(lag_s: float) -> int:
        admission = Admission(Rules(max_inflight=10_000, lag_s=0.25), clock=lambda: 0.0)
        admission.inflight = 100
        for _ in range(100):
            admission.lagged(lag_s)
        return round(sum(not taken(admission) for _ in range(1000)) / 10)

    assert [turned_away(lag_s) for lag_s in (0.2, 0.3, 0.375, 5.0)] == [0, 20, 50, 95]


def taken(admission: Admission) -> bool:
    try:
        return admission.enter("interactive")
    except Unavailable:
        return False
