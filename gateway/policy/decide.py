"""The decision: which deployment, in what order, why. A pure function of values, so that it can be replayed.

Read next: match.py, eligible.py and spend.py, strategies/, plan.py, the steps in this order; explain.py for people.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from math import ceil
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.dice import splitmix64, uniform
from gateway.policy.eligible import Rule, why_not
from gateway.policy.match import Chosen, choose
from gateway.policy.plan import Spare, wait_for, write_out
from gateway.policy.spend import Cheapest, Scores, shifts, unaffordable
from gateway.policy.strategies import Ordered
from gateway.types import (
    Asked,
    Burden,
    Cooling,
    Decision,
    Deployment,
    Funds,
    Place,
    Policy,
    Reason,
    Snapshot,
    Verdict,
    World,
)

__all__ = ["DIRECT", "DIRECT_POLICY", "decide"]

#: The route of requests whose client named a deployment itself.
DIRECT: Final = "direct"
#: What holds for requests that go to no route.
DIRECT_POLICY: Final = Policy(pool=(), strategy=Ordered())
_IDLE: Final = Burden()
_STANDBY: Final = Reason("standby")
_TWO: Final = 2
#: Kinds of cooling that are about what a provider allows, and those that end at a known time.
_OF_LIMITS: Final = frozenset({"rate", "limit", "share", "full", "quota", "too_large"})
_WORTH_A_WAIT: Final = frozenset({"rate", "limit", "share"})


def _named(candidate: Deployment, asked: Asked, policy: Policy) -> Reason | None:
    """Who names a deployment has chosen: only what cannot be asked at all is kept from it."""
    return None


class _Ranking(Struct, frozen=True):
    """A pool judged: those that can be asked in order, everybody's verdict, and the one the score alone would choose.

    ``waits`` are the seconds until some of them may be asked.
    """

    order: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    by_score: str | None = None
    waits: Mapping[str, float] = {}


_NOBODY: Final = _Ranking((), ())


def decide(asked: Asked, world: World, snapshot: Snapshot) -> Decision:
    """Choose a route, judge its deployments, put them in order and write the plan.

    A Decision whose plan has no tries means that nothing can serve the request; its verdicts say why. The same
    arguments give the same Decision on every machine.
    """
    chosen = choose(world, asked)
    funds = snapshot.funds
    if chosen.forced is not None:
        ranking = _rank((chosen.forced.name,), asked, world, DIRECT_POLICY, snapshot, _named)
        return _decision(asked, world, ranking, route=DIRECT, reason="forced_by_client", funds=funds)
    if chosen.route is None:
        return _decision(asked, world, _NOBODY, route="", reason="default", funds=funds)
    policy = chosen.route.policy
    ranking = _rank(policy.pool, asked, world, policy, snapshot, why_not)
    standby = _standby(asked, world, policy, snapshot) if policy.fallback else _NOBODY
    reason = _displaced(ranking, snapshot) or _reason(chosen, asked, policy, len(ranking.order))
    if funds is not None and policy.shift is not None and (not ranking.order or shifts(policy.shift, funds, asked)):
        cheaper = _rank(policy.shift.to or policy.pool, asked, world, policy, snapshot, why_not, by=Cheapest(policy))
        if cheaper.order and cheaper.order[:1] != ranking.order[:1]:
            ranking, reason = cheaper, "budget_shift"
    if funds is not None and _too_dear(ranking, asked, world, policy, snapshot):
        reason = "budget_shift"
    return _decision(
        asked, world, ranking, route=chosen.route.name, reason=reason, policy=policy, standby=standby, funds=funds
    )


def _rank(
    pool: tuple[str, ...],
    asked: Asked,
    world: World,
    policy: Policy,
    snapshot: Snapshot,
    rule: Rule,
    *,
    by: Scores | None = None,
) -> _Ranking:
    """Judge the pool. One that is left alone for all is out; one for some of the traffic comes last for those."""
    verdicts: list[Verdict] = []
    ranked: list[tuple[int, float, int, str]] = []
    waits: dict[str, float] = {}
    size = len(pool)
    strategy = by or policy.strategy
    for position, name in enumerate(pool):
        candidate = world.deployments[name]
        place = Place(position, size, snapshot.turn, snapshot.load.get(name, _IDLE))
        judged: float | Reason = (
            rule(candidate, asked, policy)
            or unaffordable(candidate, asked, snapshot.funds, world.money)
            or strategy.score(candidate, place, asked)
        )
        if isinstance(judged, Reason):
            verdicts.append(Verdict(name, None, judged))
            continue
        cooling = snapshot.cooling.get(name)
        if cooling is None:
            ranked.append((0, judged, position, name))
            verdicts.append(Verdict(name, judged))
            continue
        after, why = _left_alone(name, cooling, snapshot.at, asked, policy)
        verdicts.append(Verdict(name, judged, why))
        if after is not None:
            ranked.append((1 if why is not None else 0, judged, position, name))
            if after:
                waits[name] = after
    scored = [v for v in verdicts if v.score is not None]
    best = min(scored, key=_score).deployment if scored else None
    ranked.sort()
    if by is None and policy.strategy.two_choices:
        _draw_two(ranked, asked.seed)
    return _Ranking(tuple([row[3] for row in ranked]), tuple(verdicts), best, waits)


def _score(verdict: Verdict) -> float:
    assert verdict.score is not None
    return verdict.score


def _left_alone(
    name: str, cooling: Cooling, now: float, asked: Asked, policy: Policy
) -> tuple[float | None, Reason | None]:
    """Seconds until a deployment that is left alone may be asked, None for not at all; and the reason to tell."""
    if cooling.share < 1:
        away = uniform(asked.seed, zlib.crc32(name.encode())) < cooling.share
        return 0.0, Reason("diverted", (round(cooling.share * 100),)) if away else None
    if cooling.kind == "too_large":
        return None, Reason("too_large")
    # Not a moment before its end, or it would be left alone still.
    left = max(0.0, ceil((cooling.until_at - now) * 1000) / 1000)
    why = Reason("cooling", (cooling.kind, round(left, 1)))
    waits = cooling.kind in _WORTH_A_WAIT and left <= policy.backoff.retry_after_max_s
    return (left, why) if waits else (None, why)


def _draw_two(ranked: list[tuple[int, float, int, str]], seed: int) -> None:
    """Put the better of two that chance names first. What is left alone is never drawn."""
    fit = [row for row in ranked if row[0] == 0]
    if len(fit) > _TWO:
        drawn = sorted(fit, key=lambda row: splitmix64(seed ^ zlib.crc32(row[3].encode())))[:_TWO]
        best = min(drawn)
        ranked.remove(best)
        ranked.insert(0, best)


def _standby(asked: Asked, world: World, policy: Policy, snapshot: Snapshot) -> _Ranking:
    """The fallback deployments, for when the pool has failed: those that may serve, and why the others may not."""
    verdicts: list[Verdict] = []
    order: list[tuple[bool, int, str]] = []
    waits: dict[str, float] = {}
    for position, name in enumerate(policy.fallback):
        candidate = world.deployments[name]
        place = Place(position, len(policy.fallback), snapshot.turn)
        why = (
            why_not(candidate, asked, policy)
            or unaffordable(candidate, asked, snapshot.funds, world.money)
            or _below_floor(candidate, place, asked, policy)
        )
        after: float | None = None if why is not None else 0.0
        if why is None and (cooling := snapshot.cooling.get(name)) is not None:
            after, why = _left_alone(name, cooling, snapshot.at, asked, policy)
            if after:
                waits[name] = after
        verdicts.append(Verdict(name, None, why or _STANDBY))
        if after is not None:
            order.append((why is not None, position, name))
    order.sort()
    return _Ranking(tuple([row[2] for row in order]), tuple(verdicts), None, waits)


def _below_floor(candidate: Deployment, place: Place, asked: Asked, policy: Policy) -> Reason | None:
    """The one reason of a strategy that holds for a fallback too; a weight or an unknown quality is the operator's."""
    judged = policy.strategy.score(candidate, place, asked)
    return judged if isinstance(judged, Reason) and judged.code == "below_floor" else None


