"""What a quota lets through, on a hand-wound clock."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.reliability.meter import LocalMeter, Lows
from gateway.reliability.quota import BURST_S, NEVER, Need, Quota, Taken
from gateway.reliability.remaining import Remaining

T0 = 1000.0


def tokens(n: int) -> Need:
    return Need(1, n)


def admitted(quota: Quota, now: float, need: Need | None = None) -> int:
    """How many requests of this need are let through at once."""
    need = need or Need()
    n = 0
    while quota.wait_s(need, now) == 0.0 and n < 10_000:
        quota.take(need, now)
        n += 1
    return n


# --- configured limits ------------------------------------------------------------------------------------------


def test_no_limit_is_no_limit() -> None:
    quota = Quota()
    assert (admitted(quota, T0), quota.share(T0)) == (10_000, 1.0)


def test_ten_seconds_worth_goes_at_once_then_as_much_as_drains() -> None:
    quota = Quota(rpm=600)
    assert admitted(quota, T0) == 99
    assert quota.wait_s(Need(), T0) == pytest.approx((1 / 0.95 - 1) / 10)
    assert admitted(quota, T0 + 1.0) == 10


def test_tokens_are_held_as_estimated_and_settled_as_used() -> None:
    quota = Quota(tpm=6000)
    taken = quota.take(tokens(900), T0)
    assert quota.wait_s(tokens(500), T0) > 0
    quota.settle(taken, tokens(100), T0)
    assert quota.wait_s(tokens(500), T0) == 0.0
    quota.settle(taken, tokens(0), T0)
    quota.settle(Quota().take(Need(), T0), None, T0)
    assert quota.share(T0) == pytest.approx(0.9)


def test_what_failed_uncounted_is_given_back_and_what_took_more_is_drawn() -> None:
    quota = Quota(rpm=60, tpm=6000)
    quota.settle(quota.take(tokens(900), T0), None, T0 + 0.5)
    assert quota.share(T0 + 0.5) == 1.0
    quota.settle(quota.take(tokens(100), T0 + 1), tokens(700), T0 + 1)
    assert quota.share(T0 + 1) == pytest.approx(0.3)


def test_what_has_drained_is_not_given_back_to_others() -> None:
    quota = Quota(tpm=6000)
    first = quota.take(tokens(1000), T0)
    quota.take(tokens(1000), T0 + 10)
    quota.settle(first, None, T0 + 10)
    assert quota.share(T0 + 10) == 0.0


def test_more_than_a_burst_waits_for_an_empty_bucket_and_more_than_the_limit_for_ever() -> None:
    quota = Quota(tpm=6000)
    assert quota.wait_s(tokens(5000), T0) == 0.0
    quota.take(tokens(5000), T0)
    assert quota.wait_s(tokens(2000), T0) == pytest.approx(50.0)
    assert quota.wait_s(tokens(10), T0) == pytest.approx((5000 - 1000 + 10 / 0.95) / 100)
    assert quota.wait_s(tokens(6001), T0) == NEVER == inf


def test_a_replica_that_cannot_ask_the_fleet_counts_on_its_share() -> None:
    quota = Quota(rpm=600)
    quota.scale(0.5)
    assert admitted(quota, T0) == 49
    quota.scale(1.0)
    assert admitted(quota, T0) == 50


def test_a_refusal_holds_for_as_long_as_was_asked_and_what_was_drawn_stays_drawn() -> None:
    quota = Quota(rpm=60)
    refused = quota.take(Need(), T0)
    quota.refused(T0, 7.0, refused)
    quota.refused(T0, 2.0)
    assert (quota.wait_s(Need(), T0 + 3), quota.share(T0 + 3), quota.wait_s(Need(), T0 + 7)) == (4.0, 0.0, 0.0)
    quota.settle(refused, None, T0)
    assert Quota(rpm=60).share(T0) > quota.share(T0 + 7 - 1e-9) == 0.0
    silent = Quota()
    silent.refused(T0, None)
    assert silent.wait_s(Need(), T0) == 1.0


def test_it_says_how_it_stands() -> None:
    quota = Quota("gpt at openai, key 1", rpm=60)
    taken = quota.take(Need(), T0)
    quota.note((Remaining("requests", 58, 60, 2.0), Remaining("tokens", 900, 1000, 6.0, "minute")), T0, taken)
    quota.refused(T0, 3.0)
    assert repr(quota) == (
        "quota of gpt at openai, key 1: 60 requests a minute, 9 of them now; 1000 tokens a minute, 166.667 of them"
        " now; the provider said 58 of 60 requests left; the provider said 900 of 1000 tokens (minute) left;"
        " refused for 3.0 s more; 1 in flight"
    )
    assert repr(Quota()) == "quota: no limit known; 0 in flight"


# --- what answers say -------------------------------------------------------------------------------------------


def said(remaining: int, limit: int | None = 100, reset_s: float | None = None, scope: str = "day") -> Remaining:
    """Of a day, so that no meter is made of it and it is heard alone."""
    return Remaining("requests", remaining, limit, reset_s, scope)


def test_what_was_sent_after_the_request_that_was_answered_is_subtracted() -> None:
    quota = Quota()
    quota.take(Need(), T0)
    answered = quota.take(Need(), T0)
    later = [quota.take(Need(), T0) for _ in range(3)]
    quota.note([said(10, reset_s=86400)], T0 + 1, answered)
    assert admitted(quota, T0 + 1) == 6
    for taken in later:
        quota.settle(taken, None, T0 + 1)
    assert admitted(quota, T0 + 1) == 3


def test_without_its_request_all_that_is_in_flight_is_subtracted() -> None:
    quota = Quota()
    quota.settle(quota.take(Need(), T0), Need(), T0)
    quota.take(Need(), T0)
    quota.note([said(3, reset_s=86400)], T0)
    assert admitted(quota, T0) == 1


def test_an_answer_to_an_earlier_request_is_old_news() -> None:
    quota = Quota()
    first, second = quota.take(Need(), T0), quota.take(Need(), T0)
    quota.note([said(5, reset_s=86400)], T0, second)
    quota.note([said(90, reset_s=86400)], T0, first)
    assert admitted(quota, T0) == 4


def test_a_bucket_comes_back_in_a_straight_line_and_a_window_all_at_once() -> None:
    bucket, window = Quota(), Quota()
    bucket.note([said(0, reset_s=86400)], T0)
    window.note([said(0, reset_s=600)], T0)
    assert bucket.wait_s(Need(), T0) == pytest.approx(864 / 0.95)
    assert (window.wait_s(Need(), T0), window.wait_s(Need(), T0 + 590)) == (600.0, 10.0)
    assert (bucket.share(T0 + 43200), window.share(T0 + 300), window.share(T0 + 600)) == (0.5, 0.0, 1.0)


def test_limits_of_one_dimension_are_told_apart_and_the_tightest_holds() -> None:
    quota = Quota()
    quota.note([said(50, reset_s=86400), said(3, 5, 3600.0, "hour"), Remaining("tokens", 0, 10, 5.0)], T0)
    assert admitted(quota, T0) == 2
    assert quota.wait_s(tokens(11), T0) == NEVER


def test_a_limit_that_is_told_gets_a_meter_and_a_configured_one_yields_when_it_is_higher() -> None:
    learned, lower, higher = Quota(), Quota(rpm=30), Quota(rpm=6000)
    for quota in (learned, lower, higher):
        quota.note([Remaining("requests", 599, 600, 0.1)], T0)
    assert (admitted(learned, T0), admitted(lower, T0), admitted(higher, T0)) == (99, 4, 99)


def test_what_was_sent_before_a_limit_was_known_is_not_given_back_to_it() -> None:
    quota = Quota()
    before, answered = quota.take(Need(), T0), quota.take(Need(), T0)
    quota.note([Remaining("requests", 598, 600, 0.2)], T0, answered)
    quota.take(Need(), T0)
    quota.settle(before, None, T0)
    assert quota.share(T0) == pytest.approx(0.99)


def test_a_limit_of_a_second_is_not_taken_for_one_of_a_minute() -> None:
    quota = Quota()
    quota.note([Remaining("requests", 0, 2, 1.0)], T0)
    assert (quota.wait_s(Need(), T0), admitted(quota, T0 + 1)) == (1.0, 1)


def test_when_others_use_the_account_the_meter_learns_it() -> None:
    drawn: dict[str, LocalMeter] = {}

    def make(dimension: str, rate: float, capacity: float) -> LocalMeter:
        return drawn.setdefault(dimension, LocalMeter(rate, capacity))

    quota = Quota(rpm=60, make=make)
    quota.note([Remaining("requests", 2, 60, 58.0)], T0)
    assert drawn["requests"].level(T0) == 60 * BURST_S / 60 - 2


def test_a_limit_of_nothing_and_no_headers_change_nothing() -> None:
    quota = Quota()
    quota.note([Remaining("requests", 0, 0, 5.0)], T0)
    quota.note((), T0)
    assert quota.wait_s(Need(), T0) == 0.0


# --- held for anything ------------------------------------------------------------------------------------------


class Sending(RuleBasedStateMachine):
    """A replica alone sends what fits, and settles it for less than it was estimated, sooner or later or never."""

    RPM, TPM = 60, 6000

    def __init__(self) -> None:
        super().__init__()
        self.quota = Quota(rpm=self.RPM, tpm=self.TPM)
        self.now = T0
        self.sent: list[Taken] = []
        self.used: dict[int, Need] = {}

    @rule(seconds=st.floats(0, 30))
    def time_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule(need=st.builds(tokens, st.integers(1, 3000)), times=st.integers(1, 15))
    def send_what_fits(self, need: Need, times: int) -> None:
        for _ in range(times):
            if self.quota.wait_s(need, self.now) == 0.0:
                taken = self.quota.take(need, self.now)
                self.sent.append(taken)
                self.used[taken.n] = need

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), share=st.sampled_from([None, 0.0, 0.1, 0.5, 0.9, 1.0]))
    def settle(self, data: st.DataObject, share: float | None) -> None:
        taken = data.draw(st.sampled_from(self.sent))
        used = None if share is None else tokens(int(taken.need.tokens * share))
        if taken.n in self.quota._in_flight:
            self.used[taken.n] = Need(0) if used is None else used
        self.quota.settle(taken, used, self.now)

    @rule(need=st.builds(tokens, st.integers(1, 6000)))
    def it_fits_after_the_wait_it_named(self, need: Need) -> None:
        wait = self.quota.wait_s(need, self.now)
        assert wait < 200
        assert self.quota.wait_s(need, self.now + wait + 1e-6) == 0.0

    @rule()
    def after_a_pause_it_is_full_again(self) -> None:
        self.now += 200
        assert self.quota.share(self.now) == 1.0

    @invariant()
    def no_stretch_of_time_sees_more_than_its_share_and_one_burst(self) -> None:
        for rate, burst, of in (
            (self.RPM / 60, self.RPM * BURST_S / 60, "requests"),
            (self.TPM / 60, self.TPM * BURST_S / 60, "tokens"),
        ):
            at_once = max([burst, *(getattr(taken.need, of) for taken in self.sent)])
            total = 0.0
            for taken in reversed(self.sent):
                total += getattr(self.used[taken.n], of)
                assert total <= rate * (self.sent[-1].at - taken.at) + at_once + 1e-6

    @invariant()
    def nothing_is_given_back_twice(self) -> None:
        assert all(limit.meter.level(self.now) >= 0.0 for limit in self.quota._limits.values())
        assert 0.0 <= self.quota.share(self.now) <= 1.0


TestSending = Sending.TestCase
TestSending.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), min_size=1, max_size=30), st.data())
def test_giving_back_leaves_what_would_be_there_had_it_not_been_drawn(
    draws: list[tuple[float, int]], data: st.DataObject
) -> None:
    meter, lows, now, times = LocalMeter(2.0, 10), Lows(), T0, []
    for n, (pause, amount) in enumerate(draws):
        now += pause
        times.append(now)
        lows.seen(n, meter.level(now))
        meter.draw(amount, now)
    amounts = [float(amount) for _, amount in draws]
    for n in data.draw(st.lists(st.integers(0, len(draws) - 1), unique=True)):
        now += data.draw(st.floats(0, 1))
        back = lows.still_there(n, amounts[n], meter.level(now))
        lows.given_back(n, back)
        meter.draw(-back, now)
        amounts[n] = 0.0
        without = LocalMeter(2.0, 10)
        for at, left in zip(times, amounts, strict=True):
            without.draw(left, at)
        assert meter.level(now) == pytest.approx(without.level(now), abs=1e-6)


def test_nothing_is_kept_of_what_has_come_back() -> None:
    quota = Quota(rpm=60)
    taken = [quota.take(Need(), T0 + i / 10) for i in range(9)]
    for each in taken:
        quota.settle(each, each.need, T0 + 1)
    assert repr(quota._limits["requests"].lows) == "no lows"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(0, 500)),
            st.tuples(st.just("settle"), st.integers(0, 500)),
            st.tuples(st.just("note"), st.integers(0, 1000)),
            st.tuples(st.just("wait"), st.integers(0, 90)),
        ),
        max_size=50,
    )
)
def test_whatever_answers_say_the_share_is_a_share_and_waits_are_not_negative(steps: list[tuple[str, int]]) -> None:
    quota, now, taken = Quota(tpm=3000), T0, Quota().take(Need(), T0)
    for step, n in steps:
        if step == "take":
            taken = quota.take(tokens(n), now)
        elif step == "settle":
            quota.settle(taken, tokens(n), now)
        elif step == "note":
            quota.note([Remaining("tokens", n, None if n % 3 else 900, n / 10 if n % 5 else None)], now, taken)
        else:
            now += n
        assert 0.0 <= quota.share(now) <= 1.0
        assert quota.wait_s(tokens(n), now) >= 0.0
