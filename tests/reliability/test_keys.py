"""Which key is next, and which are left alone, on a hand-wound clock."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import FailureKind
from gateway.reliability.keys import MAX_PARKED_S, TRIAL_S, KeyRing, Parking
from gateway.types import Cooling

T0 = 1000.0


def free(index: int) -> float:
    return 0.0


def chosen(ring: KeyRing, now: float, seeds: int = 3000) -> Counter[int | None]:
    return Counter(ring.choose(seed, now, free) for seed in range(seeds))


def test_load_is_spread_evenly_and_so_is_that_of_a_key_that_is_left_alone() -> None:
    ring = KeyRing(3)
    assert all(n == pytest.approx(1000, rel=0.1) for n in chosen(ring, T0).values())
    ring.failed(1, "rate", T0, 10.0)
    assert chosen(ring, T0).keys() == {0, 2}
    assert all(n == pytest.approx(1500, rel=0.1) for n in chosen(ring, T0).values())


def test_a_key_without_quota_is_passed_over() -> None:
    ring = KeyRing(2)
    assert {ring.choose(seed, T0, lambda i: 1.0 - i) for seed in range(20)} == {1}
    assert ring.choose(0, T0, lambda i: 0.1) is None


@pytest.mark.parametrize(
    ("kind", "retry_after_s", "left_alone_s"),
    [
        ("rate", None, 1.0),
        ("rate", 17.0, 17.0),
        ("quota", None, 900.0),
        ("quota", 3600.0, 3600.0),
        ("quota", 1e9, MAX_PARKED_S),
        ("auth", None, 300.0),
    ],
)
def test_how_long_each_kind_leaves_a_key_alone(
    kind: FailureKind, retry_after_s: float | None, left_alone_s: float
) -> None:
    ring = KeyRing(1)
    ring.failed(0, kind, T0, retry_after_s)
    assert ring.until_at(T0) == Cooling(T0 + left_alone_s, kind)
    assert ring.choose(1, T0 + left_alone_s - 0.1, free) is None
    assert ring.choose(1, T0 + left_alone_s, free) == 0


@pytest.mark.parametrize("kind", ["connect", "overloaded", "silent", "context", "filter", "client", "truncated"])
def test_what_is_not_the_keys_fault_leaves_it_where_it_is(kind: FailureKind) -> None:
    ring = KeyRing(1)
    ring.failed(0, kind, T0)
    assert (ring.usable(T0), ring.until_at(T0)) == (1, None)


def test_an_empty_purse_that_stays_empty_is_looked_at_ever_more_seldom_until_it_pays() -> None:
    ring, now, waits = KeyRing(1), T0, []
    for _ in range(7):
        ring.failed(0, "quota", now)
        back = ring.until_at(now)
        assert back is not None
        waits.append(back.until_at - now)
        now = back.until_at
        assert ring.choose(1, now, free) == 0
    assert waits == [900, 1800, 3600, 7200, 14400, 21600, 21600]
    ring.ok(0, now)
    ring.failed(0, "quota", now)
    assert ring.until_at(now) == Cooling(now + 900, "quota")


def test_many_refusals_at_once_are_one() -> None:
    ring = KeyRing(1)
    for i in range(10):
        ring.failed(0, "quota", T0 + i)
    assert ring.until_at(T0 + 10) == Cooling(T0 + 900, "quota")


def test_an_answer_that_was_under_way_does_not_bring_a_dead_key_back() -> None:
    ring = KeyRing(1)
    ring.failed(0, "auth", T0)
    ring.ok(0, T0 + 1)
    assert ring.usable(T0 + 1) == 0


def test_a_dead_key_is_tried_by_one_request_at_a_time() -> None:
    ring = KeyRing(1)
    ring.failed(0, "auth", T0)
    again = T0 + 300
    assert (ring.choose(1, again, free), ring.choose(2, again, free)) == (0, None)
    assert ring.until_at(again) == Cooling(again + TRIAL_S, "auth")
    ring.failed(0, "overloaded", again + 1)
    assert ring.choose(3, again + 1, free) == 0
    ring.ok(0, again + 2)
    assert [ring.choose(seed, again + 2, free) for seed in range(3)] == [0, 0, 0]


def test_a_trial_that_never_comes_back_does_not_keep_the_key_for_ever() -> None:
    ring = KeyRing(1)
    ring.failed(0, "auth", T0)
    ring.choose(1, T0 + 300, free)
    assert ring.choose(2, T0 + 300 + TRIAL_S, free) == 0


def test_models_share_what_is_parked_and_not_what_cools() -> None:
    parking = Parking(2)
    gpt, mini = KeyRing(2, parking), KeyRing(2, parking)
    gpt.failed(0, "auth", T0)
    gpt.failed(1, "rate", T0, 9.0)
    assert (gpt.usable(T0), mini.usable(T0)) == (0, 1)
    assert (gpt.until_at(T0), mini.until_at(T0)) == (Cooling(T0 + 9, "rate"), None)


def test_an_account_without_keys_has_one_place() -> None:
    assert KeyRing(0).choose(5, T0, free) == 0


def test_it_says_how_it_stands() -> None:
    ring = KeyRing(3)
    ring.failed(0, "quota", T0)
    ring.failed(2, "rate", T0, 2.5)
    assert repr(ring) == "1 of 3 keys usable; left alone: 1 for quota (900.0 s more), 3 for rate (2.5 s more)"
    assert repr(ring.parking) == "3 keys, parked: 1 for quota until 1900.0"


class Choosing(RuleBasedStateMachine):
    """Requests come and go with three keys that die and return."""

    KEYS = 3
    AT_LEAST: ClassVar = {"quota": 900.0, "auth": 300.0, "rate": 1.0}

    def __init__(self) -> None:
        super().__init__()
        self.ring = KeyRing(self.KEYS)
        self.now = T0
        self.seed = 0
        self.under_way: list[int] = []
        self.not_before = [T0] * self.KEYS

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.9, 5.0, 59.0, 60.0, 299.0, 300.0, 900.0, 7200.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule(out=st.sets(st.integers(0, 2)))
    def choose(self, out: set[int]) -> None:
        self.seed += 1
        able = [i for i in range(self.KEYS) if i not in out]
        usable = self.ring.usable(self.now)
        index = self.ring.choose(self.seed, self.now, lambda i: 3.0 if i in out else 0.0)
        if index is None:
            assert usable <= len(out)
            return
        assert index in able
        assert self.now >= self.not_before[index]
        self.under_way.append(index)

    @rule()
    def choose_any(self) -> None:
        self.choose(set())

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), kind=st.sampled_from(["quota", "auth", "rate", "overloaded", "client", None]))
    def comes_back(self, data: st.DataObject, kind: FailureKind | None) -> None:
        index = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        if kind is None:
            self.ring.ok(index, self.now)
            return
        alone = self.not_before[index] > self.now
        self.ring.failed(index, kind, self.now)
        if kind in self.AT_LEAST and not alone:
            self.not_before[index] = self.now + self.AT_LEAST[kind]

    @invariant()
    def somebody_is_usable_or_it_is_known_when(self) -> None:
        back = self.ring.until_at(self.now)
        if self.ring.usable(self.now):
            assert back is None
        else:
            assert back is not None
            assert self.now < back.until_at <= self.now + MAX_PARKED_S
            assert self.ring.usable(back.until_at) > 0


TestChoosing = Choosing.TestCase
TestChoosing.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
