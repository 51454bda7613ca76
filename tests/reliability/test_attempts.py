"""Conversations with the attempt machine: what it is told, and what it wants next."""

from __future__ import annotations

import random
from typing import Literal, get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.errors import Failure, FailureKind
from gateway.policy.plan import wait_for, write_out
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


TWO_KEYS = Account(name="two", kind="openai", base_url="https://x/v1", keys=(Secret("k"), Secret("l")))


def test_another_key_is_tried_at_once_and_is_no_retry() -> None:
    one = deployment("one", account=TWO_KEYS)
    for kind in get_args(Literal["rate", "quota", "auth"]):
        plan = write_out(("one", "b"), (), policy("one", "b"), (("one", 1),))
        attempts = Attempts(plan, {"one": one, "b": B}, 7, T0)
        attempts.first(T0)
        assert attempts.failed(fail(kind), T0 + 1, other_key=True) == Start(2, "one", "key", T0 + 1)
        assert attempts.failed(fail("overloaded"), T0 + 2) != Start(3, "b", "fallback", T0 + 2)


def test_without_a_usable_key_the_account_is_out() -> None:
    one, two = deployment("one", account=TWO_KEYS), deployment("two", account=TWO_KEYS)
    plan = write_out(("one", "two", "b"), (), policy("one", "two", "b"), (("one", 1), ("two", 1)))
    attempts = Attempts(plan, {"one": one, "two": two, "b": B}, 7, T0)
    attempts.first(T0)
    assert attempts.failed(fail("quota"), T0) == Start(2, "b", "fallback", T0)


def test_a_try_with_another_key_is_only_for_refused_keys() -> None:
    plan = write_out(("one",), (), policy("one", same_target=0), (("one", 1),))
    attempts = Attempts(plan, {"one": deployment("one", account=TWO_KEYS)}, 7, T0)
    attempts.first(T0)
    assert attempts.failed(fail("overloaded"), T0) == Stop()


def test_in_an_outage_another_operator_comes_first() -> None:
    def at(name: str, company: str) -> Deployment:
        return deployment(name, account=Account(name=name, kind="openai", base_url="https://x/v1", company=company))

    targets = at("a1", "acme"), at("a2", "acme"), at("o", "other")
    down = fail("overloaded")
    assert play(machine(*targets), down, down, down, down) == ["a1", "a1", "o", "a2", None]
    assert play(machine(*targets), fail("silent"), fail("silent"), fail("silent")) == ["a1", "o", "a2", None]


def test_without_a_budget_of_retries_the_same_deployment_is_not_asked_again() -> None:
    attempts = machine(A, B)
    attempts.first(T0)
    assert attempts.failed(fail("overloaded"), T0, may_retry=lambda: False) == Start(2, "b", "fallback", T0)


def test_the_budget_of_retries_is_asked_only_when_the_same_deployment_is_next() -> None:
    asked: list[str] = []

    def may_retry() -> bool:
        asked.append("asked")
        return True

    attempts = machine(A, B)
    attempts.first(T0)
    attempts.failed(fail("silent"), T0, may_retry=may_retry)
    assert asked == []
    assert attempts.failed(fail("overloaded"), T0, may_retry=may_retry) != Stop()
    assert asked == ["asked"]


def test_a_try_that_may_not_begin_does_not_count_and_takes_its_deployment_out() -> None:
    attempts = machine(A, B)
    attempts.first(T0)
    assert attempts.skipped(T0) == Start(1, "b", "fallback", T0)


def test_what_is_left_alone_for_a_moment_is_not_tried_before_it_is_over() -> None:
    plan = wait_for(write_out(("a",), (), policy("a")), {"a": 2.0})
    attempts = Attempts(plan, {"a": A}, 7, T0)
    assert attempts.first(T0) == Start(1, "a", "primary", T0 + 2.0)


def test_a_wait_beyond_the_deadline_gives_way_to_what_can_start_now() -> None:
    attempts = machine(A, B, total_s=2.0)
    attempts.first(T0)
    assert attempts.failed(fail("rate", retry_after_s=2.5), T0) == Start(2, "b", "fallback", T0)


