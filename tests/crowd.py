"""Tenants that ask one deployment for more than its limits allow, by the clock. Read next: test_share.py.

Each request does what the pipeline does: it looks who is left alone, waits for a limit that is nearly over, asks for
leave, and looks once more where it got none.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count

from msgspec import Struct

from gateway.health.health import Health
from gateway.state.memory import Memory
from gateway.types import Features, Usage
from tests.make import deployment, world

__all__ = ["Had", "Tenant", "jain", "play"]

T0 = 1000.0
#: The longest wait that is planned for, as in Backoff.retry_after_max_s.
PATIENCE_S = 3.0
LOOKS = 2


class Tenant(Struct, frozen=True):
    """Asks ``per_s`` times a second, at random, from ``since`` to ``until``; in clumps of so many at once."""

    per_s: float
    since: float = 0.0
    until: float = 1e9
    clump: int = 1
    tokens: int = 100


class Had(Struct):
    """What a tenant asked and got within the time that was looked at, in requests; waits in seconds."""

    asked: int = 0
    served: int = 0
    waits: list[float] = []
    refusals: dict[str, int] = {}
    told: list[float] = []

    @property
    def part(self) -> float:
        """How much of what it asked it got."""
        return self.served / self.asked if self.asked else 1.0


def play(
    tenants: Mapping[str, Tenant],
    *,
    seconds: float = 120.0,
    rpm: int | None = 600,
    tpm: int | None = None,
    lasts_s: float = 0.5,
    seed: int = 1,
    blind: bool = False,
) -> dict[str, Had]:
    """What each tenant gets in the second half of the time. ``blind``: nobody knows who is who."""
    state = Memory()
    health = Health(state, world(deployment("a", rpm=rpm, tpm=tpm)), T0)
    one = health.lanes()["a"].deployment
    had = {name: Had(0, 0, [], {}, []) for name in tenants}
    n, events = count(), []
    for name, at in _arrivals(tenants, seconds, random.Random(seed)):
        events.append((T0 + at, next(n), "ask", name, T0 + at, LOOKS))
    events += [(T0 + turn / 10, next(n), "sync", "", T0, 0) for turn in range(int(seconds * 10))]
    heapq.heapify(events)
    leaves: dict[int, object] = {}
    while events:
        now, _, what, name, asked_at, looks = heapq.heappop(events)
        if what == "sync":
            _sync(state, now)
            continue
        tenant, features = "" if blind else name, _features(tenants[name])
        if what == "end":
            leave = leaves.pop(looks)
            leave.ended(None, Usage(tenants[name].tokens // 2, tenants[name].tokens // 2), now)  # type: ignore[attr-defined]
            continue
        counts = T0 + seconds / 2 <= asked_at
        cooling = health.cooling(features, now, tenant).get("a") if what == "ask" else None
        if what == "ask" and looks == LOOKS:
            had[name].asked += counts
        leave = health.leave(one, features, now, tenant) if cooling is None else None
        if leave is not None:
            had[name].served += counts
            had[name].waits += [now - asked_at] * counts
            leaves[at := next(n)] = leave
            heapq.heappush(events, (now + lasts_s, next(n), "end", name, asked_at, at))
        elif cooling is not None and looks and cooling.until_at - now <= PATIENCE_S:
            heapq.heappush(events, (cooling.until_at + 0.001, next(n), "try", name, asked_at, looks - 1))
        elif cooling is None and looks:
            heapq.heappush(events, (now, next(n), "ask", name, asked_at, looks - (what == "ask")))
        else:
            kind = cooling.kind if cooling is not None else "taken"
            had[name].refusals[kind] = had[name].refusals.get(kind, 0) + counts
            if cooling is not None and counts:
                had[name].told.append(cooling.until_at - now)
    return had


def jain(shares: Sequence[float]) -> float:
    """How even shares are: 1 when all are the same, 1/n when one has all (Jain, Chiu and Hawe 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def _sync(state: Memory, now: float) -> None:
    """What happens every 100 ms; in memory it waits for nothing."""
    with suppress(StopIteration):
        state.sync(now).send(None)


def _features(tenant: Tenant) -> Features:
    return Features(tenant.tokens // 2, tenant.tokens // 2, 1, frozenset(), 1)


def _arrivals(tenants: Mapping[str, Tenant], seconds: float, chance: random.Random) -> list[tuple[str, float]]:
    found = []
    for name, tenant in tenants.items():
        at = tenant.since
        while (at := at + chance.expovariate(tenant.per_s / tenant.clump)) < min(seconds, tenant.until):
            found += [(name, at)] * tenant.clump
    return found
