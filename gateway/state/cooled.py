"""What is left alone, as one replica knows it. Read next: meeting.py, which shares it.

Two layers: what the fleet said at the last refresh, replaced as a whole by the next one, and over it what this
replica has said since and the fleet has not confirmed. The mapping handed out is never changed afterwards: a
snapshot may keep it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from math import inf
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.types import Cooling

__all__ = ["Cooled", "Said"]

#: A cooling that the store no longer knows, with more than this left, was lost rather than over: in seconds.
LOST_S: Final = 1.0


class Said(Struct, frozen=True):
    """What this replica said of one name: first warm, if ``warm``, then ``cooling``, if any.

    ``at`` is when it first tried to tell the fleet. Said on a bad day and told later, it still counts from then.
    """

    warm: bool
    cooling: Cooling | None
    at: float | None = None


class Cooled:
    """Names by the end of their cooling. A later end wins over an earlier one, but what is said last over a warm."""

    __slots__ = ("_by", "_fleet", "_next_end", "_refreshed_at", "_said")

    def __init__(self) -> None:
        self._fleet: Mapping[str, Cooling] = {}
        self._said: dict[str, Said] = {}
        self._by: Mapping[str, Cooling] = {}
        self._next_end = inf
        self._refreshed_at = 0.0

    def __repr__(self) -> str:
        return f"{len(self._by)} left alone, {len(self._said)} to tell the fleet"

    def cool(self, name: str, cooling: Cooling) -> None:
        """Leave it alone until then, unless it is left alone longer already."""
        said = self._said.get(name)
        if said is None or said.cooling is None or said.cooling.until_at < cooling.until_at:
            self._said[name] = Said(said is not None and said.warm, cooling)
            self._look()

    def warm(self, name: str) -> None:
        """Leave it alone no longer."""
        self._said[name] = Said(True, None)
        self._look()

    def at(self, now: float) -> Mapping[str, Cooling]:
        """Those that are left alone at ``now``."""
        if now >= self._next_end:
            self._keep({name: cooling for name, cooling in self._by.items() if cooling.until_at > now})
        return self._by

    def take(self, now: float) -> Mapping[str, Said]:
        """What the fleet is yet to be told, to be given back to ``refresh`` once it has been."""
        self._said = {name: _tried(said, now) for name, said in self._said.items() if _matters(said, now)}
        return dict(self._said)

    def refresh(self, now: float, fleet: Mapping[str, Cooling], warmed: Set[str], told: Mapping[str, Said]) -> None:
        """What the fleet says after it was ``told``: ``warmed`` are those of which it knows that they are over.

        What it has forgotten (a store that came back empty) is said again, as of the last refresh.
        """
        self._said = {name: said for name, said in self._said.items() if told.get(name) is not said}
        for name, cooling in self._fleet.items():
            if name not in fleet and name not in warmed and cooling.until_at > now + LOST_S:
                self._said.setdefault(name, Said(False, cooling, self._refreshed_at))
        self._fleet = fleet
        self._refreshed_at = now
        self._look()

    def settle(self, now: float) -> None:
        """There is no fleet but this replica."""
        self._fleet, self._said = self.at(now), {}

    def _look(self) -> None:
        by = dict(self._fleet)
        for name, said in self._said.items():
            if said.warm:
                by.pop(name, None)
            if said.cooling is not None and (name not in by or by[name].until_at < said.cooling.until_at):
                by[name] = said.cooling
        self._keep(by)

    def _keep(self, by: Mapping[str, Cooling]) -> None:
        self._by = by
        self._next_end = min((cooling.until_at for cooling in by.values()), default=inf)


def _tried(said: Said, now: float) -> Said:
    return said if said.at is not None else replace(said, at=now)


def _matters(said: Said, now: float) -> bool:
    return said.warm or (said.cooling is not None and said.cooling.until_at > now)
