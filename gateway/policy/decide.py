"""The decision: which deployment, in what order, why. A pure function of values, so that it can be replayed.

Read next: match.py, eligible.py, strategies/ and plan.py, the four steps in this order; explain.py for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gateway.policy.eligible import why_not
from gateway.policy.match import Chosen, choose
from gateway.policy.plan import write_out
from gateway.policy.strategies import Ordered
from gateway.types import Asked, Decision, Deployment, Policy, Reason, Snapshot, Verdict, World

__all__ = ["DIRECT", "decide"]

#: The route of requests whose client named a deployment itself.
DIRECT: Final = "direct"
_DIRECT_POLICY: Final = Policy(pool=(), strategy=Ordered())


class _Ranking(Struct, frozen=True):
    """A pool judged: the eligible ones in order, everybody's verdict, and the one the score alone would choose."""

    order: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    by_score: str | None = None


def decide(asked: Asked, world: World, snapshot: Snapshot) -> Decision:
    """Choose a route, judge its deployments, put them in order and write the plan.

    A Decision whose plan has no tries means that nothing can serve the request; its verdicts say why. The same
    arguments give the same Decision on every machine.
    """
    chosen = choose(world, asked)
    if chosen.forced is not None:
        name = chosen.forced.name
        ranking = _Ranking((name,), (Verdict(name, 0.0),))
        return _decision(asked, world, ranking, route=DIRECT, reason="forced_by_client")
    if chosen.route is None:
        return _decision(asked, world, _Ranking((), ()), route="", reason="default")
    policy = chosen.route.policy
    ranking = _rank(asked, world, policy, snapshot)
    standby = tuple(_standby(asked, world, policy))
    reason = _displaced(ranking, snapshot) or _reason(chosen, asked, policy, len(ranking.order))
    return _decision(asked, world, ranking, route=chosen.route.name, reason=reason, policy=policy, standby=standby)


def _rank(asked: Asked, world: World, policy: Policy, snapshot: Snapshot) -> _Ranking:
    """Judge the pool. One that is cooling is not excluded: it comes last, so that a pool never dies of caution."""
    verdicts: list[Verdict] = []
    ranked: list[tuple[bool, float, int, str]] = []
    for position, name in enumerate(policy.pool):
        candidate = world.deployments[name]
        judged: float | Reason = why_not(candidate, asked, policy) or policy.strategy.score(candidate, position, asked)
        if isinstance(judged, Reason):
            verdicts.append(Verdict(name, None, judged))
            continue
        cooling = snapshot.cooling.get(name)
        ranked.append((cooling is not None, judged, position, name))
        if cooling is None:
            verdicts.append(Verdict(name, judged))
        else:
            left = round(cooling.until_at - snapshot.at, 1)
            verdicts.append(Verdict(name, judged, Reason("cooling", (cooling.kind, left))))
    if not ranked:
        return _Ranking((), tuple(verdicts))
    by_score = min(ranked, key=lambda row: row[1:])[3]
    ranked.sort()
    return _Ranking(tuple([row[3] for row in ranked]), tuple(verdicts), by_score)


def _standby(asked: Asked, world: World, policy: Policy) -> Sequence[Verdict]:
    """The fallback deployments, for when the pool has failed: those that may serve, and why the others may not."""
    verdicts = []
    for position, name in enumerate(policy.fallback):
        candidate = world.deployments[name]
        why = why_not(candidate, asked, policy) or _below_floor(candidate, position, asked, policy)
        verdicts.append(Verdict(name, None, why or Reason("standby")))
    return verdicts


def _below_floor(candidate: Deployment, position: int, asked: Asked, policy: Policy) -> Reason | None:
    """The one reason of a strategy that holds for a fallback too; a weight or an unknown quality is the operator's."""
    judged = policy.strategy.score(candidate, position, asked)
    return judged if isinstance(judged, Reason) and judged.code == "below_floor" else None


def _displaced(ranking: _Ranking, snapshot: Snapshot) -> str | None:
    """The reason when the best by score was passed over because it is cooling."""
    best = ranking.by_score
    if best is None or ranking.order[0] == best:
        return None
    return "overflow" if snapshot.cooling[best].kind == "rate" else "breaker_open"


def _reason(chosen: Chosen, asked: Asked, policy: Policy, eligible: int) -> str:
    """What narrowed the choice: an intent, else a score between several, else the route's conditions."""
    match = chosen.route.match if chosen.route is not None else None
    if match is not None and match.intents and not chosen.named:
        label = next(s.label for s in asked.signals if s.name == "intent" and s.label in match.intents)
        return f"intent:{label}"
    if eligible > 1 and policy.strategy.reason != "default":
        return policy.strategy.reason
    conditional = match is not None and (match.needs or match.tags or match.models or match.keys)
    sized = match is not None and (match.min_input_tokens, match.max_input_tokens) != (None, None)
    return "rule" if chosen.named or conditional or sized else "default"


def _decision(
    asked: Asked,
    world: World,
    ranking: _Ranking,
    *,
    route: str,
    reason: str,
    policy: Policy = _DIRECT_POLICY,
    standby: Sequence[Verdict] = (),
) -> Decision:
    fallback = tuple([v.deployment for v in standby if v.why is not None and v.why.code == "standby"])
    return Decision(
        route=route,
        reason=reason,
        plan=write_out(ranking.order, fallback, policy),
        verdicts=(*ranking.verdicts, *standby),
        strategy=policy.strategy.name,
        policy=world.version,
        seed=asked.seed,
    )
