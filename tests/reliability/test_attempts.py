"""Conversations with the attempt machine: what it is told, and what it wants next."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Failure, FailureKind
from gateway.policy.plan import write_out
from gateway.reliability.attempts import Attempts, Start, Stop
from gateway.types import Account, Deployment, Plan, Secret
from tests.make import deployment, policy

A, B, C = deployment("a"), deployment("b"), deployment("c")
T0 = 1000.0


def machine(*targets: Deployment, attempts: int = 4, same_target: int = 1, total_s: float = 60.0) -> Attempts:
    names = tuple(t.name for t in targets)
    plan = write_out(names, (), policy(*names, attempts=attempts, same_target=same_target, total_s=total_s))
    return Attempts(plan, {t.name: t for t in targets}, 7, T0)


def play(machine: Attempts, *failures: Failure) -> list[str | None]:
    """The deployments that are tried when these failures come one after the other, each at once."""
    step = machine.first(T0)
    tried: list[str | None] = []
    for failure in failures:
        tried.append(step.deployment if isinstance(step, Start) else None)
        if isinstance(step, Stop):
            return tried
        step = machine.failed(failure, max(T0, step.at))
    tried.append(step.deployment if isinstance(step, Start) else None)
    return tried


def fail(kind: FailureKind, **more: float) -> Failure:
    return Failure(kind, "it failed", retry_after_s=more.get("retry_after_s"))


def test_an_overloaded_deployment_is_tried_once_more_then_the_next() -> None:
    down = fail("overloaded")
    assert play(machine(A, B, C), down, down, down, down) == ["a", "a", "b", "c", None]


def test_a_silent_one_is_never_tried_again() -> None:
    assert play(machine(A, B), fail("silent"), fail("overloaded"), fail("overloaded")) == ["a", "b", "b", None]


def test_the_clients_own_mistakes_and_filters_end_it() -> None:
    assert play(machine(A, B), fail("client")) == ["a", None]
    assert play(machine(A, B), fail("filter")) == ["a", None]


def test_too_long_a_request_goes_to_a_larger_window_only() -> None:
    small, equal, large = (deployment(n, context_window=w) for n, w in (("s", 8), ("e", 8), ("l", 128)))
    assert play(machine(small, equal, large), fail("context"), fail("context")) == ["s", "l", None]


def test_a_rate_limit_goes_to_the_same_model_elsewhere_first() -> None:
    twin = deployment("twin", model="a")
    assert play(machine(A, B, twin), fail("rate"))[:2] == ["a", "twin"]


def test_a_short_wait_that_was_asked_for_is_kept_before_another_model_is_tried() -> None:
    attempts = machine(A, B)
    attempts.first(T0)
    assert attempts.failed(fail("rate", retry_after_s=2.0), T0 + 1) == Start(2, "a", "retry", T0 + 3)


def test_a_long_wait_is_not_kept() -> None:
    assert play(machine(A, B), fail("rate", retry_after_s=3.5), fail("overloaded")) == ["a", "b", "b"]


def test_a_rate_limit_without_a_wait_goes_to_another_at_once() -> None:
    attempts = machine(A, B)
    attempts.first(T0)
    assert attempts.failed(fail("rate"), T0) == Start(2, "b", "fallback", T0)


def test_an_empty_purse_or_a_refused_key_takes_the_whole_account_out() -> None:
    account = Account(name="other", kind="openai", base_url="https://x/v1", keys=(Secret("k"),))
    other = deployment("other", account=account)
    for kind in ("quota", "auth"):
        assert play(machine(A, B, other), fail(kind), fail("overloaded")) == ["a", "other", None]


def test_with_a_second_key_the_account_may_still_do() -> None:
    account = Account(name="two", kind="openai", base_url="https://x/v1", keys=(Secret("k"), Secret("l")))
    one, two = deployment("one", account=account), deployment("two", account=account)
    assert play(machine(one, two), fail("quota")) == ["one", "two"]


def test_backoff_has_full_jitter_and_is_the_same_for_the_same_seed() -> None:
    waits = []
    for seed in range(200):
        attempts = Attempts(write_out(("a",), (), policy("a")), {"a": A}, seed, T0)
        attempts.first(T0)
        step = attempts.failed(fail("overloaded"), T0)
        assert isinstance(step, Start)
        waits.append(step.at - T0)
    assert 0 < min(waits) < 0.02
    assert 0.23 < max(waits) <= 0.25


def test_nothing_starts_after_the_deadline() -> None:
    attempts = machine(A, B, total_s=10.0)
    attempts.first(T0)
    assert attempts.failed(fail("overloaded"), T0 + 10) == Stop(deadline=True)


def test_its_repr_says_where_it_stands() -> None:
    attempts = machine(A, B)
    attempts.first(T0)
    assert repr(attempts) == "1 started (a), left: a, b, b"


KINDS = st.sampled_from(get_args(FailureKind))


@given(
    st.lists(st.tuples(KINDS, st.none() | st.floats(0, 100), st.floats(0, 5)), min_size=1, max_size=20),
    st.integers(1, 8),
    st.integers(0, 3),
    st.integers(0, 2**64 - 1),
)
def test_whatever_fails_the_plan_is_never_exceeded(
    failures: list[tuple[FailureKind, float | None, float]], attempts: int, same_target: int, seed: int
) -> None:
    plan: Plan = write_out(("a", "b", "c"), (), policy("a", attempts=attempts, same_target=same_target, total_s=20.0))
    machine = Attempts(plan, {"a": A, "b": B, "c": C}, seed, T0)
    now, started = T0, []
    step = machine.first(now)
    for kind, retry_after_s, took in failures:
        if isinstance(step, Stop):
            break
        assert now <= step.at < machine.deadline_at
        started.append(step.deployment)
        now = step.at + took
        step = machine.failed(Failure(kind, "x", retry_after_s=retry_after_s), now)
    planned = [t.deployment for t in plan.tries]
    assert all(started.count(name) <= planned.count(name) for name in started)
    assert [s for s in (step,) if isinstance(s, Start) and len(started) >= len(planned)] == []
