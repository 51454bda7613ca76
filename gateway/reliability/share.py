"""Who may have what is left of a limit that runs short. Read next: quota.py, whose waits it lengthens.

While there is enough for everybody nothing is counted. Once less than ``RESERVE`` of what may be sent at once is left,
what each tenant takes is counted, and forgotten with the time constant ``MEMORY_S``. A tenant that has had no more than
its fair share lately (all that was taken, over the tenants that asked within ``ACTIVE_S``) is served for as long as
there is anything. One that has had more has to leave something for the others: a part of the reserve that grows from
nothing at its fair share to all of it at everything. So the level of what is left comes to stand where those that want
more than they get have had as much as each other: max-min fairness, with no share configured and none unused.

``MEMORY_S`` of 15 s is longer than the burst that a limit allows (10 s), so that a tenant cannot have each burst to
itself, and short enough for yesterday's batch work to be forgiven by the next coffee. ``RESERVE`` of 0.3 is 3 s of a
limit: what others may ask at once while one tenant floods; the flood keeps 7 s, as clumps of arrivals need about that
much to use all of a limit.
"""

from __future__ import annotations

from math import exp, inf
from typing import Final

__all__ = ["RESERVE", "Share"]

#: The part of what may be sent at once below which there is a shortage.
RESERVE: Final = 0.3
#: The time constant with which use is forgotten, in seconds; so long after the last sign of it a shortage is over.
MEMORY_S: Final = 15.0
#: How long a tenant that asks no more is reckoned with, in seconds.
ACTIVE_S: Final = 30.0
#: Ages of the oldest use, in time constants, beyond which weights are made smaller, or they would grow out of a float.
OLDEST: Final = 20.0


class Share:
    """What each tenant has had of one deployment lately, in any unit. Times are monotonic seconds.

    Ask ``kept`` before a request, say ``took`` after it; both do next to nothing while there is no shortage.
    """

    __slots__ = ("_from", "_seen", "_short_at", "_sum", "_used")

    def __init__(self) -> None:
        self._short_at = -inf
        self._from = 0.0  # when a use weighed 1: those since weigh more, rather than those before less
        self._used: dict[str, float] = {}
        self._seen: dict[str, float] = {}  # when they last asked, longest ago first
        self._sum = 0.0

    def __repr__(self) -> str:
        if not self._seen:
            return "no shortage lately"
        most = max(self._used, key=lambda one: self._used[one])
        part = self._used[most] / self._sum if self._sum else 0.0
        fair = f"a fair share is {1 / len(self._seen):.0%}"
        return f"{len(self._seen)} tenants in the last shortage, {fair}; {most} had most, {part:.0%}"

    def ran_short(self, now: float) -> None:
        """Less than the reserve is left."""
        if not self.short(now):
            self._begin(now)
        self._short_at = max(self._short_at, now)

    def short(self, now: float) -> bool:
        """Whether there is a shortage, or was lately."""
        return now - self._short_at <= MEMORY_S

    def kept(self, tenant: str, now: float) -> float:
        """What this tenant has to leave, as a part of what may be sent at once: 0 to RESERVE. It counts as asking."""
        if not self.short(now):
            return 0.0
        self._ask(tenant, now)
        n = len(self._seen)
        if n == 1 or self._sum <= 0.0:
            return 0.0
        fair = 1.0 / n
        over = (self._used[tenant] / self._sum - fair) / (1.0 - fair)
        return RESERVE * min(1.0, max(0.0, over))

    def took(self, tenant: str, amount: float, now: float) -> float:
        """It is served so much. What of it was counted: all of it in a shortage, else nothing."""
        if not self.short(now):
            return 0.0
        self._ask(tenant, now)
        self._add(tenant, amount * self._weight(now))
        return amount

    def corrected(self, tenant: str, by: float, at: float) -> None:
        """What was counted ``at`` some time was really so much more, or less."""
        if tenant in self._used and at >= self._from:
            self._add(tenant, by * exp((at - self._from) / MEMORY_S))

    def _add(self, tenant: str, weighed: float) -> None:
        before = self._used[tenant]
        after = self._used[tenant] = max(0.0, before + weighed)
        self._sum = max(0.0, self._sum + after - before)

    def had(self, tenant: str) -> float:
        """Its part of all that was taken lately, 0 to 1."""
        return self._used.get(tenant, 0.0) / self._sum if self._sum else 0.0

    def _begin(self, now: float) -> None:
        self._used.clear()
        self._seen.clear()
        self._sum, self._from = 0.0, now

    def _ask(self, tenant: str, now: float) -> None:
        seen = self._seen
        seen.pop(tenant, None)
        seen[tenant] = now
        self._used.setdefault(tenant, 0.0)
        while seen[first := next(iter(seen))] < now - ACTIVE_S:
            del seen[first]
            self._sum = max(0.0, self._sum - self._used.pop(first))

    def _weight(self, now: float) -> float:
        """What a use weighs now (forward decay: Cormode et al. 2009)."""
        age = (now - self._from) / MEMORY_S
        if age > OLDEST:
            self._used = {tenant: used * exp(-age) for tenant, used in self._used.items()}
            self._sum = sum(self._used.values())
            self._from, age = now, 0.0
        return exp(age)
