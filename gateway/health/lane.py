"""One model at one provider account, as it fares. Read next: health.py, which keeps all of them.

Deployments that differ in name only share a lane: what breaks one breaks the other. A lane has one breaker, one load,
one budget of retries, and its account's keys, each with what the provider lets it use.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Final

from gateway.errors import Failure
from gateway.reliability.breaker import Breaker, BreakerRules
from gateway.reliability.budget import RetryBudget
from gateway.reliability.keys import KeyRing
from gateway.reliability.line import release
from gateway.reliability.load import Load, LoadRules
from gateway.reliability.quota import NEVER, Need, Quota, Taken
from gateway.reliability.remaining import Remaining
from gateway.reliability.share import RESERVE, Share
from gateway.types import Burden, Cooling, Deployment, Features

__all__ = ["Lane", "lane_of", "shared_name"]

#: Tokens that an answer is taken to have until some have been seen.
OUTPUT: Final = 400.0
#: The weight of one answer in the usual length of answers.
LEARNT: Final = 0.05
#: The share of a limit below which what is left of it is reckoned with.
SHORT: Final = 0.25
#: How soon to look again whether one that is full has room, in seconds.
FULL_S: Final = 1.0
#: How soon to look again whether a probe has passed, in seconds.
PROBED_S: Final = 1.0


def lane_of(deployment: Deployment) -> str:
    """The name of a deployment's lane, the same on every replica."""
    return f"{deployment.account.name}/{deployment.model}"


def shared_name(deployment: Deployment) -> str:
    """By which name the fleet speaks of it: after a reload that has moved it, what was said of it means nothing."""
    return f"{lane_of(deployment)}@{zlib.crc32(deployment.account.base_url.encode()):08x}"


class Lane:
    """How one model at one account fares. Times are monotonic seconds."""

    def __init__(
        self, name: str, deployment: Deployment, rules: BreakerRules, quotas: Sequence[Quota], keys: KeyRing, now: float
    ) -> None:
        self.name = name
        self.shared = shared_name(deployment)
        self.names: tuple[str, ...] = ()  # the deployments that share it
        self.deployment = deployment
        self.breaker = Breaker(rules, now)
        self.load = Load(LoadRules(), now)
        self.retries = RetryBudget()
        self.keys = keys
        self.quotas = list(quotas)
        self.limited = deployment.rpm is not None or deployment.tpm is not None
        self.metered = self.limited
        self.streams = True
        self.continues = True
        self.fleet_until: float | None = None
        self._output = OUTPUT
        self._short: set[int] = set()  # keys of whose limits little is left
        self.held: dict[str, int] = {}  # calls under way, by tenant
        self.awaited = False  # somebody may wait for it to have room
        self.share = Share()

    def __repr__(self) -> str:
        shared = f"; {self.share!r}" if self.metered else ""
        return f"{self.name}: {self.breaker!r}; {self.load!r}; {self.keys!r}{shared}"

    def split(self, replicas: int) -> None:
        """Of the calls that there may be at once each of so many replicas may make its part, rounded up."""
        concurrency, most = self.deployment.concurrency, self.load.rules.max_limit
        self.load.most = most if concurrency is None else min(most, -(-concurrency // replicas))

    def need(self, features: Features) -> Need:
        """What a request is taken to use of the provider's limits."""
        limit = features.max_output
        expected = int(2 * self._output)
        output = expected if limit is None else min(limit, expected)
        return Need.of(features.input_tokens, output)

    def began(self, tenant: str, now: float) -> None:
        """A call for this tenant has begun."""
        self.load.began(now)
        self.held[tenant] = self.held.get(tenant, 0) + 1

    def ended(self, tenant: str, now: float, *, dropped: bool) -> None:
        """It has ended; ``dropped`` as in Load.ended."""
        self.load.ended(now, dropped)
        release(self.held, tenant)

    def learn(self, output: int) -> None:
        """An answer had so many tokens."""
        self._output += LEARNT * (output - self._output)

    def told(self, key: int, left: Sequence[Remaining], now: float, taken: Taken | None) -> None:
        """Headers have said what is left. Only what runs short is reckoned with request by request."""
        short = any(r.limit is None or r.remaining < SHORT * r.limit for r in left)
        if short or self.metered:
            self.quotas[key].note(left, now, taken)
        if short:
            self._short.add(key)
        else:
            self._short.discard(key)
        self.metered = self.limited or bool(self._short)

    def cooling(self, features: Features, now: float, tenant: str) -> Cooling | None:
        """Why it is not asked as usual for this request, and until when; None when it is."""
        if not self.breaker.permits(now):
            # How long a probe takes, or the way to one, is not known: not long.
            known = self.breaker.state(now) == "open"
            return Cooling(self.breaker.until_at if known else now + PROBED_S, "breaker")
        if (rest := self.keys.until_at(now)) is not None:
            return rest
        if self.metered and (short := self._limited(self.need(features), now, tenant)) is not None:
            return short
        if not self.load.room(now):
            self.awaited = True
            return Cooling(now + FULL_S, "full")
        share = self.breaker.diversion(now)
        return Cooling(now, "breaker", round(share, 3)) if share else None

    def _limited(self, need: Need, now: float, tenant: str) -> Cooling | None:
        """Why its limits have no room for so much; where little is left, perhaps for this tenant only."""
        if self.wait_s(need, now, RESERVE) == 0:
            return None
        wait = self.wait_s(need, now)
        if wait == NEVER:
            return Cooling(now, "too_large")
        self.share.ran_short(now)
        kept = self.share.kept(tenant, now)
        longer = self.wait_s(need, now, kept) if kept else wait
        if longer > wait:
            return Cooling(now + longer, "share")
        return Cooling(now + wait, "limit") if wait > 0 else None

    def wait_s(self, need: Need, now: float, kept: float = 0.0) -> float:
        """Seconds until one of the keys has room for so much and what is ``kept`` for others."""
        return min(quota.wait_s(need, now, kept) for n, quota in enumerate(self.quotas) if self.keys.can(n, now))

    def wait_of(self, need: Need, now: float, tenant: str) -> Callable[[int], float]:
        """Seconds until one key has room for so much, by its place."""
        if not self.metered:
            return _at_once
        kept = self.share.kept(tenant, now)
        return lambda n: self.quotas[n].wait_s(need, now, kept)

    def plain(self, now: float) -> bool:
        """Whether there is nothing to look at before it is asked."""
        calm = self.breaker.state(now) == "closed" and not self.breaker.diversion(now)
        return calm and not self.metered and self.keys.until_at(now) is None and self.load.room(now)

    def burden(self, now: float) -> Burden:
        """How busy it is."""
        load = self.load
        left = min((quota.share(now) for quota in self.quotas), default=1.0) if self.metered else 1.0
        wait = load.cost(now) / (load.inflight + 1)
        return Burden(load.inflight, round(wait, 3), round(left, 3))


def _at_once(key: int) -> float:
    return 0.0


def key_failure(failure: Failure) -> bool:
    """Whether a failure is about the key that was used."""
    return failure.kind in ("rate", "quota", "auth")