def test_a_hedge_is_another_deployment_and_takes_its_place_in_the_plan() -> None:
    attempts = machine(A, B)
    attempts.first(T0)
    assert attempts.hedge(T0 + 1) == Start(2, "b", "hedge", T0 + 1)
    attempts.lost(fail("overloaded"), "b")
    assert attempts.failed(fail("overloaded"), T0 + 2) != Stop()
    alone = machine(A)
    alone.first(T0)
    assert alone.hedge(T0 + 1) == Stop()


def test_of_two_tries_under_way_the_one_that_failed_is_the_one_that_is_left() -> None:
    attempts = machine(A, B, C, attempts=6)
    attempts.first(T0)
    attempts.hedge(T0 + 1)
    attempts.lost(fail("silent"), "b")
    assert attempts.failed(fail("silent"), T0 + 2, deployment="a") == Start(3, "c", "fallback", T0 + 2)
    attempts = machine(A, B, C)
    attempts.first(T0)
    attempts.hedge(T0 + 1)
    assert attempts.resume(fail("truncated"), T0 + 2, bool, deployment="a") == Start(3, "c", "fallback", T0 + 2)


def test_a_hedge_that_may_not_begin_leaves_the_first_try_as_the_last_one_started() -> None:
    attempts = machine(A, B)
    attempts.first(T0)
    attempts.hedge(T0 + 1)
    attempts.withdrawn()
    again = attempts.failed(fail("overloaded"), T0 + 2)
    assert isinstance(again, Start)
    assert (again.n, again.deployment) == (2, "a")


def test_a_broken_stream_is_gone_on_with_elsewhere_by_those_who_are_able() -> None:
    attempts = machine(A, B, C)
    attempts.first(T0)
    cut = fail("truncated")
    assert attempts.resume(cut, T0, {"c"}.__contains__) == Start(2, "c", "fallback", T0)
    assert attempts.resume(cut, T0, {"c"}.__contains__) == Stop()


def test_who_goes_on_from_no_beginning_is_asked_in_another_way_if_the_plan_has_a_try_left() -> None:
    attempts = machine(A, B)
    attempts.first(T0)
    attempts.resume(fail("truncated"), T0, bool)
    assert attempts.otherwise(T0 + 1) == Start(3, "b", "retry", T0 + 1)


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
NAMES = ("a", "b", "c", "k")
DEPLOYMENTS = {"a": A, "b": B, "c": C, "k": deployment("k", account=TWO_KEYS)}


