"""Who waits for a place, and whose turn it is when one comes free. Read next: ../admission.py, where they stand.

A tenant that asks five hundred times at once stands in line five hundred times. Who comes first would be whoever asks
most, so the line is by tenants: next is the one that has the fewest places now, and of those that have as few, the one
that was called longest ago. That is max-min fairness of places, whatever the calls last: a tenant of long calls and one
of short calls end up with as many places each, where turns alone (start-time fair queueing, weight 1) would leave the
short calls a share as small as they are short. What a tenant does not ask for goes to the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

__all__ = ["Line", "Standing", "release"]

Who = TypeVar("Who")


class Standing(Struct, Generic[Who], frozen=True, eq=False):
    """One that waits: ``rank`` 0 goes before 1; any of ``places`` will do; ``n`` counts up in the order of coming."""

    tenant: str
    rank: int
    places: frozenset[str]
    n: int
    who: Who


Group = tuple[str, int, frozenset[str]]


class Line(Generic[Who]):
    """Those that wait. All verbs take time in proportion to the tenants that wait, not to the requests."""

    def __init__(self) -> None:
        self._groups: dict[Group, deque[Standing[Who]]] = {}
        self._called: dict[str, int] = {}
        self._n = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        waiting = sorted(self._by_tenant(self._groups).items(), key=lambda one: (-one[1], one[0]))
        said = ", ".join(f"{n} of {tenant}" for tenant, n in waiting[:3])
        more = f" and {len(waiting) - 3} tenants more" if len(waiting) > 3 else ""
        return f"{self._length} wait: {said}{more}" if waiting else "nobody waits"

    def stand(self, tenant: str, rank: int, places: frozenset[str], who: Who) -> Standing[Who]:
        """Somebody waits from now on."""
        self._n += 1
        standing = Standing(tenant, rank, places, self._n, who)
        self._groups.setdefault((tenant, rank, places), deque()).append(standing)
        self._length += 1
        return standing

    def waits_for(self, place: str) -> bool:
        """Whether anybody would take a place of that name."""
        return any(place in places for _, _, places in self._groups)

    def next(self, places: Collection[str], held: Mapping[str, int]) -> Standing[Who] | None:
        """Whose turn it is now that one of ``places`` is free; no longer in line. ``held``: how many a tenant has."""
        heads = [line[0] for (_, _, wanted), line in self._groups.items() if not wanted.isdisjoint(places)]
        if not heads:
            return None
        called = self._called
        first = min(heads, key=lambda s: (s.rank, held.get(s.tenant, 0), called.get(s.tenant, 0), s.n))
        self._n += 1
        called[first.tenant] = self._n
        self.forsake(first)
        return first

    def make_way(self, tenant: str, rank: int) -> Standing[Who] | None:
        """Who gives its place in a full line to a newcomer; None: nobody, it is the newcomer that has to go.

        The last of those that are less urgent, else of those as urgent, of the tenant with most of them; in the second
        case only if that one has more than the newcomer's tenant would have.
        """
        lesser = [group for group in self._groups if group[1] > rank]
        groups = lesser or [group for group in self._groups if group[1] == rank]
        waiting = self._by_tenant(groups)
        most = max(waiting, key=lambda one: waiting[one], default=tenant)
        if not lesser and waiting.get(most, 0) <= waiting.get(tenant, 0) + 1:
            return None
        last = max((self._groups[group][-1] for group in groups if group[0] == most), key=lambda s: s.n)
        self.forsake(last)
        return last

    def forsake(self, standing: Standing[Who]) -> None:
        """It waits no more; nothing happens if it does not by now."""
        group = (standing.tenant, standing.rank, standing.places)
        line = self._groups.get(group)
        if line is None or standing not in line:
            return
        line.remove(standing)
        self._length -= 1
        if not line:
            del self._groups[group]
        if not self._length:
            self._called.clear()

    def _by_tenant(self, groups: Collection[Group]) -> dict[str, int]:
        waiting: dict[str, int] = {}
        for group in groups:
            waiting[group[0]] = waiting.get(group[0], 0) + len(self._groups[group])
        return waiting


def release(held: dict[str, int], tenant: str) -> None:
    """One less is this tenant's. Those that have none are not kept."""
    n = held.get(tenant, 0) - 1
    if n > 0:
        held[tenant] = n
    else:
        held.pop(tenant, None)
