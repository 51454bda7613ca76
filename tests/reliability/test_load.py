"""Load: the limit that is learnt, the cost of one more call, and the patience for a first token."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.reliability.load import FirstTokenRules, Load, LoadRules

T0 = 1000.0


def load(**rules: float) -> Load:
    return Load(LoadRules(**rules), T0)  # type: ignore[arg-type]


def busy(n: int, it: Load | None = None) -> Load:
    it = it or load()
    for _ in range(n):
        it.began(T0)
    return it


def quick(seconds: float, n: int = 100, it: Load | None = None, now: float = T0) -> Load:
    it = it or load()
    for _ in range(n):
        it.first(seconds, now)
    return it


def test_no_limit_binds_before_anything_was_dropped() -> None:
    it = busy(999)
    assert (it.limit, it.room(T0)) == (1000, True)
    it.began(T0)
    assert it.room(T0) is False


def test_a_drop_cuts_the_limit_below_what_was_in_flight() -> None:
    it = busy(200)
    it.ended(T0, dropped=True)
    assert (it.inflight, it.limit, it.room(T0)) == (199, 180, False)


def test_the_drops_of_one_overload_cut_it_once() -> None:
    it = busy(200)
    for _ in range(50):
        it.ended(T0 + 0.5, dropped=True)
    assert (it.inflight, it.limit) == (150, 180)
    it.ended(T0 + 1.5, dropped=True)
    assert it.limit == 135


def test_the_limit_has_a_floor() -> None:
    it = busy(1)
    it.ended(T0, dropped=True)
    assert (it.limit, it.room(T0)) == (20, True)


def test_a_success_raises_the_limit_only_when_it_is_half_used() -> None:
    it = busy(100)
    it.ended(T0, dropped=True)
    assert it.limit == 90
    while it.inflight >= 45:
        it.ended(T0, dropped=False)
    grown = it.limit
    assert grown > 90
    it.ended(T0, dropped=False)
    assert it.limit == grown


def test_a_limit_is_forgotten_when_nothing_was_dropped_for_long() -> None:
    it = busy(100)
    it.ended(T0, dropped=True)
    assert it.room(T0 + 299) is False
    assert (it.room(T0 + 300), it.limit) == (True, 1000)


def test_more_ends_than_beginnings_leave_it_at_nothing() -> None:
    it = busy(1)
    it.ended(T0, dropped=False)
    it.ended(T0, dropped=False)
    assert it.inflight == 0


def test_an_unknown_one_is_tried_once() -> None:
    it = load()
    assert it.cost(T0) == 0.0
    it.began(T0)
    assert it.cost(T0) == 20.0


def test_the_cost_grows_with_what_is_in_flight() -> None:
    it = quick(0.5)
    assert it.cost(T0) == 0.5
    assert busy(3, it).cost(T0) == 2.0


def test_the_cost_jumps_up_at_once_and_falls_slowly_to_what_is_usual() -> None:
    it = quick(0.5, 99)
    it.first(4.0, T0)
    assert it.cost(T0) == 4.0
    assert it.cost(T0 + 10) == pytest.approx(0.53 + (4.0 - 0.53) / 2.718, abs=0.02)
    assert it.cost(T0 + 60) == pytest.approx(0.53, abs=0.02)


def test_quicker_answers_bring_a_peak_down_with_its_time_constant() -> None:
    it = quick(4.0, 1)
    it.first(0.5, T0 + 10)
    assert it.cost(T0 + 10) == pytest.approx(0.5 + 3.5 / 2.718, abs=0.01)


def test_a_slow_one_that_is_left_alone_is_tried_again_in_the_end() -> None:
    it = quick(20.0)
    assert it.cost(T0 + 300) == pytest.approx(20.0, abs=0.1)
    assert it.cost(T0 + 3600) < 0.1


def test_a_percentile_needs_twenty_samples() -> None:
    assert quick(1.0, 19).p95() is None
    assert quick(1.0, 20).p95() == pytest.approx(1.0, rel=0.2)


def test_the_percentile_is_right_to_a_quarter_of_an_octave() -> None:
    it = load()
    for n in range(1, 1001):
        it.first(n / 100, T0 + n / 100)
    p95 = it.p95()
    assert p95 is not None
    assert 9.5 <= p95 <= 9.5 * 2**0.25


def test_extremes_stay_in_the_histogram() -> None:
    assert quick(0.0).p95() == pytest.approx(0.01)
    assert quick(1e9).p95() == pytest.approx(0.01 * 2**15.75)


def test_what_was_seen_hours_ago_weighs_little() -> None:
    it = quick(8.0, 200)
    quick(0.1, 60, it, T0 + 4 * 3600)
    assert it.p95() == pytest.approx(0.1, rel=0.2)


def test_a_month_of_silence_does_not_overflow() -> None:
    it = quick(8.0, 200)
    it.first(1.0, T0 + 30 * 86400)
    assert it.p95() is None
    assert it.cost(T0 + 60 * 86400) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("usual", "tokens", "reasoning", "patience"),
    [
        (None, 0, False, 10.0),
        (0.5, 0, False, 10.0),
        (5.0, 0, False, 20.0),
        (29.0, 0, False, 30.0),
        (29.0, 50_000, False, 40.0),
        (None, 0, True, 120.0),
        (0.5, 5_000, True, 121.0),
    ],
)
def test_patience_for_a_first_token(usual: float | None, tokens: int, reasoning: bool, patience: float) -> None:
    it = load() if usual is None else quick(usual)
    assert it.first_token_s(tokens, reasoning) == pytest.approx(patience, rel=0.19)
    assert it.first_token_s(tokens, reasoning) >= patience


def test_a_fixed_patience_wins() -> None:
    it = Load(LoadRules(), T0, FirstTokenRules(fixed_s=4.0))
    assert quick(29.0, it=it).first_token_s(100_000, True) == 4.0


def test_it_says_how_it_is() -> None:
    assert repr(busy(3)) == "3 in flight of at most 1000"
    assert repr(quick(0.01, it=busy(3))) == "3 in flight of at most 1000, 19 of 20 first contents within 0.01 s"


class AnyLoad(RuleBasedStateMachine):
    """Whatever happens, in whatever order."""

    @initialize(low=st.integers(1, 30), more=st.integers(0, 30), most=st.integers(0, 30))
    def start(self, low: int, more: int, most: int) -> None:
        self.bounds = LoadRules(min_limit=low, start_limit=low + more, max_limit=low + more + most)
        self.now = T0
        self.load = Load(self.bounds, T0)
        self.inflight = 0
        self.slowest = 0.0

    @rule(seconds=st.sampled_from([0.0, 0.2, 1.0, 30.0, 300.0, 1e6]))
    def the_clock_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule(n=st.integers(1, 40))
    def calls_begin(self, n: int) -> None:
        for _ in range(n):
            self.load.began(self.now)
        self.inflight += n

    @rule(seconds=st.floats(0.0, 1e4))
    def content_comes(self, seconds: float) -> None:
        self.load.first(seconds, self.now)
        self.slowest = max(self.slowest, seconds)
        assert self.load.cost(self.now) >= seconds * (self.inflight + 1) - 1e-9

    @precondition(lambda self: self.inflight)
    @rule(n=st.integers(1, 20))
    def calls_succeed(self, n: int) -> None:
        for _ in range(min(n, self.inflight)):
            self.load.ended(self.now, dropped=False)
            self.inflight -= 1

    @rule()
    def a_call_is_dropped(self) -> None:
        before = self.load.limit
        self.load.ended(self.now, dropped=True)
        assert self.load.limit <= max(before, self.bounds.start_limit)
        self.inflight = max(0, self.inflight - 1)

    @invariant()
    def all_is_within_bounds(self) -> None:
        if not hasattr(self, "load"):
            return
        assert self.load.inflight == self.inflight
        assert self.bounds.min_limit <= self.load.limit <= self.bounds.max_limit
        assert self.load.room(self.now) == (self.inflight < self.load.limit)
        unknown = self.bounds.unknown_s if not self.slowest else 0.0
        assert 0.0 <= self.load.cost(self.now) <= max(self.slowest, unknown) * (self.inflight + 1) + 1e-9


TestAnyLoad = AnyLoad.TestCase
TestAnyLoad.settings = settings(max_examples=100, deadline=None)
