"""How every deployment fares: asked by decisions and runs, told by runs, shared with the fleet. Read next: lane.py.

Nothing here waits. ``tick``, in the background, carries what this process found to the fleet and back: an open
breaker, a key that is cooling, and the lease of the one probe that an open breaker gets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.errors import Failure
from gateway.health.lane import Lane, key_failure, lane_of
from gateway.reliability.breaker import BreakerRules, Verdict
from gateway.reliability.budget import RetryBudget
from gateway.reliability.failures import cooling_s
from gateway.reliability.keys import KeyRing, Parking
from gateway.reliability.meter import Buckets, SharedMeter
from gateway.reliability.quota import Need, Quota, Taken
from gateway.reliability.remaining import Dimension, read_remaining
from gateway.state.verbs import State
from gateway.types import Account, Burden, Cooling, Deployment, Features, Login, Secret, Usage, World

__all__ = ["Health"]

Headers = Sequence[tuple[bytes, bytes]]
Freed = Callable[[Collection[str], Mapping[str, int]], bool]
Opened = tuple[str, tuple[Secret, ...], Login | None]

#: A lease of the probe ends before the next one is due, so that a holder that died keeps nobody from probing.
LEASE: Final = 0.8
#: What each kind of failure says about the deployment; all others say that it is there.
VERDICTS: Final[Mapping[str, Verdict]] = {
    "connect": "failed",
    "overloaded": "failed",
    "silent": "failed",
    "truncated": "failed",
    "stall": "failed",
    "garbage": "failed",
    "rate": "soft",
    "quota": "none",
    "auth": "none",
}
#: Failures that mean that it has too much to do.
DROPPED: Final = frozenset({"rate", "overloaded", "silent"})
#: A 403 may be about the model; a 401 is about the key.
FORBIDDEN: Final = 403
#: A probe that has not been heard of for so long is lost, in seconds: longer than a model may think.
PROBE_S: Final = 150.0
#: So many times the failures that open a breaker open it without regard to their share, if they come in a row.
IN_A_ROW: Final = 4
#: The time over which hedges are a share of requests, in seconds: at a fiftieth, one request a second earns some.
HEDGES_S: Final = 60.0
BREAKER: Final = "breaker:"
KEY: Final = "key:"


def nobody_waits(names: Collection[str], held: Mapping[str, int]) -> bool:
    """Where nobody is told that there is room."""
    return False


class Health:
    """Lanes by the names of deployments. Implements upstream/care.py for runs.

    ``freed`` is told the names of deployments that have room for one more call, and how many each tenant has there; it
    says whether anybody waited.
    """

    def __init__(self, state: State, world: World, now: float, freed: Freed = nobody_waits) -> None:
        self._state = state
        self._has_room = freed
        self._lanes: dict[str, Lane] = {}
        self._by_deployment: dict[str, Lane] = {}
        self._by_shared: dict[str, Lane] = {}
        self._former: dict[str, Lane] = {}
        self._weighed: dict[str, Lane] = {}
        self._watched: dict[str, Lane] = {}
        self._hedges: dict[float, RetryBudget] = {}
        self._parkings: dict[Opened, Parking] = {}
        self._by_key: dict[str, list[tuple[Lane, int, bool]]] = {}
        self._turn = 0
        self._share = 1.0
        self._replicas = 1
        self.transitions: dict[tuple[str, str], int] = {}
        self.know(world, now)

    def __repr__(self) -> str:
        return "; ".join(map(repr, self._watched.values())) or f"{len(self._lanes)} lanes, all well"

    def know(self, world: World, now: float) -> None:
        """A configuration is in use: lanes that it still has keep what is known of them."""
        reliability = world.reliability
        self._idle_probe_s = reliability.idle_probe_s
        rules = self._rules = BreakerRules(
            window_s=reliability.window_s,
            min_failures=reliability.min_failures,
            ratio=reliability.ratio,
            open_s=reliability.open_s,
            in_a_row=IN_A_ROW * reliability.min_failures,
            probe_s=PROBE_S,
        )
        self._known_at = now
        before, self._lanes, self._by_deployment, self._by_key = self._lanes, {}, {}, {}
        keys = {_opened(deployment.account) for deployment in world.deployments.values()}
        self._parkings = {key: parking for key, parking in self._parkings.items() if key in keys}
        for name, deployment in world.deployments.items():
            lane_name = lane_of(deployment)
            lane = self._lanes.get(lane_name)
            if lane is None:
                lane = before.get(lane_name)
                if lane is None or lane.breaker.rules != rules or not _same(lane.deployment, deployment):
                    lane = self._make(lane_name, deployment, now)
                lane.deployment, lane.names = deployment, ()
                self._lanes[lane_name] = lane
                self._know_keys(lane)
            lane.split(self._replicas)
            lane.names += (name,)
            self._by_deployment[name] = lane
        self._by_shared = {lane.shared: lane for lane in self._lanes.values()}
        self._former = {name: lane for name, lane in before.items() if self._lanes.get(name) is not lane}
        self._watched = {
            name: lane for name, lane in self._by_deployment.items() if lane.metered or not lane.plain(now)
        }
        weighed = {name for route in world.routes if route.policy.strategy.weighs for name in route.policy.pool}
        self._weighed = {name: lane for name, lane in self._by_deployment.items() if name in weighed}

    def _make(self, name: str, deployment: Deployment, now: float) -> Lane:
        keys = max(1, len(deployment.account.keys))
        rpm, tpm = deployment.rpm, deployment.tpm
        quotas = [
            Quota(name, rpm=rpm, tpm=tpm, make=_Meters(self._state, f"{_key_name(deployment, n)}:{deployment.model}"))
            for n in range(keys)
        ]
        for quota in quotas:
            quota.scale(self._share)
        return Lane(name, deployment, self._rules, quotas, KeyRing(keys, self._parking(deployment)), now)

    def _parking(self, deployment: Deployment) -> Parking:
        """What is known of an account's keys, whichever model was asked; of other keys nothing is known yet."""
        account = deployment.account
        known = self._parkings.get(_opened(account))
        if known is None:
            known = self._parkings[_opened(account)] = Parking(len(account.keys))
        return known

    def _know_keys(self, lane: Lane) -> None:
        """By which names the fleet speaks of a lane's keys: for all models, and for this one."""
        for n in range(len(lane.quotas)):
            name = f"{KEY}{_key_name(lane.deployment, n)}"
            self._by_key.setdefault(name, []).append((lane, n, True))
            self._by_key.setdefault(f"{name}:{lane.name}", []).append((lane, n, False))

    # --- for decisions ------------------------------------------------------------------------------------------

    def cooling(self, features: Features, now: float, tenant: str = "") -> Mapping[str, Cooling]:
        """The deployments that are not asked as usual for such a request of this tenant."""
        if not self._watched:
            return _NOTHING
        found = {name: lane.cooling(features, now, tenant) for name, lane in self._watched.items()}
        calm = [name for name, cooling in found.items() if cooling is None and self._watched[name].plain(now)]
        for name in calm:
            del self._watched[name]
        return {name: cooling for name, cooling in found.items() if cooling is not None}

    def load(self, now: float) -> Mapping[str, Burden]:
        """How busy the deployments are, where a strategy looks at it."""
        if not self._weighed:
            return _NO_LOAD
        return {name: lane.burden(now) for name, lane in self._weighed.items()}

    # --- for runs (upstream/care.py) ----------------------------------------------------------------------------

    def leave(self, deployment: Deployment, features: Features, now: float, tenant: str = "") -> Leave | None:
        """See Care.leave."""
        lane = self._lane(deployment)
        if not lane.load.room(now):
            self._watch(lane)
            return None
        need = lane.need(features) if lane.metered else _NO_NEED
        ticket = lane.breaker.begin(now)
        if ticket is None:
            return None
        self._turn += 1
        key = lane.keys.choose(self._turn, now, lane.wait_of(need, now, tenant))
        if key is None:
            lane.breaker.ended(ticket, "none", now)
            self._watch(lane)
            return None
        lane.began(tenant, now)
        lane.retries.deposit(now)
        if not lane.metered:
            return Leave(self, lane, key, ticket, None, now, tenant)
        quota, share = lane.quotas[key], lane.share
        counted = share.took(tenant, quota.part(need), now) if share.short(now) else 0.0
        return Leave(self, lane, key, ticket, quota.take(need, now), now, tenant, counted)

    def first_token_s(self, deployment: Deployment, features: Features, now: float) -> float:
        """See Care.first_token_s."""
        load = self._lane(deployment).load
        return load.first_token_s(features.input_tokens, features.reasoning or deployment.reasoning)

    def other_key(self, deployment: Deployment, now: float) -> bool:
        """See Care.other_key."""
        return self._lane(deployment).keys.usable(now) > 0

    def may_retry(self, deployment: Deployment, now: float) -> bool:
        """See Care.may_retry. One that is left alone from now on would be waited for in vain."""
        lane = self._lane(deployment)
        return lane.breaker.permits(now) and lane.retries.withdraw(now)

    def hedge_after_s(self, deployment: Deployment, extra: float, now: float) -> float | None:
        """See Care.hedge_after_s. Every request counts, so that hedges are a share of all of them."""
        self._hedge_budget(extra).deposit(now)
        return self._lane(deployment).load.p95()

    def may_hedge(self, extra: float, now: float) -> bool:
        """See Care.may_hedge."""
        return self._hedge_budget(extra).withdraw(now)

    def streams(self, deployment: Deployment) -> bool:
        """See Care.streams."""
        return self._lane(deployment).streams

    def refused_to_stream(self, deployment: Deployment) -> None:
        """See Care.refused_to_stream."""
        self._lane(deployment).streams = False

    def continues(self, deployment: Deployment) -> bool:
        """See Care.continues."""
        return self._lane(deployment).continues

    def refused_to_continue(self, deployment: Deployment) -> None:
        """See Care.refused_to_continue."""
        self._lane(deployment).continues = False

    def _hedge_budget(self, extra: float) -> RetryBudget:
        budget = self._hedges.get(extra)
        if budget is None:
            budget = self._hedges[extra] = RetryBudget(ratio=extra, min_per_s=0.0, ttl_s=HEDGES_S)
        return budget

    def _lane(self, deployment: Deployment) -> Lane:
        lane = self._by_deployment.get(deployment.name)
        if lane is not None and lane.deployment.account is deployment.account:
            return lane
        # A request that began before a reload: what it asks may be known no more, or have other keys by now.
        name = lane_of(deployment)
        for lane in (self._lanes.get(name), self._former.get(name)):
            if lane is not None and _same_place(lane.deployment, deployment):
                return lane
        lane = self._former[name] = self._make(name, deployment, self._known_at)
        return lane

    # --- what runs tell -----------------------------------------------------------------------------------------

    def _watch(self, lane: Lane) -> None:
        for name in lane.names:
            if self._by_deployment.get(name) is lane:
                self._watched[name] = lane

    def _freed(self, lane: Lane, now: float) -> None:
        """A call has ended: who waits for its place is called, unless there are to be fewer by now."""
        if lane.awaited and lane.load.room(now):
            lane.awaited = self._has_room(lane.names, lane.held)

    def _failed(self, lane: Lane, key: int, failure: Failure, now: float) -> None:
        """A failure: what it means for the key, and that the lane is to be looked at from now on."""
        if key_failure(failure):
            self._rest_key(lane, key, failure, now)
        elif VERDICTS.get(failure.kind, "ok") == "ok":
            lane.keys.ok(key, now)
        else:
            lane.keys.failed(key, failure.kind, now)
        self._watch(lane)

    def _rest_key(self, lane: Lane, key: int, failure: Failure, now: float) -> None:
        """Leave a key alone, here and on every replica: for its account, or for this model where only that is meant."""
        keys, name = lane.keys, f"{KEY}{_key_name(lane.deployment, key)}"
        if failure.kind == "rate" or failure.status == FORBIDDEN:
            keys.failed(key, "client", now)  # of a key that was being tried again this says nothing
            keys.leave(key, Cooling(now + (cooling_s(failure) or 0.0), failure.kind))
            self._state.cool(f"{name}:{lane.name}", keys.back(key))
            return
        keys.failed(key, failure.kind, now, failure.retry_after_s)
        self._state.cool(name, keys.back(key))
        for other in self._lanes.values():
            if other.keys.parking is keys.parking:
                self._watch(other)

    def _changed(self, lane: Lane, to: str | None, now: float) -> None:
        """A breaker has changed: the fleet is told, and the metrics."""
        if to is None:
            return
        self._count(lane, to)
        name = BREAKER + lane.shared
        if to == "open":
            self._state.cool(name, Cooling(lane.breaker.until_at, "breaker"))
        elif to == "closed":
            lane.fleet_until = None
            self._state.warm(name)
            self._state.let_go(name)

    def _count(self, lane: Lane, to: str | None) -> None:
        if to is not None:
            self._watch(lane)
            self.transitions[lane.name, to] = self.transitions.get((lane.name, to), 0) + 1

    # --- in the background --------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Bring what the fleet knows here, and ask for the probes that are due."""
        self._scale(1.0 / self._state.replicas() if self._state.alone(now) else 1.0)
        if (replicas := self._state.replicas()) != self._replicas:
            self._replicas = replicas
            for known in self._lanes.values():
                known.split(replicas)
        fleet = self._state.cooling(now)
        told = {lane for name in fleet if (lane := self._by_shared.get(name.removeprefix(BREAKER))) is not None}
        for lane in {*self._watched.values(), *told}:
            self._heed(lane, fleet, now)
        for name in fleet:
            for lane, key, account in self._by_key.get(name, ()):
                if lane.keys.back(key).until_at < fleet[name].until_at:
                    lane.keys.leave(key, fleet[name], account=account)
                    self._watch(lane)

    def _scale(self, share: float) -> None:
        """A replica that cannot ask the fleet counts on its own share of what is configured."""
        if share == self._share:
            return
        self._share = share
        for lane in self._lanes.values():
            for quota in lane.quotas:
                quota.scale(share)

    def _heed(self, lane: Lane, fleet: Mapping[str, Cooling], now: float) -> None:
        breaker, name = lane.breaker, BREAKER + lane.shared
        said = fleet.get(name)
        if said is not None and said.until_at != lane.fleet_until:
            lane.fleet_until = said.until_at
            self._count(lane, breaker.shut(said.until_at, now))
        elif said is None and lane.fleet_until is not None and lane.fleet_until > now + 0.5:
            lane.fleet_until = None
            self._count(lane, breaker.mend(now))
        if breaker.state(now) == "due":
            if self._state.holds(name, now):
                self._count(lane, breaker.allow_probe(now))
            else:
                self._state.want(name, LEASE * breaker.rules.open_s)

    def to_probe(self, now: float) -> Iterator[tuple[Deployment, Leave]]:
        """Deployments whose probe is due and that nobody has asked for a while, with leave to be asked."""
        for lane in {*self._watched.values()}:
            since = lane.breaker.half_open_since
            if since is not None and now - since >= self._idle_probe_s and lane.breaker.permits(now):
                ticket = lane.breaker.begin(now)
                if ticket is not None:
                    lane.began("", now)
                    yield lane.deployment, Leave(self, lane, 0, ticket, None, now)

    def lanes(self) -> Mapping[str, Lane]:
        """By deployment, for metrics and operators."""
        return self._by_deployment