def _displaced(ranking: _Ranking, snapshot: Snapshot) -> str | None:
    """The reason when the best by score was passed over because it is left alone."""
    best = ranking.by_score
    if best is None or ranking.order[:1] == (best,) or (cooling := snapshot.cooling.get(best)) is None:
        return None
    return "overflow" if cooling.kind in _OF_LIMITS else "breaker_open"


def _too_dear(ranking: _Ranking, asked: Asked, world: World, policy: Policy, snapshot: Snapshot) -> bool:
    """Whether another one would have been chosen, were it not for what it might cost."""
    dear = {v.deployment for v in ranking.verdicts if v.why is not None and v.why.code == "over_budget"}
    if not dear or not ranking.order:
        return False
    rich = _rank(policy.pool, asked, world, policy, replace(snapshot, funds=None), why_not)
    return not dear.isdisjoint(rich.order[:1])


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
    policy: Policy = DIRECT_POLICY,
    standby: _Ranking = _NOBODY,
    funds: Funds | None = None,
) -> Decision:
    plan = write_out(ranking.order, standby.order, policy, _spare_keys((*ranking.order, *standby.order), world))
    waits = {**ranking.waits, **standby.waits} if standby.waits else ranking.waits
    return Decision(
        route=route,
        reason=reason,
        plan=wait_for(plan, waits),
        verdicts=(*ranking.verdicts, *standby.verdicts),
        strategy=policy.strategy.name,
        policy=world.version,
        seed=asked.seed,
        funds=funds,
    )


def _spare_keys(names: tuple[str, ...], world: World) -> Spare:
    deployments = world.deployments
    spare = [(name, n) for name in names if (n := len(deployments[name].account.keys) - 1) > 0]
    return tuple(dict.fromkeys(spare)) if spare else ()
