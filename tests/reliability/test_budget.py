"""The retry budget, by hand and against a ledger that forgets nothing."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.reliability.budget import RetryBudget

T0 = 1000.0


def withdrawn(it: RetryBudget, now: float) -> int:
    n = 0
    while it.withdraw(now):
        n += 1
    return n


def test_the_few_have_a_reserve() -> None:
    assert withdrawn(RetryBudget(), T0) == 30


def test_the_many_have_a_tenth_beside() -> None:
    it = RetryBudget()
    for _ in range(1000):
        it.deposit(T0)
    assert it.remaining(T0) == 130.0
    assert (withdrawn(it, T0), it.remaining(T0)) == (130, 0.0)


def test_ten_tenths_are_one_retry() -> None:
    it = RetryBudget(min_per_s=0.0)
    assert it.withdraw(T0) is False
    for _ in range(9):
        it.deposit(T0)
    assert it.withdraw(T0) is False
    assert it.remaining(T0) == pytest.approx(0.9)
    it.deposit(T0)
    assert (it.withdraw(T0), it.withdraw(T0)) == (True, False)


def test_deposits_and_retries_are_forgotten() -> None:
    it = RetryBudget()
    for _ in range(100):
        it.deposit(T0)
    withdrawn(it, T0)
    assert (it.remaining(T0 + 8.9), it.remaining(T0 + 10)) == (0.0, 30.0)


def test_the_balance_does_not_go_below_nothing() -> None:
    it = RetryBudget(min_per_s=0.0)
    for _ in range(100):
        it.deposit(T0)
    withdrawn(it, T0 + 5)
    assert (it.remaining(T0 + 10), it.withdraw(T0 + 10), it.remaining(T0 + 15)) == (0.0, False, 0.0)


def test_a_steady_stream_of_failures_is_retried_by_a_tenth_and_the_reserve() -> None:
    it = RetryBudget()
    retried = 0
    for n in range(100 * 60):
        it.deposit(T0 + n / 100)
        retried += it.withdraw(T0 + n / 100)
    assert retried == pytest.approx((100 * 0.1 + 3.0) * 60, rel=0.05)


def test_it_says_how_it_is() -> None:
    it = RetryBudget()
    it.deposit(T0)
    it.withdraw(T0)
    assert repr(it) == "29.1 retries left; lately 1 paid in, 1 taken out"


class AgainstALedger(RuleBasedStateMachine):
    @initialize(ratio=st.sampled_from([0.0, 0.1, 0.5, 1.0]), reserve=st.sampled_from([0.0, 0.5, 3.0]))
    def start(self, ratio: float, reserve: float) -> None:
        self.budget = RetryBudget(ratio, reserve, 10.0)
        self.ratio, self.reserve = ratio, reserve
        self.now = T0
        self.deposits: list[int] = []
        self.retries: list[int] = []

    def balance(self) -> float:
        """A slot is a second, and ten of them are remembered."""
        paid, used = (sum(int(self.now) - at < 10 for at in those) for those in (self.deposits, self.retries))
        return self.reserve * 10 + self.ratio * paid - used

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 5.0, 9.9, 60.0]))
    def the_clock_goes_on(self, seconds: float) -> None:
        self.now += seconds

    @rule(n=st.integers(1, 30))
    def requests_come(self, n: int) -> None:
        for _ in range(n):
            self.budget.deposit(self.now)
        self.deposits += [int(self.now)] * n

    @rule(n=st.integers(1, 30))
    def retries_are_asked_for(self, n: int) -> None:
        for _ in range(n):
            free = self.balance() >= 1.0 - 1e-9
            assert self.budget.withdraw(self.now) == free
            self.retries += [int(self.now)] * free

    @invariant()
    def the_ledger_agrees(self) -> None:
        if hasattr(self, "budget"):
            assert self.budget.remaining(self.now) == pytest.approx(max(0.0, self.balance()))


TestAgainstALedger = AgainstALedger.TestCase
TestAgainstALedger.settings = settings(max_examples=100, deadline=None)