class Leave(Struct, eq=False):
    """See upstream/care.py."""

    _health: Health
    _lane: Lane
    key: int
    _ticket: int
    _taken: Taken | None
    _began_at: float
    _tenant: str = ""
    _counted: float = 0.0  # as its tenant's use

    def answered(self, headers: Headers, now: float) -> None:
        """See care.Leave.answered."""
        if left := read_remaining(headers):
            self._lane.told(self.key, left, now, self._taken)
            if self._lane.metered:
                self._health._watch(self._lane)

    def content(self, now: float) -> None:
        """See care.Leave.content."""
        lane = self._lane
        lane.load.first(now - self._began_at, now)
        self._health._changed(lane, lane.breaker.passed(self._ticket, now), now)

    def ended(self, failure: Failure | None, usage: Usage | None, now: float) -> None:
        """See care.Leave.ended."""
        lane, key = self._lane, self.key
        if failure is None:
            verdict: Verdict = "ok"
            lane.keys.ok(key, now)
            if usage is not None:
                lane.learn(usage.output)
        else:
            verdict = VERDICTS.get(failure.kind, "ok")
            self._health._failed(lane, key, failure, now)
        self._land(failure, usage, now)
        lane.ended(self._tenant, now, dropped=failure is not None and failure.kind in DROPPED)
        retry_after_s = failure.retry_after_s if failure is not None else None
        self._health._changed(lane, lane.breaker.ended(self._ticket, verdict, now, retry_after_s), now)
        self._health._freed(lane, now)

    def left(self, now: float) -> None:
        """See care.Leave.left."""
        lane = self._lane
        self._land(None, None, now)
        lane.keys.failed(self.key, "client", now)
        lane.ended(self._tenant, now, dropped=False)
        self._health._changed(lane, lane.breaker.ended(self._ticket, "none", now), now)
        self._health._freed(lane, now)

    def _land(self, failure: Failure | None, usage: Usage | None, now: float) -> None:
        """Without usage: a refusal used nothing; of anything else it is not known what the provider has counted."""
        taken, quota = self._taken, self._lane.quotas[self.key]
        if taken is None:
            return
        if usage is not None:
            used = Need.of(usage.input, usage.output)
            quota.settle(taken, used, now)
            if self._counted:
                self._lane.share.corrected(self._tenant, quota.part(used) - self._counted, self._began_at)
        elif failure is not None and failure.kind == "rate":
            quota.refused(now, failure.retry_after_s, taken)
        else:
            nothing = failure is not None and failure.kind in ("quota", "auth", "connect", "client")
            quota.settle(taken, None if nothing else taken.need, now)