class Conversation(RuleBasedStateMachine):
    """Anything may happen to any try, in any order, and the machine keeps its promises."""

    @initialize(
        order=st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
        attempts=st.integers(1, 8),
        same_target=st.integers(0, 3),
        seed=st.integers(0, 2**64 - 1),
        total_s=st.floats(0.5, 60),
        waits=st.dictionaries(st.sampled_from(NAMES), st.floats(0, 3)),
    )
    def begin(
        self, order: list[str], attempts: int, same_target: int, seed: int, total_s: float, waits: dict[str, float]
    ) -> None:
        how = policy(*order, attempts=attempts, same_target=same_target, total_s=total_s)
        self.plan = wait_for(write_out(tuple(order), (), how, (("k", 1),)), waits)
        self.machine = Attempts(self.plan, DEPLOYMENTS, seed, T0)
        self.waits, self.now, self.ended = waits, T0, False
        self.started: list[str] = []
        self.take(self.machine.first(T0))

    def take(self, step: Start | Stop) -> None:
        if isinstance(step, Stop):
            self.ended = True
            return
        assert not self.ended, "something started after the end"
        assert self.now <= step.at < self.machine.deadline_at
        assert step.at >= T0 + self.waits.get(step.deployment, 0.0)
        self.started.append(step.deployment)
        assert step.n == len(self.started)
        self.now = step.at

    @precondition(lambda self: not self.ended)
    @rule(kind=KINDS, wait=st.none() | st.floats(0, 100), took=st.floats(0, 5), key=st.booleans(), retry=st.booleans())
    def fails(self, kind: FailureKind, wait: float | None, took: float, key: bool, retry: bool) -> None:
        self.now += took
        failure = Failure(kind, "x", retry_after_s=wait)
        self.take(self.machine.failed(failure, self.now, other_key=key, may_retry=lambda: retry))

    @precondition(lambda self: not self.ended)
    @rule()
    def may_not_begin(self) -> None:
        left_alone = self.started.pop()
        self.take(self.machine.skipped(self.now))
        assert self.ended or self.started[-1] != left_alone

    @precondition(lambda self: not self.ended)
    @rule(took=st.floats(0, 5))
    def is_slow(self, took: float) -> None:
        self.now += took
        step = self.machine.hedge(self.now)
        if isinstance(step, Start):
            assert step.deployment != self.started[-1]
            self.take(step)

    @precondition(lambda self: not self.ended)
    @rule(kind=KINDS, took=st.floats(0, 5), able=st.frozensets(st.sampled_from(NAMES)))
    def breaks_off(self, kind: FailureKind, took: float, able: frozenset[str]) -> None:
        self.now += took
        broken = self.started[-1]
        self.take(self.machine.resume(Failure(kind, "x"), self.now, able.__contains__))
        assert self.ended or self.started[-1] in able
        fresh = {t.deployment for t in self.machine._left} - set(self.started)
        in_time = {name for name in fresh if T0 + self.waits.get(name, 0.0) < self.machine.deadline_at}
        assert self.ended or self.started[-1] != broken or not in_time, "who broke off comes last"

    @precondition(lambda self: not self.ended)
    @rule(took=st.floats(0, 5))
    def goes_on_from_no_beginning(self, took: float) -> None:
        self.now += took
        self.take(self.machine.otherwise(self.now))

    @precondition(lambda self: self.ended)
    @rule(kind=KINDS)
    def is_told_more_after_the_end(self, kind: FailureKind) -> None:
        if self.started:
            self.take(self.machine.failed(Failure(kind, "x"), self.now))

    @invariant()
    def the_plan_is_never_exceeded(self) -> None:
        planned = [t.deployment for t in getattr(self, "plan", Plan((), 1.0)).tries]
        for name in set(getattr(self, "started", ())):
            assert self.started.count(name) <= planned.count(name)


def schedule(dice: random.Random) -> None:
    """One request at random, without hypothesis in between: there can be very many of them."""
    order = tuple(dice.sample(NAMES, dice.randint(1, 4)))
    how = policy(*order, attempts=dice.randint(1, 8), same_target=dice.randint(0, 3), total_s=dice.uniform(0.5, 60))
    plan = write_out(order, (), how, (("k", dice.randint(0, 2)),))
    machine = Attempts(plan, DEPLOYMENTS, dice.getrandbits(64), T0, until=T0 + dice.uniform(0, 60))
    now, started = T0, []
    step = machine.first(now)
    while isinstance(step, Start):
        assert now <= step.at < machine.deadline_at
        started.append(step.deployment)
        now = step.at + dice.expovariate(1)
        failure = Failure(dice.choice(get_args(FailureKind)), "x", retry_after_s=dice.choice([None, 0.0, 1.0, 3.5]))
        match dice.randrange(6):
            case 0:
                started.pop()
                step = machine.skipped(now)
            case 1 if isinstance(beside := machine.hedge(now), Start):
                machine.lost(failure, step.deployment)
                step = beside
            case 2:
                step = machine.resume(failure, now, lambda name: name != "b")
            case 3:
                step = machine.otherwise(now)
            case _:
                retry = dice.random() < 0.8
                step = machine.failed(failure, now, other_key=dice.random() < 0.5, may_retry=lambda: retry)  # noqa: B023 - it is asked at once
    planned = [t.deployment for t in plan.tries]
    assert all(started.count(name) <= planned.count(name) for name in started)
    if started:
        assert machine.failed(failure, now, other_key=True) == Stop()


def test_thirty_thousand_requests_at_random_all_end_and_none_exceeds_its_plan() -> None:
    dice = random.Random(3)
    for _ in range(30_000):
        schedule(dice)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=12, deadline=None)


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
