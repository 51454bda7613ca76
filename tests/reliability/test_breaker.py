"""The breaker, by hand and against a model of it, on a clock that is wound by hand."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.reliability.breaker import Breaker, BreakerRules, State, Verdict

T0 = 1000.0
RULES = BreakerRules()


def breaker(rules: BreakerRules = RULES) -> Breaker:
    return Breaker(rules, T0)


def call(b: Breaker, verdict: Verdict, now: float = T0, retry_after_s: float | None = None) -> State | None:
    ticket = b.begin(now)
    assert ticket is not None
    return b.ended(ticket, verdict, now, retry_after_s)


def calls(b: Breaker, verdicts: str, now: float = T0) -> list[State | None]:
    """One call per letter, each over at once: o ok, f failed, s soft, n none."""
    names: dict[str, Verdict] = {"o": "ok", "f": "failed", "s": "soft", "n": "none"}
    return [call(b, names[v], now) for v in verdicts]


def opened(now: float = T0) -> Breaker:
    b = breaker()
    assert calls(b, "fff", now)[-1] == "open"
    return b


def half_open() -> tuple[Breaker, float]:
    b = opened()
    assert b.allow_probe(T0 + 30) == "half_open"
    return b, T0 + 30


def test_the_third_failure_in_a_row_opens_it() -> None:
    b = breaker()
    assert calls(b, "fff") == [None, None, "open"]
    assert (b.state(T0), b.permits(T0), b.begin(T0), b.until_at, b.opened) == ("open", False, None, T0 + 30, 1)


def test_it_opens_when_half_of_the_calls_have_failed() -> None:
    assert calls(breaker(), "ooofff")[-1] == "open"
    assert calls(breaker(), "oooofff")[-1] is None


def test_calls_of_which_nothing_is_known_yet_are_no_failures() -> None:
    b = breaker()
    slow = [b.begin(T0) for _ in range(5)]
    calls(b, "ffff")
    assert b.state(T0) == "closed"
    assert slow[0] is not None
    b.passed(slow[0], T0)
    assert b.state(T0) == "closed"
    assert call(b, "failed", T0) == "open"


def test_twelve_failures_in_a_row_open_it_however_well_it_did_before() -> None:
    b = breaker()
    assert calls(b, "o" * 500 + "f" * 11 + "o" + "f" * 12) == [None] * 523 + ["open"]
    assert repr(b) == "open for 30.0 s more after 12 failures in a row"


def test_a_long_answer_that_ends_well_does_not_interrupt_a_row() -> None:
    b = breaker()
    calls(b, "o" * 50)
    long = b.begin(T0)
    assert long is not None
    b.passed(long, T0)
    calls(b, "f" * 11)
    assert b.ended(long, "ok", T0) is None
    assert call(b, "failed") == "open"


def test_rate_limits_and_what_says_nothing_count_neither_way() -> None:
    b = breaker()
    assert calls(b, "ssssssnnnnnn" + "ff" + "sn") == [None] * 16
    assert repr(b) == "closed with 2 failures in 2 calls"


def test_failures_leave_the_window() -> None:
    b = breaker()
    calls(b, "ff", T0)
    assert calls(b, "f", T0 + 26.9) == ["open"]
    b = breaker()
    calls(b, "ff", T0)
    assert calls(b, "f", T0 + 30) == [None]
    assert b.sentence(T0 + 30) == "closed with 1 failure in 1 call"


def test_an_open_one_stays_shut_when_its_time_is_up_until_the_fleet_leases_the_probe() -> None:
    b = opened()
    assert b.state(T0 + 29.999) == "open"
    assert (b.state(T0 + 30), b.permits(T0 + 30), b.begin(T0 + 30)) == ("due", False, None)
    assert (b.allow_probe(T0 + 40), b.permits(T0 + 40), b.half_open_since) == ("half_open", True, T0 + 40)


def test_a_probe_is_not_allowed_before_it_is_due() -> None:
    b = opened()
    assert (b.allow_probe(T0 + 29), b.state(T0 + 29)) == (None, "open")
    assert (breaker().allow_probe(T0), breaker().begin(T0)) == (None, 1)


def test_a_probe_that_passes_closes_it_with_an_empty_window() -> None:
    b, now = half_open()
    assert call(b, "ok", now) == "closed"
    assert calls(b, "ff", now) == [None, None]
    assert b.sentence(now) == "closed with 2 failures in 2 calls"


def test_the_first_content_of_a_probe_closes_it_and_its_later_failure_counts() -> None:
    b, now = half_open()
    probe = b.begin(now)
    assert probe is not None
    assert (b.passed(probe, now + 1), b.state(now + 1)) == ("closed", "closed")
    assert calls(b, "ff", now + 2) == [None, None]
    assert b.ended(probe, "failed", now + 3) == "open"


def test_a_probe_that_fails_opens_it_again_for_as_long_as_before() -> None:
    b, now = half_open()
    assert (call(b, "failed", now + 2), b.until_at, b.opened) == ("open", now + 32, 2)


@pytest.mark.parametrize(("asked", "waits"), [(None, 30.0), (0.2, 1.0), (7.0, 7.0), (600.0, 30.0)])
def test_a_probe_that_is_rate_limited_waits_as_long_as_it_is_asked_to(asked: float | None, waits: float) -> None:
    b, now = half_open()
    assert (call(b, "soft", now, asked), b.until_at) == ("open", now + waits)


def test_a_probe_that_says_nothing_gives_its_permit_back() -> None:
    b, now = half_open()
    probe = b.begin(now)
    assert probe is not None
    assert (b.permits(now), b.ended(probe, "none", now + 1), b.permits(now + 1)) == (False, None, True)
    assert b.ended(probe, "ok", now + 1) is None
    assert b.state(now + 1) == "half_open"


def test_a_probe_that_is_not_heard_of_again_is_lost() -> None:
    b, now = half_open()
    lost = b.begin(now + 5)
    assert lost is not None
    assert (b.until_at, b.state(now + 64.9), b.state(now + 65)) == (now + 65, "half_open", "due")
    assert b.allow_probe(now + 65) == "half_open"
    second = b.begin(now + 65)
    assert second is not None
    assert (b.passed(lost, now + 66), b.ended(lost, "ok", now + 66), b.state(now + 66)) == (None, None, "half_open")
    assert b.ended(second, "ok", now + 67) == "closed"


def test_a_lost_probe_that_answers_before_another_is_sent_is_believed() -> None:
    b, now = half_open()
    slow = b.begin(now)
    assert slow is not None
    assert b.ended(slow, "ok", now + 90) == "closed"


def test_results_from_before_a_change_of_state_are_ignored() -> None:
    b = breaker()
    old = [b.begin(T0) for _ in range(3)]
    calls(b, "fff")
    b.allow_probe(T0 + 30)
    for ticket in old[:1]:
        assert ticket is not None
        assert (b.passed(ticket, T0 + 31), b.ended(ticket, "ok", T0 + 31)) == (None, None)
    assert b.state(T0 + 31) == "half_open"
    assert call(b, "ok", T0 + 31) == "closed"
    for ticket in old[1:]:
        assert ticket is not None
        assert b.ended(ticket, "failed", T0 + 32) is None
    assert b.sentence(T0 + 32) == "closed with 0 failures in 0 calls"


def test_the_fleets_word_shuts_it_and_a_later_end_wins() -> None:
    b = breaker()
    assert b.shut(T0 - 1, T0) is None
    assert (b.shut(T0 + 20, T0), b.shut(T0 + 20, T0), b.shut(T0 + 10, T0), b.until_at) == ("open", None, None, T0 + 20)
    assert (b.shut(T0 + 25, T0 + 1), b.until_at, b.opened) == (None, T0 + 25, 1)
    assert b.sentence(T0 + 5) == "open for 20.0 s more after failures elsewhere"
    assert b.shut(T0 + 50, T0 + 26) == "open"


def test_the_fleets_word_waits_for_a_probe_that_is_out_here_but_not_for_one_that_is_not() -> None:
    b, now = half_open()
    probe = b.begin(now)
    assert probe is not None
    assert (b.shut(now + 30, now + 1), b.ended(probe, "ok", now + 2)) == (None, "closed")
    b, now = half_open()
    assert b.shut(now + 30, now + 1) == "open"
    b, now = half_open()
    b.begin(now)
    assert b.shut(now + 90, now + 60) == "open"  # it was lost


def test_a_probe_that_passed_elsewhere_closes_it_and_what_was_begun_before_counts_no_more() -> None:
    b, now = half_open()
    probe = b.begin(now)
    assert probe is not None
    assert (b.mend(now + 1), b.ended(probe, "failed", now + 2), b.state(now + 2)) == ("closed", None, "closed")
    calls(b, "ff", now + 3)
    assert (b.mend(now + 3), b.sentence(now + 3)) == (None, "closed with 2 failures in 2 calls")


def test_a_long_answer_counts_as_a_success_from_its_first_content_until_it_fails() -> None:
    b = breaker()
    long = [b.begin(T0) for _ in range(10)]
    for ticket in long:
        assert ticket is not None
        b.passed(ticket, T0)
        b.passed(ticket, T0)
    assert calls(b, "fff") == [None] * 3
    assert b.sentence(T0) == "closed with 3 failures in 13 calls"
    assert [b.ended(t, "failed", T0 + 2) for t in long if t is not None][:4] == [None, None, None, "open"]
    assert repr(b) == "open for 30.0 s more after 7 failures in 13 calls"


def test_a_long_answer_is_counted_once() -> None:
    b = breaker()
    first, second, third = b.begin(T0), b.begin(T0), b.begin(T0)
    assert first is not None
    assert second is not None
    assert third is not None
    for ticket in (first, second, third):
        b.passed(ticket, T0)
    b.ended(first, "ok", T0 + 5)
    b.ended(second, "none", T0 + 5)
    b.ended(third, "failed", T0 + 50)
    assert b.sentence(T0 + 5) == "closed with 1 failure in 1 call"


def test_diversion_is_in_proportion_below_the_point_where_it_opens() -> None:
    b = breaker()
    calls(b, "ooffooooo")
    assert b.diversion(T0) == 0.0  # nine outcomes say too little
    calls(b, "f")
    assert b.diversion(T0) == pytest.approx((10 - 1.1 * 7) / 11)
    calls(b, "o" * 60)
    assert b.diversion(T0) == 0.0  # one in twenty is no reason


def test_diversion_is_capped() -> None:
    b = breaker(BreakerRules(min_failures=1000, in_a_row=1000))
    calls(b, "f" * 100)
    assert b.diversion(T0) == 0.8


@pytest.mark.parametrize(
    ("play", "sentence"),
    [
        ("", "closed with 0 failures in 0 calls"),
        ("offf", "open for 30.0 s more after 3 failures in 4 calls"),
    ],
)
def test_it_says_how_it_is(play: str, sentence: str) -> None:
    b = breaker()
    calls(b, play)
    assert repr(b) == sentence


def test_it_says_where_its_probe_is() -> None:
    b = opened()
    assert b.sentence(T0 + 31) == "due for a probe after 3 failures in 3 calls"
    b.allow_probe(T0 + 31)
    assert repr(b) == "half-open after 3 failures in 3 calls, waiting for a probe"
    b.begin(T0 + 31)
    assert repr(b) == "half-open after 3 failures in 3 calls, its probe is out"
    b.allow_probe(T0 + 91)
    call(b, "failed", T0 + 91)
    assert repr(b) == "open for 30.0 s more after a failed probe"


class AgainstTheModel(RuleBasedStateMachine):
    """Anything may happen at any time; a slow and obvious model says what the breaker must make of it."""

    @initialize(
        buckets=st.integers(1, 12),
        min_failures=st.integers(1, 5),
        ratio=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
        in_a_row=st.sampled_from([2, 5, 12]),
    )
    def start(self, buckets: int, min_failures: int, ratio: float, in_a_row: int) -> None:
        self.limits = BreakerRules(buckets=buckets, min_failures=min_failures, ratio=ratio, in_a_row=in_a_row)
        self.now = T0
        self.breaker = Breaker(self.limits, self.now)
        self.mode: State = "closed"
        self.until = 0.0
        self.out: int | None = None  # the ticket of the probe
        self.live: list[int] = []  # tickets whose result counts
        self.done: list[int] = []  # ended, but of this state
        self.stale: list[int] = []  # of an earlier one
        self.outcomes: list[tuple[float, bool, int]] = []  # when, whether it failed, whose
        self.unheard: set[int] = set()  # calls of a closed one that have neither content nor an end
        self.row = 0
        self.opened = 0

    def slot(self, at: float) -> int:
        return int(at * (self.limits.buckets / self.limits.window_s))

    def known(self) -> tuple[int, int]:
        """Failures and calls in the window."""
        seen = [failed for at, failed, _ in self.outcomes if self.slot(self.now) - self.slot(at) < self.limits.buckets]
        return sum(seen), len(seen)

    def change(self, mode: State, until: float = 0.0, keep: int | None = None) -> State:
        self.stale += [t for t in self.live + self.done if t != keep]
        self.live = [t for t in self.live if t == keep]
        self.done = []
        self.unheard = set()
        self.mode, self.until, self.out, self.outcomes, self.row = mode, until, None, [], 0
        self.opened += mode == "open"
        return mode

    def wait(self) -> State:
        """The state as the clock has it."""
        return "due" if self.mode in ("open", "half_open") and self.now >= self.until else self.mode

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 3.0, 7.5, 29.5, 30.0, 60.0, 400.0]))
    def the_clock_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_try_starts(self) -> None:
        free = self.mode == "closed" or (self.wait() == "half_open" and self.out is None)
        assert self.breaker.permits(self.now) == free
        ticket = self.breaker.begin(self.now)
        assert (ticket is not None) == free
        if ticket is None:
            return
        assert ticket not in self.live + self.done + self.stale
        self.live.append(ticket)
        if self.mode == "closed":
            self.unheard.add(ticket)
        else:
            self.out, self.until = ticket, self.now + self.limits.probe_s

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def content_comes(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.live))
        said = self.breaker.passed(ticket, self.now)
        if self.mode == "half_open":
            assert said == self.change("closed", keep=ticket)
            return
        assert said is None
        self.unheard.discard(ticket)
        if all(whose != ticket for _, _, whose in self.outcomes):
            self.outcomes.append((self.now, False, ticket))
            self.row = 0

    @precondition(lambda self: self.live)
    @rule(
        data=st.data(),
        verdict=st.sampled_from(["ok", "failed", "failed", "soft", "none"]),
        wait=st.sampled_from([None, 0.0, 5.0, 99.0]),
    )
    def a_try_ends(self, data: st.DataObject, verdict: Verdict, wait: float | None) -> None:
        ticket = data.draw(st.sampled_from(self.live))
        said = self.breaker.ended(ticket, verdict, self.now, wait)
        self.live.remove(ticket)
        self.done.append(ticket)
        probe = ticket == self.out
        assert said == (self.probe_ended(ticket, verdict, wait) if probe else self.call_ended(ticket, verdict))

    def probe_ended(self, ticket: int, verdict: Verdict, wait: float | None) -> State | None:
        if verdict == "ok":
            return self.change("closed", keep=ticket)
        if verdict == "none":
            self.out = None
            self.stale.append(self.done.pop())
            return None
        soft = verdict == "soft" and wait is not None
        return self.change("open", self.now + (min(max(wait or 0.0, 1.0), 30.0) if soft else 30.0))

    def call_ended(self, ticket: int, verdict: Verdict) -> State | None:
        self.unheard.discard(ticket)
        counted = any(whose == ticket for _, _, whose in self.outcomes)
        if verdict in ("failed", "soft"):
            self.outcomes = [o for o in self.outcomes if o[2] != ticket]
        if verdict == "failed" or (verdict == "ok" and not counted):
            self.outcomes.append((self.now, verdict == "failed", -ticket))
        if verdict == "ok" and not counted:
            self.row = 0
        if verdict != "failed":
            return None
        self.row += 1
        failed, known = self.known()
        too_many = failed >= self.limits.min_failures and failed >= self.limits.ratio * (known + len(self.unheard))
        return self.change("open", self.now + 30.0) if too_many or self.row >= self.limits.in_a_row else None

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), verdict=st.sampled_from(["ok", "failed", "soft", "none"]), content=st.booleans())
    def an_old_result_comes(self, data: st.DataObject, verdict: Verdict, content: bool) -> None:
        ticket = data.draw(st.sampled_from(self.stale[-3:]))
        said = self.breaker.passed(ticket, self.now) if content else self.breaker.ended(ticket, verdict, self.now)
        assert said is None

    @rule(seconds=st.sampled_from([-1.0, 0.0, 1.0, 20.0, 50.0]))
    def the_fleet_says_open(self, seconds: float) -> None:
        until = self.now + seconds
        said = self.breaker.shut(until, self.now)
        if seconds <= 0 or (self.wait() == "half_open" and self.out is not None):
            assert said is None
        elif self.wait() == "open":
            assert said is None
            self.until = max(self.until, until)
        else:
            assert said == self.change("open", until)

    @rule()
    def the_fleet_says_closed(self) -> None:
        said = self.breaker.mend(self.now)
        assert said == (None if self.mode == "closed" else self.change("closed"))

    @precondition(lambda self: self.mode != "closed")
    @rule(in_time=st.booleans(), begins=st.booleans())
    def the_lease_is_ours(self, in_time: bool, begins: bool) -> None:
        if in_time:
            self.now = max(self.now, self.until)
        due = self.wait() == "due"
        assert self.breaker.allow_probe(self.now) == ("half_open" if due else None)
        if due:
            self.change("half_open", self.now + self.limits.probe_s)
        if begins:
            self.a_try_starts()

    @precondition(lambda self: self.mode == "half_open")
    @rule()
    def the_probe_is_lost(self) -> None:
        self.now = max(self.now, self.until)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "breaker"):
            return
        b = self.breaker
        assert (b.state(self.now), b.opened) == (self.wait(), self.opened)
        assert (b.half_open_since is not None) == (self.mode == "half_open")
        if self.mode == "closed":
            failed, known = self.known()
            plural = "" if failed == 1 else "s", "" if known == 1 else "s"
            assert b.sentence(self.now) == f"closed with {failed} failure{plural[0]} in {known} call{plural[1]}"
            assert 0.0 <= b.diversion(self.now) <= 0.8
            assert known >= 10 or b.diversion(self.now) == 0.0
        elif self.mode == "open" or self.out is not None:
            assert b.until_at == self.until


TestAgainstTheModel = AgainstTheModel.TestCase
TestAgainstTheModel.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
