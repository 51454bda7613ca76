"""How the deployments and the process fare, as one value: lines for operators, numbers for a scrape.

Read next: health/health.py and admission.py, which know it; api/admin.py, which shows it. Both look into objects that
only the event loop may touch, for some ten microseconds a deployment: make them there, render them wherever you like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Final

from msgspec import Struct

from gateway.admission import PRIORITIES, REASONS, Admission, Priority, Reason
from gateway.budgets.account import Account
from gateway.health.health import Health
from gateway.health.lane import Lane
from gateway.reliability.breaker import State
from gateway.treasury import Treasury
from gateway.types import Deployment

__all__ = ["Condition", "Process", "Report", "gauges", "of_budgets", "report"]

#: By metric: values by labels.
Gauges = Mapping[str, Mapping[tuple[str, ...], float]]

#: What a breaker that stays shut looks like from outside: one that is due is waiting for somebody's probe.
STATES: Final[Mapping[State, int]] = {"closed": 0, "open": 1, "due": 1, "half_open": 2}


#: Whose budgets a scrape shows by name, and how many of them at most.
SHOWN: Final = ("organisation:", "team:")
MOST_SHOWN: Final = 100


class Condition(Struct, frozen=True):
    """How one deployment fares. Durations count from now.

    ``sentence`` is the breaker's own. ``asked_in_s`` is when it is asked again, 0 for now, None while that is not
    known: a probe has to pass first. ``diverted`` is the share of its traffic that goes elsewhere meanwhile.
    ``keys_back_in_s`` is when the first key can be used, 0 for now. ``usual_first_s`` is the time within which 19 of 20
    first contents came, None while too few did; ``first_limit_s`` how long one may take now, for a short prompt.
    ``limits_left`` is what is left of the provider's limits, 0 to 1, with the key that has least; ``retries_left`` how
    many of its tries may be made twice.
    """

    deployment: str
    provider: str
    model: str
    breaker: State
    sentence: str
    asked_in_s: float | None
    diverted: float
    keys: int
    keys_usable: int
    keys_back_in_s: float
    inflight: int
    limit: int
    usual_first_s: float | None
    first_limit_s: float
    limits_left: float
    retries_left: float

    def __str__(self) -> str:
        away = f", {self.diverted:.0%} of its traffic goes elsewhere" if self.diverted else ""
        back = f" (the first in {self.keys_back_in_s:.0f} s)" if self.keys_back_in_s else ""
        usual = "too few to tell" if self.usual_first_s is None else f"{self.usual_first_s:.2g} s"
        return (
            f"{self.deployment} ({self.provider}/{self.model}): {self.sentence}{away}; "
            f"{self.keys_usable} of {self.keys} keys usable{back}; {self.inflight} in flight of {self.limit}; "
            f"19 of 20 first contents within: {usual}, limit {self.first_limit_s:.0f} s; "
            f"{self.limits_left:.0%} of its limits left; {self.retries_left:.0f} retries left"
        )


class Process(Struct, frozen=True):
    """How this process fares. ``shed`` counts the requests turned away, by reason and priority."""

    inflight: int
    max_inflight: int
    waiting: int
    queue: int
    lag_s: float
    shed: Mapping[Reason, Mapping[Priority, int]]

    def __str__(self) -> str:
        shed = [f"{n} {p} for {why}" for why, by in self.shed.items() for p, n in by.items() if n]
        return (
            f"process: {self.inflight} requests of {self.max_inflight}, {self.waiting} waiting of {self.queue}, "
            f"event loop {self.lag_s * 1000:.0f} ms late; turned away: {', '.join(shed) or 'none'}"
        )


class Report(Struct, frozen=True):
    """Both, as of one moment."""

    process: Process
    deployments: tuple[Condition, ...]

    def lines(self) -> list[str]:
        """For people: the process, then each deployment."""
        return [str(self.process), *map(str, self.deployments)]


def report(deployments: Mapping[str, Deployment], health: Health, admission: Admission, now: float) -> Report:
    """How everything fares now."""
    lanes = health.lanes()
    conditions = [_condition(deployment, lanes[name], now) for name, deployment in deployments.items()]
    rules = admission.rules
    shed = {reason: {p: admission.shed.get((reason, p), 0) for p in PRIORITIES} for reason in REASONS}
    process = Process(
        admission.inflight, rules.max_inflight, admission.waiting, rules.queue, round(admission.lag_s, 3), shed
    )
    return Report(process, tuple(conditions))


def _condition(deployment: Deployment, lane: Lane, now: float) -> Condition:
    breaker, load = lane.breaker, lane.load
    state, back, usual = breaker.state(now), lane.keys.until_at(now), load.p95()
    limit = deployment.account.timeouts.first_token
    return Condition(
        deployment=deployment.name,
        provider=deployment.account.name,
        model=deployment.model,
        breaker=state,
        sentence=breaker.sentence(now),
        asked_in_s=_asked_in_s(lane, now),
        diverted=round(breaker.diversion(now), 3),
        keys=len(lane.quotas),
        keys_usable=lane.keys.usable(now),
        keys_back_in_s=round(back.until_at - now, 3) if back is not None else 0.0,
        inflight=load.inflight,
        limit=load.limit,
        usual_first_s=None if usual is None else round(usual, 3),
        first_limit_s=round(load.first_token_s(0, deployment.reasoning) if limit is None else limit, 3),
        limits_left=lane.burden(now).left,
        retries_left=round(lane.retries.remaining(now), 1),
    )


def _asked_in_s(lane: Lane, now: float) -> float | None:
    """The later of what its breaker and its keys say."""
    breaker, back = lane.breaker, lane.keys.until_at(now)
    shut = inf if breaker.state(now) == "due" else 0.0 if breaker.permits(now) else breaker.until_at - now
    rest = back.until_at - now if back is not None else 0.0
    wait = max(shut, rest, 0.0)
    return None if wait == inf else round(wait, 3)


def gauges(health: Health, admission: Admission, now: float) -> Gauges:
    """What a scrape says of all this, by the names and labels of telemetry/catalogue.py."""
    lanes = {(name,): lane for name, lane in health.lanes().items()}
    return {
        "gateway_breaker_state": {t: STATES[lane.breaker.state(now)] for t, lane in lanes.items()},
        "gateway_breaker_transitions_total": dict(_transitions(health)),
        "gateway_retry_budget_remaining": {t: lane.retries.remaining(now) for t, lane in lanes.items()},
        "gateway_target_inflight": {t: lane.load.inflight for t, lane in lanes.items()},
        "gateway_target_concurrency_limit": {t: lane.load.limit for t, lane in lanes.items()},
        "gateway_ratelimit_remaining_ratio": {t: lane.burden(now).left for t, lane in lanes.items()},
        "gateway_keys_usable": {
            (lane.deployment.account.name,): lane.keys.parking.usable(now) for lane in lanes.values()
        },
        "gateway_queue_depth": {(): admission.waiting},
        "gateway_shed_total": {(r, p): admission.shed.get((r, p), 0) for r in REASONS for p in PRIORITIES},
    }


def of_budgets(treasury: Treasury) -> Gauges:
    """What a scrape says of budgets: those of organisations and teams by name, never of keys or people."""
    book = treasury.book
    shown = [a for a in book.accounts.values() if a.scope.startswith(SHOWN) and a.limit > 0]
    ratios: dict[tuple[str, ...], float] = {
        (a.scope,): a.used / a.limit for a in sorted(shown, key=_begun)[-MOST_SHOWN:]
    }
    return {
        "gateway_budget_used_ratio": ratios,
        "gateway_budget_reservations": {(): len(book.holds)},
        "gateway_budget_overshoot_usd_total": {(): book.overshoot / 1_000_000},
    }


def _begun(account: Account) -> float:
    return account.span.begins_at or 0.0


def _transitions(health: Health) -> Iterator[tuple[tuple[str, ...], float]]:
    """By deployment; those that share a lane share its breaker."""
    for target, lane in health.lanes().items():
        for to in ("open", "half_open", "closed"):
            yield (target, to), health.transitions.get((lane.name, to), 0)
