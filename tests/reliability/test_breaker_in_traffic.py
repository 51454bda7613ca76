"""Breakers in simulated traffic: they do not flap, they keep a half-broken deployment, and a fleet probes as one."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from random import Random

import pytest

from gateway.reliability.breaker import Breaker, BreakerRules, Verdict

RULES = BreakerRules()


def fates(errors: float, chance: Random) -> Iterator[Verdict]:
    while True:
        yield "failed" if chance.random() < errors else "ok"


def luck_opens_it(errors: float, calls: int = 400) -> float:
    """The probability that a new breaker opens within so many quick calls, exactly: a walk over the failures."""
    at = {0: 1.0}
    opens = 0.0
    for n in range(1, calls + 1):
        after: dict[int, float] = {}
        for failures, p in at.items():
            after[failures] = after.get(failures, 0.0) + p * (1 - errors)
            if failures + 1 >= RULES.min_failures and failures + 1 >= RULES.ratio * n:
                opens += p * errors
            else:
                after[failures + 1] = after.get(failures + 1, 0.0) + p * errors
        at = after
    return opens


@pytest.mark.parametrize(
    ("per_s", "seconds"),
    # A thousand a second for ten minutes: beyond the first window one half of 30,000 failing at 5 % is unheard of.
    [(1, 3600), (10, 3600), (100, 3600), (1000, 600)],
)
def test_one_error_in_twenty_never_opens_it(per_s: int, seconds: int) -> None:
    breaker, fate = Breaker(RULES, 0.0), fates(0.05, Random(f"R6 {per_s}"))
    for n in range(per_s * seconds):
        ticket = breaker.begin(n / per_s)
        assert ticket is not None, f"{breaker!r} at {n / per_s} s"
        breaker.ended(ticket, next(fate), n / per_s)
    assert breaker.opened == 0


@pytest.mark.parametrize(("errors", "chance"), [(0.05, 0.0023), (0.1, 0.017), (0.2, 0.116), (0.3, 0.326)])
def test_only_the_first_calls_of_all_can_open_it_by_bad_luck(errors: float, chance: float) -> None:
    """What it means that three failures are enough: the price of a quick judgement, when new and when healed."""
    assert luck_opens_it(errors) == pytest.approx(chance, rel=0.03)
    opened = 0
    for seed in range(1000):
        breaker, fate = Breaker(RULES, 0.0), fates(errors, Random(seed))
        for _ in range(100):
            ticket = breaker.begin(0.0)
            if ticket is None:
                break
            breaker.ended(ticket, next(fate), 0.0)
        opened += breaker.opened
    assert opened / 1000 == pytest.approx(chance, abs=0.04)


def long_answers(content: bool) -> int:
    """How often it opens in two minutes: 50 calls a second, 5 % refused at once, the others answering for a minute."""
    breaker, fate = Breaker(RULES, 0.0), fates(0.05, Random(6))
    events: list[tuple[float, int, str]] = [(n / 50, n, "begin") for n in range(50 * 120)]
    while events:
        now, n, what = heappop(events)
        if what == "content":
            breaker.passed(n, now)
        elif what == "end":
            breaker.ended(n, "ok", now)
        elif (ticket := breaker.begin(now)) is not None:
            if next(fate) == "failed":
                breaker.ended(ticket, "failed", now)
            else:
                heappush(events, (now + 60.0, ticket, "end"))
                if content:
                    heappush(events, (now + 0.02, ticket, "content"))
    return breaker.opened


def test_quick_failures_among_long_answers_do_not_open_it() -> None:
    assert long_answers(content=True) == 0
    assert long_answers(content=False) > 0  # why the first content is told


def test_quick_failures_at_a_busy_start_open_it_no_sooner_than_if_all_were_quick() -> None:
    """Fifty calls a second that fail three times in ten at once, or answer after half a second."""
    opened = 0
    for seed in range(200):
        breaker, fate = Breaker(RULES, 0.0), fates(0.3, Random(seed))
        waiting: list[tuple[float, int]] = []
        for n in range(500):
            while waiting and waiting[0][0] <= n / 50:
                at, slow = heappop(waiting)
                breaker.passed(slow, at)
            ticket = breaker.begin(n / 50)
            if ticket is None:
                break
            if next(fate) == "failed":
                breaker.ended(ticket, "failed", n / 50)
            else:
                heappush(waiting, (n / 50 + 0.5, ticket))
        opened += breaker.opened
    assert opened / 200 < luck_opens_it(0.3)


@pytest.mark.parametrize("per_s", [10, 100])
def test_a_deployment_that_fails_three_calls_in_ten_keeps_most_of_its_traffic(per_s: int) -> None:
    survived = 0
    for seed in range(6):
        chance = Random(f"R8 {seed}")
        breaker, fate = Breaker(RULES, 0.0), fates(0.3, chance)
        for n in range(per_s * 300):
            now = n / per_s
            share = breaker.diversion(now)
            if now > 30.0 and breaker.opened == 0:
                assert 0.10 <= share <= 0.40, f"{breaker!r} at {now} s"
            ticket = None if chance.random() < share else breaker.begin(now)
            if ticket is not None and breaker.ended(ticket, next(fate), now) == "open":
                assert now < 30.0, "once its first window is full it does not open"
                break
        survived += breaker.opened == 0
    assert survived >= 3


@pytest.mark.parametrize(("per_s", "calls"), [(0.2, 3), (1, 12), (10, 12), (1000, 12)])
def test_an_outage_after_good_times_is_noticed_within_twelve_calls(per_s: float, calls: int) -> None:
    breaker = Breaker(RULES, 0.0)
    for n in range(int(60 * per_s)):
        ticket = breaker.begin(n / per_s)
        assert ticket is not None
        breaker.ended(ticket, "ok", n / per_s)
    failed = 0
    while (ticket := breaker.begin(60.0 + failed / per_s)) is not None:
        breaker.ended(ticket, "failed", 60.0 + failed / per_s)
        failed += 1
    assert failed == calls


class Fleet:
    """What the processes share, and hear of a fifth of a second later: until when it is shut, and the one lease."""

    def __init__(self, processes: int) -> None:
        self.breakers = [Breaker(RULES, 0.0) for _ in range(processes)]
        self.mail: list[tuple[float, int, str, float]] = []
        self.leased_until = 0.0
        self.tries = self.probes = 0

    def tell(self, sender: int, what: str, until: float, now: float) -> None:
        self.mail += [(now + 0.2, i, what, until) for i in range(len(self.breakers)) if i != sender]

    def hear(self, now: float) -> None:
        due, self.mail = [m for m in self.mail if m[0] <= now], [m for m in self.mail if m[0] > now]
        for _, i, what, until in due:
            if what == "open":
                self.breakers[i].shut(until, now)
            else:
                self.breakers[i].mend(now)

    def call(self, i: int, healthy: bool, now: float) -> None:
        self.hear(now)
        breaker = self.breakers[i]
        if breaker.state(now) == "due" and now >= self.leased_until:
            self.leased_until = now + RULES.probe_s
            breaker.allow_probe(now)
        probing = breaker.state(now) == "half_open"
        ticket = breaker.begin(now)
        if ticket is None:
            return
        self.tries += 1
        self.probes += probing
        changed = breaker.ended(ticket, "ok" if healthy else "failed", now)
        if changed is not None:
            self.leased_until = min(self.leased_until, now + 0.5) if probing else self.leased_until
            self.tell(i, changed, breaker.until_at, now)


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_a_fleet_probes_as_one_and_comes_back_within_thirty_seconds(processes: int) -> None:
    fleet, per_s = Fleet(processes), 20
    back = None
    for n in range(per_s * 200):
        now = n / per_s
        before = fleet.tries
        fleet.call(n % processes, healthy=now >= 120.0, now=now)
        if now >= 120.0 and fleet.tries > before and back is None:
            back = now
        if n == per_s * 120:
            assert fleet.probes <= 5
            assert fleet.tries <= 3 * processes + 5
    assert back is not None
    assert back - 120.0 <= 30.0
    assert all(b.state(200.0) == "closed" for b in fleet.breakers)
