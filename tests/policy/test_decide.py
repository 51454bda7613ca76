"""Decisions as values: what is chosen, in what order, and every reason why not."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.decide import decide
from gateway.policy.explain import ROUTING, SENTENCES, sentence
from gateway.policy.strategies import Cost, Weighted
from gateway.types import (
    ROUTING_REASONS,
    Account,
    Caller,
    Cooling,
    Decision,
    Funds,
    IntentRule,
    Match,
    Reason,
    Requirements,
    Secret,
    Snapshot,
    Verdict,
    World,
)
from tests.make import ACCOUNT, asked, call, deployment, policy, route, world

CALM = Snapshot(at=100.0)
SMALL = deployment("small", input=100_000, output=400_000, quality={"default": 0.6, "code": 0.3})
LARGE = deployment("large", input=2_000_000, output=8_000_000, quality={"default": 0.9})


def order(decision: Decision) -> list[str]:
    return list(dict.fromkeys(t.deployment for t in decision.plan.tries))


def test_cost_takes_the_cheapest_above_the_floor_and_says_why_not_the_other() -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("small", "large", strategy=Cost(floor=0.7))),))
    decision = decide(asked(), w, CALM)
    assert order(decision) == ["large"]
    assert decision.reason == "default"  # one candidate is no competition
    assert decision.verdicts[0] == Verdict("small", None, Reason("below_floor", (0.6, 0.7)))


def test_cost_without_a_floor_takes_the_cheapest_and_scores_both() -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("large", "small", strategy=Cost())),))
    decision = decide(asked(), w, CALM)
    tokens = asked().features.input_tokens
    assert order(decision) == ["small", "large"]
    assert decision.reason == "cost_optimal"
    assert decision.verdicts == (
        Verdict("large", (tokens * 2_000_000 + 400 * 8_000_000) / 1e6),
        Verdict("small", (tokens * 100_000 + 400 * 400_000) / 1e6),
    )


def test_a_deployment_of_unknown_price_comes_after_all_with_one() -> None:
    unknown = deployment("unknown", price=None)
    w = world(unknown, LARGE, routes=(route("r", policy("unknown", "large", strategy=Cost())),))
    assert order(decide(asked(), w, CALM)) == ["large", "unknown"]


def test_quality_of_the_requests_intent_counts_before_the_default() -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("small", "large", strategy=Cost(floor=0.5))),))
    assert order(decide(asked(call("sort a list")), w, CALM))[0] == "small"
    assert order(decide(asked(call("```py\nsort\n```")), w, CALM))[0] == "large"


def test_weights_are_kept_over_many_seeds() -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("small", "large", strategy=Weighted(weights={"small": 3}))),))
    drawn = Counter(order(decide(asked(seed=seed), w, CALM))[0] for seed in range(4000))
    assert 0.72 < drawn["small"] / 4000 < 0.78


def test_a_weight_of_zero_excludes() -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("small", "large", strategy=Weighted(weights={"small": 0}))),))
    decision = decide(asked(), w, CALM)
    assert order(decision) == ["large"]
    assert decision.verdicts[0].why == Reason("weight_zero")


def test_an_intent_of_the_operator_selects_its_pool() -> None:
    w = world(
        SMALL,
        LARGE,
        routes=(
            route("billing", policy("large"), intents=frozenset({"billing"})),
            route("default", policy("small")),
        ),
        intents=(IntentRule("billing", ("refund", "invoice")),),
    )
    billing = decide(asked(call("Where is my REFUND?"), world=w), w, CALM)
    other = decide(asked(call("refundable?"), world=w), w, CALM)
    assert (billing.route, billing.reason, order(billing)) == ("billing", "intent:billing", ["large"])
    assert (other.route, other.reason, order(other)) == ("default", "default", ["small"])


@pytest.mark.parametrize(
    ("fields", "intent"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tool_use"),
        ({"response_format": {"type": "json_schema"}}, "extraction"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
            "vision",
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "1", "content": "4"}]}, "agent_step"),
        ({"response_format": {"type": "text"}, "tools": None, "stop": []}, "chat"),
    ],
)
def test_the_shape_of_a_request_is_its_intent(fields: dict[str, object], intent: str) -> None:
    assert asked(call(fields=fields)).signals[0].label == intent


def test_a_named_deployment_is_forced_and_a_named_route_is_taken() -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("large", "small")),), aliases={"gpt-4": "small", "best": "r"})
    assert decide(asked(call(model="small")), w, CALM).reason == "forced_by_client"
    assert order(decide(asked(call(model="gpt-4")), w, CALM)) == ["small"]
    assert (decide(asked(call(model="best")), w, CALM).reason, order(decide(asked(call(model="r")), w, CALM))) == (
        "rule",
        ["large", "small"],
    )


def left_alone(kind: str, for_s: float, share: float = 1.0) -> Snapshot:
    return Snapshot(at=100.0, cooling={"small": Cooling(100.0 + for_s, kind, share)})


def test_what_is_left_alone_is_not_asked_and_the_decision_says_so() -> None:
    w = world(SMALL, LARGE)
    full, down = (decide(asked(), w, left_alone(kind, 7.5)) for kind in ("rate", "breaker"))
    assert (order(full), full.reason, order(down), down.reason) == (["large"], "overflow", ["large"], "breaker_open")
    assert full.verdicts[0] == Verdict("small", 0.0, Reason("cooling", ("rate", 7.5)))


def test_a_rate_limit_that_ends_soon_is_worth_a_wait_behind_all_others() -> None:
    decision = decide(asked(), world(SMALL, LARGE), left_alone("rate", 2.5))
    assert [(t.deployment, t.wait_s) for t in decision.plan.tries] == [
        ("large", 0.0),
        ("large", 0.0),
        ("small", 2.5),
        ("small", 2.5),
    ]


def test_when_all_are_left_alone_nothing_is_planned() -> None:
    cold = {name: Cooling(107.5, "breaker") for name in ("small", "large")}
    decision = decide(asked(), world(SMALL, LARGE), Snapshot(at=100.0, cooling=cold))
    assert decision.plan.tries == ()
    assert [v.why for v in decision.verdicts] == [Reason("cooling", ("breaker", 7.5))] * 2
    named = decide(asked(call(model="small")), world(SMALL, LARGE), Snapshot(at=100.0, cooling=cold))
    assert named.plan.tries == ()


def test_part_of_the_traffic_is_diverted_and_the_rest_is_not() -> None:
    drawn = [decide(asked(seed=seed), world(SMALL, LARGE), left_alone("breaker", 9.0, 0.25)) for seed in range(2000)]
    away = [d for d in drawn if order(d) == ["large", "small"]]
    assert 0.22 < len(away) / 2000 < 0.28
    assert {(d.reason, d.verdicts[0].why) for d in away} == {("breaker_open", Reason("diverted", (25,)))}
    assert {(tuple(order(d)), d.reason) for d in drawn if d not in away} == {(("small", "large"), "default")}


def test_a_fallback_that_is_left_alone_is_not_asked_either() -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("large", fallback=("small",))),))
    assert order(decide(asked(), w, left_alone("breaker", 9.0))) == ["large"]
    assert order(decide(asked(), w, left_alone("limit", 2.0))) == ["large", "small"]


def test_a_key_more_is_a_try_more() -> None:
    account = Account(name="two", kind="openai", base_url="https://x/v1", keys=(Secret("k"), Secret("l")))
    w = world(deployment("a", account=account), deployment("b"))
    plan = decide(asked(), w, CALM).plan
    assert [(t.deployment, t.part) for t in plan.tries] == [
        ("a", "primary"),
        ("a", "key"),
        ("a", "retry"),
        ("b", "fallback"),
        ("b", "retry"),
    ]


def test_every_rule_gives_its_reason() -> None:
    eu = Account(name="eu", kind="openai", base_url="https://x/v1", region="eu", company="other")
    pool = (
        deployment("denied"),
        deployment("us"),
        deployment("blind", account=eu, capabilities=frozenset({"tools"})),
        deployment("narrow", account=eu, context_window=10),
        deployment("fits", account=eu),
    )
    w = world(*pool, routes=(route("r", policy(*(d.name for d in pool), require=Requirements(frozenset({"eu"})))),))
    caller = Caller("k", models=frozenset({"us", "blind", "narrow", "fits"}))
    image = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]}
    decision = decide(asked(call(fields=image), caller=caller), w, CALM)
    tokens = asked(call(fields=image)).features.input_tokens
    assert [v.why for v in decision.verdicts] == [
        Reason("not_allowed_to_key", ("k",)),
        Reason("wrong_region", ("unknown", "eu")),
        Reason("cannot", ("vision",)),
        Reason("context_too_small", (tokens, 10)),
        None,
    ]
    assert order(decision) == ["fits"]


def test_fallback_stands_by_behind_the_pool() -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("small", fallback=("large",))),))
    decision = decide(asked(), w, CALM)
    assert [t.deployment for t in decision.plan.tries] == ["small", "small", "large", "large"]
    assert decision.verdicts[1] == Verdict("large", None, Reason("standby"))


def test_no_route_gives_an_empty_plan() -> None:
    w = world(SMALL, routes=(route("r", policy("small"), needs=frozenset({"tools"})),))
    assert decide(asked(), w, CALM).plan.tries == ()


def test_every_condition_of_a_match_must_hold() -> None:
    match = Match(tags={"team": frozenset({"legal"})}, min_input_tokens=10, keys=frozenset({"k"}))
    w = World(
        version="v",
        deployments={"small": SMALL},
        routes=(route("r", policy("small"), **msgspec.structs.asdict(match)),),
    )
    right = call(tags={"team": "legal"})
    assert decide(asked(right, caller=Caller("k")), w, CALM).route == "r"
    assert decide(asked(right, caller=Caller("other")), w, CALM).route == ""
    assert decide(asked(call(), caller=Caller("k")), w, CALM).route == ""
    assert decide(asked(call(tags={"team": "legal"}, size=4), caller=Caller("k")), w, CALM).route == ""


def test_a_key_that_may_use_some_routes_finds_only_those() -> None:
    w = world(SMALL, LARGE, routes=(route("a", policy("small")), route("b", policy("large"))))
    assert decide(asked(caller=Caller("k", routes=frozenset({"b"}))), w, CALM).route == "b"


@given(st.integers(0, 2**64 - 1), st.sampled_from(["hello", "```x```", "refund"]), st.booleans())
def test_the_same_arguments_give_the_same_decision(seed: int, text: str, cold: bool) -> None:
    w = world(SMALL, LARGE, routes=(route("r", policy("small", "large", strategy=Weighted())),))
    snapshot = Snapshot(at=100.0, cooling={"small": Cooling(101.0, "rate")} if cold else {})
    one = decide(asked(call(text), seed=seed), w, snapshot)
    assert one == decide(asked(call(text), seed=seed), w, snapshot)
    assert one == msgspec.json.decode(msgspec.json.encode(one), type=Decision)
    assert one.reason.partition(":")[0] in ROUTING_REASONS


def test_every_reason_has_a_sentence() -> None:
    assert set(ROUTING) <= ROUTING_REASONS
    for code, words in SENTENCES.items():
        arguments = ("first", "second", "third")[: words.count("{")]
        said = sentence(Reason(code, arguments))
        assert all(a in said for a in arguments)
        assert "{" not in said
    assert ACCOUNT.keys == ()
    rest = sentence(Reason("cooling", ("full", 1.0)))
    assert rest == "it is left alone for 1.0 s more: as many requests are under way as it takes"


def test_a_fallback_below_the_floor_never_serves_and_says_why() -> None:
    unknown = deployment("unknown")
    strategy = Cost(floor=0.7)
    w = world(
        SMALL,
        LARGE,
        unknown,
        routes=(route("r", policy("large", "small", strategy=strategy, fallback=("small", "unknown"))),),
    )
    decision = decide(asked(), w, CALM)
    assert order(decision) == ["large", "unknown"]
    assert decision.verdicts[2:] == (
        Verdict("small", None, Reason("below_floor", (0.6, 0.7))),
        Verdict("unknown", None, Reason("standby")),
    )


def test_who_is_passed_over_for_what_it_might_cost_is_not_passed_over_by_a_rule() -> None:
    dear, cheap = deployment("dear", output=50_000_000), deployment("cheap")
    both = world(dear, cheap)
    what = asked(call(fields={"max_tokens": 1_000}))
    reasons = {left: decide(what, both, Snapshot(0.0, funds=Funds("team:a", 500, left))) for left in (10**9, 10_000)}
    assert [(d.plan.tries[0].deployment, d.reason) for d in reasons.values()] == [
        ("dear", "default"),
        ("cheap", "budget_shift"),
    ]
    behind = decide(what, world(cheap, dear), Snapshot(0.0, funds=Funds("team:a", 500, 10_000)))
    assert (behind.plan.tries[0].deployment, behind.reason) == ("cheap", "default")
