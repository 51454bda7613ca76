"""The strategies that look at load, at turns, or at how a conversation began. Read next: test_decide.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from gateway.policy.decide import decide
from gateway.policy.strategies import Affinity, Headroom, Latency, LeastBusy, RoundRobin
from gateway.types import Burden, Cooling, Decision, Reason, Snapshot, Strategy, World
from tests.make import asked, call, deployment, policy, route, world

NAMES = ("a", "b", "c", "d")


def pool(strategy: Strategy, *names: str, weights: Mapping[str, float] | None = None) -> World:
    deployments = [deployment(name, weight=(weights or {}).get(name, 1.0)) for name in names]
    return world(*deployments, routes=(route("r", policy(*names, strategy=strategy)),))


def order(decision: Decision) -> list[str]:
    return list(dict.fromkeys(t.deployment for t in decision.plan.tries))


def firsts(w: World, snapshot: Snapshot, times: int = 2000) -> Counter[str]:
    """Which deployment comes first, over many seeds."""
    return Counter(order(decide(asked(seed=seed), w, snapshot))[0] for seed in range(times))


def loaded(**load: Burden) -> Snapshot:
    return Snapshot(at=100.0, load=load)


def conversations(n: int) -> list[str]:
    return [f"question number {i}" for i in range(n)]


def homes(w: World, by: str = "conversation") -> dict[str, str]:
    """Where each conversation goes, whatever the seed of its request."""
    found: dict[str, str] = {}
    for n, text in enumerate(conversations(600)):
        one, other = (order(decide(asked(call(text), seed=seed), w, Snapshot(at=100.0)))[0] for seed in (n, n + 1))
        assert one == other
        found[text] = one
    return found


# --- load -----------------------------------------------------------------------------------------------------------


def test_of_two_the_quicker_to_begin_comes_first_and_its_load_counts() -> None:
    w = pool(Latency(), "a", "b")
    quick = loaded(a=Burden(0, 2.0), b=Burden(1, 0.5))
    decision = decide(asked(), w, quick)
    assert (order(decision), decision.reason) == (["b", "a"], "latency_best")
    assert [v.score for v in decision.verdicts] == [2.0, 1.0]
    assert order(decide(asked(), w, loaded(a=Burden(0, 2.0), b=Burden(9, 0.5)))) == ["a", "b"]


def test_what_nothing_is_known_of_is_asked_first_and_not_by_all_at_once() -> None:
    w = pool(Latency(), "a", "b")
    assert order(decide(asked(), w, loaded(a=Burden(0, 0.1))))[0] == "b"
    assert order(decide(asked(), w, loaded(a=Burden(0, 0.1), b=Burden(1, 10.0))))[0] == "a"


def test_fewer_requests_under_way_come_first_for_their_weight() -> None:
    w = pool(LeastBusy(), "a", "b", weights={"b": 4.0})
    assert order(decide(asked(), w, loaded(a=Burden(1), b=Burden(3))))[0] == "b"
    assert order(decide(asked(), w, loaded(a=Burden(1), b=Burden(9))))[0] == "a"
    decision = decide(asked(), pool(LeastBusy(), "a", "b", weights={"b": 0.0}), loaded())
    assert (order(decision), decision.verdicts[1].why) == (["a"], Reason("weight_zero"))


@pytest.mark.parametrize("strategy", [Latency(), LeastBusy()])
def test_the_better_of_two_that_are_drawn_comes_first_so_that_the_best_gets_half_and_the_worst_nothing(
    strategy: Strategy,
) -> None:
    busy = loaded(**{name: Burden(n, n + 1.0) for n, name in enumerate(NAMES)})
    drawn = firsts(pool(strategy, *NAMES), busy)
    # Of six pairs the best is in three, the second is the better one in two, the third in one.
    for name, share in (("a", 3 / 6), ("b", 2 / 6), ("c", 1 / 6), ("d", 0)):
        assert drawn[name] / 2000 == pytest.approx(share, abs=0.04)


def test_behind_the_one_that_was_drawn_the_others_stand_in_their_order() -> None:
    busy = loaded(**{name: Burden(n) for n, name in enumerate(NAMES)})
    for seed in range(50):
        first, *rest = order(decide(asked(seed=seed), pool(LeastBusy(), *NAMES), busy))
        assert rest == [name for name in NAMES if name != first][: len(rest)]


def test_what_is_left_alone_is_never_drawn() -> None:
    cold = Snapshot(at=100.0, cooling={"a": Cooling(200.0, "breaker"), "b": Cooling(101.0, "rate")})
    drawn = firsts(pool(LeastBusy(), *NAMES, "e"), cold, 300)
    assert drawn.keys() == {"c", "d"}


def test_traffic_follows_what_is_left_of_the_limits() -> None:
    drawn = firsts(pool(Headroom(), "a", "b"), loaded(a=Burden(left=0.75), b=Burden(left=0.25)))
    assert drawn["a"] / 2000 == pytest.approx(0.75, abs=0.04)
    drawn = firsts(pool(Headroom(), "a", "b", weights={"b": 3.0}), loaded(a=Burden(left=0.75), b=Burden(left=0.25)))
    assert drawn["a"] / 2000 == pytest.approx(0.5, abs=0.04)
    drawn = firsts(pool(Headroom(), "a", "b"), loaded(a=Burden(left=0.0)))
    assert 0 < drawn["a"] < 60


# --- turns ----------------------------------------------------------------------------------------------------------


def test_each_has_its_turn_and_behind_it_stands_the_next() -> None:
    w = pool(RoundRobin(), "a", "b", "c")
    turns = [order(decide(asked(), w, Snapshot(at=100.0, turn=turn))) for turn in range(4)]
    assert turns == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_who_is_left_alone_misses_its_turn() -> None:
    w = pool(RoundRobin(), "a", "b", "c")
    cold = {"b": Cooling(200.0, "breaker")}
    decision = decide(asked(), w, Snapshot(at=100.0, turn=1, cooling=cold))
    assert (order(decision), decision.reason) == (["c", "a"], "breaker_open")


# --- where a conversation is at home --------------------------------------------------------------------------------


def test_a_conversation_has_one_home_and_all_have_about_as_many() -> None:
    at = Counter(homes(pool(Affinity(), *NAMES)).values())
    assert all(at[name] / 600 == pytest.approx(0.25, abs=0.07) for name in NAMES)
    weighted = Counter(homes(pool(Affinity(), "a", "b", weights={"a": 3.0})).values())
    assert weighted["a"] / 600 == pytest.approx(0.75, abs=0.07)


@pytest.mark.parametrize("gone", NAMES)
def test_when_one_leaves_only_its_own_conversations_move(gone: str) -> None:
    before = homes(pool(Affinity(), *NAMES))
    after = homes(pool(Affinity(), *(name for name in NAMES if name != gone)))
    assert {text for text in before if before[text] != after[text]} == {t for t in before if before[t] == gone}


def test_one_that_is_left_alone_has_its_conversations_back_afterwards_and_no_other_ever_moves() -> None:
    w = pool(Affinity(), *NAMES)
    cold = Snapshot(at=100.0, cooling={"a": Cooling(200.0, "breaker")})
    before = homes(w)
    for text, home in before.items():
        decision = decide(asked(call(text)), w, cold)
        assert (order(decision)[0] == home) is (home != "a")
        assert decision.reason == ("breaker_open" if home == "a" else "sticky")


def test_a_conversation_stays_at_home_on_its_next_turn_and_a_system_prompt_can_bring_many_together() -> None:
    system = {"role": "system", "content": "You are terse."}
    first = [system, {"role": "user", "content": "One?"}]
    later = [*first, {"role": "assistant", "content": "1"}, {"role": "user", "content": "Two?"}]
    elsewhere = [[system, {"role": "user", "content": f"Number {n}?"}] for n in range(30)]

    def home(w: World, messages: object) -> str:
        return order(decide(asked(call(fields={"messages": messages})), w, Snapshot(at=100.0)))[0]

    by_conversation, by_prefix = pool(Affinity(), *NAMES), pool(Affinity(by="prefix"), *NAMES)
    assert home(by_conversation, first) == home(by_conversation, later)
    assert len({home(by_conversation, other) for other in elsewhere}) == 4
    assert {home(by_prefix, other) for other in elsewhere} == {home(by_prefix, first)}


# --- all of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Latency(), LeastBusy(), RoundRobin(), Affinity(), Headroom()])
def test_the_same_snapshot_and_seed_give_the_same_decision(strategy: Strategy) -> None:
    w = pool(strategy, *NAMES)
    snapshot = Snapshot(100.0, {"a": Cooling(101.0, "rate")}, {"b": Burden(3, 0.25, 0.5)}, 5)
    assert [decide(asked(seed=s), w, snapshot) for s in range(20)] == [
        decide(asked(seed=s), w, snapshot) for s in range(20)
    ]


def test_a_wait_that_is_planned_never_ends_before_what_it_waits_for() -> None:
    for until_at in (100.0004, 101.2345678, 102.99999):
        cold = Snapshot(at=100.0, cooling={"a": Cooling(until_at, "rate")})
        (first, *_) = decide(asked(), pool(RoundRobin(), "a"), cold).plan.tries
        assert until_at <= 100.0 + first.wait_s < until_at + 0.002


def test_what_is_too_large_for_a_deployment_overflows_and_is_not_waited_for() -> None:
    cold = Snapshot(at=100.0, cooling={"a": Cooling(100.0, "too_large")})
    decision = decide(asked(), pool(RoundRobin(), "a", "b"), cold)
    assert (order(decision), decision.reason) == (["b"], "overflow")
    alone = decide(asked(), pool(RoundRobin(), "a"), cold)
    assert (alone.plan.tries, alone.verdicts[0].why) == ((), Reason("too_large"))
