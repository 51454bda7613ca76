"""What no decision may ever do, whatever the configuration, the key, the request and the state of the fleet."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Forbidden, NotFound
from gateway.pipeline import admit
from gateway.policy.decide import decide
from gateway.policy.eligible import why_not
from gateway.policy.explain import SENTENCES, sentence
from gateway.policy.quality import expected_quality
from gateway.policy.strategies import Cost, Ordered, Weighted
from gateway.types import (
    ROUTING_REASONS,
    Account,
    Asked,
    Caller,
    Cooling,
    Decision,
    Deployment,
    Match,
    Policy,
    Price,
    Requirements,
    Route,
    Snapshot,
    World,
)
from tests.make import asked, call, deployment

STANDING_BY = ("standby", "cooling", "diverted")
NAMES = ("a", "b", "c", "d")
ROUTES = ("r", "s")
ACCOUNTS = [
    Account(name=f"{region}-{company}", kind="openai", base_url="https://x/v1", region=region, company=company)
    for region in ("eu", "us")
    for company in ("acme", "other")
]
SOME_NAMES = st.lists(st.sampled_from(NAMES), unique=True)
WEIGHTS = st.just(0.0) | st.floats(1e-6, 1e6)
PRICES = st.none() | st.builds(Price, st.integers(0, 10**10), st.integers(0, 10**10))
CAPABILITIES = st.none() | st.frozensets(st.sampled_from(["tools", "vision"]))
QUALITIES = st.dictionaries(st.sampled_from(["default", "code", "tool_use"]), st.floats(0, 1))
STRATEGIES = st.one_of(
    st.just(Ordered()),
    st.builds(Cost, floor=st.floats(0, 1), expected_output=st.integers(1, 10_000)),
    st.builds(Weighted, weights=st.dictionaries(st.sampled_from(NAMES), WEIGHTS)),
)
REQUIREMENTS = st.builds(
    Requirements, st.frozensets(st.sampled_from(["eu", "us"])), st.frozensets(st.sampled_from(["acme", "other"]))
)
MATCHES = st.builds(
    Match, needs=st.frozensets(st.just("tools")), intents=st.frozensets(st.sampled_from(["code", "chat"]))
)


def deployments(name: str) -> st.SearchStrategy[Deployment]:
    return st.builds(
        lambda **more: deployment(name, **more),
        account=st.sampled_from(ACCOUNTS),
        price=PRICES,
        capabilities=CAPABILITIES,
        quality=QUALITIES,
        context_window=st.none() | st.integers(1, 1000),
        weight=WEIGHTS,
    )


def policies() -> st.SearchStrategy[Policy]:
    return st.builds(
        Policy,
        pool=SOME_NAMES.map(tuple),
        fallback=SOME_NAMES.map(tuple),
        strategy=STRATEGIES,
        require=st.just(Requirements()) | REQUIREMENTS,
        attempts=st.integers(1, 6),
        same_target=st.integers(0, 2),
    )


def worlds() -> st.SearchStrategy[World]:
    parts = st.tuples(
        st.tuples(*map(deployments, NAMES)),
        st.tuples(*[st.builds(Route, st.just(n), MATCHES, policies()) for n in ROUTES]),
    )
    return parts.map(lambda p: World(version="v", deployments={d.name: d for d in p[0]}, routes=p[1]))


REQUESTS = st.builds(
    lambda text, tools, image, model, limit, caller, seed: asked(
        call(
            text,
            model=model,
            fields={
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": text}, *[{"type": "image_url"}] * image]}
                ],
                "max_tokens": limit,
                **({"tools": [{}]} if tools else {}),
            },
        ),
        caller=caller,
        seed=seed,
    ),
    st.sampled_from(["hello", "```x```", "long " * 100]),
    st.booleans(),
    st.integers(0, 1),
    st.sampled_from(["auto", "auto", *ROUTES, "a"]),
    st.none() | st.integers(0, 10_000),
    st.builds(
        Caller,
        st.just("k"),
        routes=st.none() | st.frozensets(st.sampled_from(ROUTES)),
        models=st.none() | st.frozensets(st.sampled_from(NAMES)),
    ),
    st.integers(0, 2**64 - 1),
)
COOLING = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        Cooling,
        st.floats(100.1, 1000) | st.floats(100.1, 103),
        st.sampled_from(["rate", "limit", "share", "full", "quota", "auth", "breaker"]),
        st.just(1.0) | st.floats(0, 0.8),
    ),
)


def permitted(request: Asked, world: World) -> bool:
    try:
        admit(request.call, request.caller, world)
    except (Forbidden, NotFound):
        return False
    return True


@settings(max_examples=400)
@given(worlds(), REQUESTS, COOLING)
def test_nothing_that_may_not_serve_is_ever_in_a_plan(
    world: World, request: Asked, cooling: Mapping[str, Cooling]
) -> None:
    if not permitted(request, world):
        return
    decision = decide(request, world, Snapshot(at=100.0, cooling=cooling))
    check_the_plan(decision, request, world, cooling)
    check_the_verdicts(decision)
    assert decision.reason.partition(":")[0] in ROUTING_REASONS


def check_the_plan(decision: Decision, request: Asked, world: World, cooling: Mapping[str, Cooling]) -> None:
    planned = [t.deployment for t in decision.plan.tries]
    if request.caller.models is not None:
        assert request.caller.models.issuperset(planned)
    if request.call.model in world.deployments:
        assert set(planned) <= {request.call.model}
        return
    if not decision.route:
        assert planned == []
        return
    if request.caller.routes is not None:
        assert decision.route in request.caller.routes
    policy = next(route.policy for route in world.routes if route.name == decision.route)
    assert len(planned) <= policy.attempts
    assert set(planned) <= {*policy.pool, *policy.fallback}
    for name in set(planned):
        assert why_not(world.deployments[name], request, policy) is None
        if isinstance(policy.strategy, Cost):
            quality = expected_quality(world.deployments[name], request.signals)
            assert quality is None or quality >= policy.strategy.floor
    scored = {v.deployment for v in decision.verdicts if v.score is not None}
    first_of_pool = [name for name in dict.fromkeys(planned) if name in scored]
    diverted = {v.deployment for v in decision.verdicts if v.why is not None and v.why.code == "diverted"}
    behind = [name in diverted or (name in cooling and cooling[name].share == 1) for name in first_of_pool]
    assert behind == sorted(behind)
    for planned_try in decision.plan.tries:
        alone = cooling.get(planned_try.deployment)
        if alone is not None and alone.share == 1:
            assert alone.kind in ("rate", "limit", "share")
            assert abs(100.0 + planned_try.wait_s - alone.until_at) < 0.01


def check_the_verdicts(decision: Decision) -> None:
    planned = {t.deployment for t in decision.plan.tries}
    told = [v.deployment for v in decision.verdicts if v.score is not None or (v.why and v.why.code in STANDING_BY)]
    assert planned <= set(told)
    for verdict in decision.verdicts:
        assert verdict.score is None or (math.isfinite(verdict.score) and verdict.score >= 0)
        if verdict.why is not None:
            assert verdict.why.code in SENTENCES
            assert "{" not in sentence(verdict.why)