class _Meters:
    """Makes meters of one key's limits that the fleet shares."""

    def __init__(self, buckets: Buckets, name: str) -> None:
        self._buckets = buckets
        self._name = name

    def __call__(self, dimension: Dimension, rate: float, capacity: float) -> SharedMeter:
        return SharedMeter(self._buckets, f"{self._name}:{dimension}", rate, capacity)


def _same(one: Deployment, other: Deployment) -> bool:
    """Whether what is known of one holds for the other: the same place, keys and limits."""
    return _same_place(one, other) and (one.rpm, one.tpm) == (other.rpm, other.tpm)


def _same_place(one: Deployment, other: Deployment) -> bool:
    return one.account.base_url == other.account.base_url and _opened(one.account)[1:] == _opened(other.account)[1:]


def _opened(account: Account) -> Opened:
    """An account, and what opens it."""
    return account.name, account.keys, account.auth


def _key_name(deployment: Deployment, n: int) -> str:
    """A name for a key that every replica gives it and that tells nothing of it."""
    account = deployment.account
    if account.auth is not None:
        parts = (*account.auth.params, *((name, secret.reveal()) for name, secret in account.auth.secrets))
        opened_by = repr((account.auth.kind, parts))
    elif account.keys:
        opened_by = account.keys[n].reveal()
    else:
        return account.name
    return f"{account.name}#{hashlib.sha256(opened_by.encode()).hexdigest()[:8]}"


_NO_NEED: Final = Need()
_NOTHING: Final[Mapping[str, Cooling]] = {}
_NO_LOAD: Final[Mapping[str, Burden]] = {}
