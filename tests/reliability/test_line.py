"""Whose turn it is among tenants that wait: held against max-min fairness, and by hypothesis."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.reliability.line import Line, Standing, release

ANY = frozenset({"a"})


def names(line: Line[str], held: dict[str, int], n: int) -> list[str]:
    found = [line.next(ANY, held) for _ in range(n)]
    return [s.who for s in found if s is not None]


def test_who_has_nothing_goes_before_five_hundred_that_came_first() -> None:
    line: Line[str] = Line()
    for n in range(500):
        line.stand("big", 0, ANY, f"big {n}")
    line.stand("small", 0, ANY, "small")
    assert repr(line) == "501 wait: 500 of big, 1 of small"
    assert names(line, {"big": 3}, 3) == ["small", "big 0", "big 1"]


def test_tenants_that_have_as_many_take_turns() -> None:
    line: Line[str] = Line()
    for tenant in ("a", "a", "a", "b", "b", "c"):
        line.stand(tenant, 0, ANY, tenant)
    assert names(line, {}, 7) == ["a", "b", "c", "a", "b", "a"]
    assert repr(line) == "nobody waits"


def test_who_is_urgent_goes_first_whatever_its_tenant_has() -> None:
    line: Line[str] = Line()
    line.stand("idle", 1, ANY, "batch")
    line.stand("busy", 0, ANY, "urgent")
    assert names(line, {"busy": 9}, 2) == ["urgent", "batch"]


def test_a_newcomer_finds_room_only_where_its_tenant_has_fewer_waiting() -> None:
    line: Line[str] = Line()
    for who in ("a1", "a2", "a3", "b1"):
        line.stand(who[0], 0, ANY, who)
    line.stand("c", 1, ANY, "batch")
    assert line.make_way("a", 1) is None, "batch work displaces nobody, its own kind being as few"
    lost = [line.make_way(tenant, rank) for tenant, rank in (("a", 0), ("a", 0), ("b", 0), ("b", 0))]
    assert [s and s.who for s in lost] == ["batch", None, "a3", None]
    assert repr(line) == "3 wait: 2 of a, 1 of b"


def played(long_s: float, short_s: float, places: int, seconds: float) -> dict[str, float]:
    """Two tenants that always have more to ask, with calls of these lengths: the places each has had, on average."""
    line: Line[str] = Line()
    lasts = {"long": long_s, "short": short_s}
    held: dict[str, int] = {"long": places}
    ends = [(long_s * (n + 1) / places, "long") for n in range(places)]
    had = dict.fromkeys(lasts, 0.0)
    while ends:
        ends.sort(reverse=True)
        now, gone = ends.pop()
        if now > seconds:
            break
        had[gone] += lasts[gone] if now > long_s else 0.0
        release(held, gone)
        for tenant in lasts:
            line.stand(tenant, 0, ANY, tenant)
        called = line.next(ANY, held)
        assert called is not None
        held[called.tenant] = held.get(called.tenant, 0) + 1
        ends.append((now + lasts[called.tenant], called.tenant))
    return {tenant: had[tenant] / (seconds - long_s) for tenant in lasts}


def test_long_and_short_calls_get_as_many_places() -> None:
    had = played(20.0, 0.5, 10, 200.0)
    assert 4.5 <= had["short"] <= 5.5
    assert 4.0 <= had["long"] <= 5.5


def test_with_many_tenants_nobody_waits_for_longer_than_everybody_takes() -> None:
    line: Line[str] = Line()
    tenants = [f"t{n}" for n in range(30)]
    chance = random.Random(7)
    since = dict.fromkeys(tenants, 0)
    for tenant in tenants:
        line.stand(tenant, 0, ANY, tenant)
    for turn in range(3000):
        called = line.next(ANY, {})
        assert called is not None
        assert turn - since[called.tenant] <= 2 * len(tenants)
        since[called.tenant] = turn
        for _ in range(chance.randrange(1, 4)):
            line.stand(called.tenant, 0, ANY, called.tenant)


class Waiting(RuleBasedStateMachine):
    """Whatever comes, goes and is called: nobody is lost or called twice, and each choice is the fair one."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[int] = Line()
        self.standing: list[Standing[int]] = []
        self.held: dict[str, int] = {}
        self.n = 0

    @rule(
        tenant=st.sampled_from("abc"),
        rank=st.integers(0, 1),
        places=st.sets(st.sampled_from("xyz"), min_size=1).map(frozenset),
    )
    def come(self, tenant: str, rank: int, places: frozenset[str]) -> None:
        self.n += 1
        self.standing.append(self.line.stand(tenant, rank, places, self.n))

    @precondition(lambda self: self.standing)
    @rule(data=st.data(), twice=st.booleans())
    def go(self, data: st.DataObject, twice: bool) -> None:
        gone = data.draw(st.sampled_from(self.standing))
        for _ in range(1 + twice):
            self.line.forsake(gone)
        self.standing.remove(gone)

    @rule(place=st.sampled_from("xyz"))
    def call(self, place: str) -> None:
        able = [s for s in self.standing if place in s.places]
        called = self.line.next((place,), self.held)
        assert (called is None) == (not able)
        if called is None:
            return
        assert (called.rank, self.held.get(called.tenant, 0)) == min((s.rank, self.held.get(s.tenant, 0)) for s in able)
        same = [s.n for s in able if (s.tenant, s.rank, s.places) == (called.tenant, called.rank, called.places)]
        assert called.n == min(same)
        self.standing.remove(called)
        self.held[called.tenant] = self.held.get(called.tenant, 0) + 1

    @rule(tenant=st.sampled_from("abc"))
    def end(self, tenant: str) -> None:
        release(self.held, tenant)

    @rule(tenant=st.sampled_from("abc"), rank=st.integers(0, 1))
    def too_many(self, tenant: str, rank: int) -> None:
        lost = self.line.make_way(tenant, rank)
        lesser = [s for s in self.standing if s.rank > rank]
        if lost is None:
            waiting = Counter(s.tenant for s in self.standing if s.rank == rank)
            assert not lesser
            assert max(waiting.values(), default=0) <= waiting[tenant] + 1
            return
        assert lost.rank > rank if lesser else lost.rank == rank
        alike = Counter(s.tenant for s in (lesser or self.standing) if lesser or s.rank == rank)
        assert alike[lost.tenant] == max(alike.values())
        self.standing.remove(lost)

    @invariant()
    def all_are_there(self) -> None:
        assert len(self.line) == len(self.standing)
        assert all(self.line.waits_for(p) == any(p in s.places for s in self.standing) for p in "xyz")
        assert all(n > 0 for n in self.held.values())


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
