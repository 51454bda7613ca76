"""Places that a fleet shares: how many may be in use at once, as one replica sees it. Read next: scripts.py, HOLD.

Each replica holds some of the places of a name, and uses them without asking anybody. What it holds is told as a number
of its own, never as a difference, and counts while the replica is present: so a crash leaks nothing, and a store that
has forgotten everything is told again. A number grows only by what the fleet answers, and falls before it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

__all__ = ["Place", "Places", "Row"]

#: A replica holds at most this part of all places, over the number of replicas, beyond what it uses: what stands by in
#: one place cannot be had in another. None of few: then each is asked for, and given back at once.
AHEAD: Final = 8
#: How often what is held is told again, in seconds: with and without places that stand by.
AGAIN_S: Final = 0.5
USED_S: Final = 2.0
#: After another replica was short of places, none stand by here for this long, in seconds.
SHORT_S: Final = 5.0
#: What has not been used for this long is given back, in seconds.
IDLE_S: Final = 60.0
#: Names told in one turn that nobody waits for.
MOST: Final = 500


class Place(Struct):
    """``used`` of ``limit`` places are taken here, ``held`` may be; other replicas hold ``others``, when last heard.

    ``due``: the fleet should hear of it soon. Whoever holds on to one looks whether it is still ``kept``.
    """

    limit: int
    used: int = 0
    held: int = 0
    others: int = 0
    wanted: int = 0
    used_at: float = 0.0
    told_at: float = 0.0
    short_until: float = 0.0
    due: bool = False
    kept: bool = True


class Row(Struct, frozen=True):
    """What is told of a name: how many are used, needed at once, wanted to have some ready, and how many there are."""

    name: str
    used: int
    need: int
    want: int
    limit: int


class Places:
    """Places by name."""

    __slots__ = ("_by", "_left", "_number", "_replicas")

    def __init__(self) -> None:
        self._by: dict[str, Place] = {}
        self._number = 0
        self._replicas = 1
        self._left: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"{self.used} places used, {sum(place.held for place in self._by.values())} held"

    @property
    def used(self) -> int:
        """How many are used here, of all names."""
        return sum(place.used for place in self._by.values())

    def among(self, replicas: int) -> None:
        """There are so many replicas."""
        if replicas != self._replicas:
            self._replicas = replicas
            for place in self._by.values():
                place.due = place.due or place.held > place.used

    def known(self, name: str) -> int:
        """How many of a name are used or held somewhere, as far as is known here."""
        place = self._by.get(name)
        return place.used + place.others if place is not None else 0

    def place(self, name: str, limit: int) -> Place:
        """That of a name, of which one more may be used as long as not all that are held are."""
        place = self._by.get(name)
        if place is None:
            place = self._by[name] = Place(limit)
        place.limit = limit
        return place

    @property
    def urgent(self) -> bool:
        """Whether places were left here that somebody may wait for elsewhere, so that it should be told now."""
        return bool(self._left)

    def forget_urgent(self) -> None:
        """They are told at the next turn."""
        self._left = {}

    def free(self, name: str) -> bool:
        """Whether one of those held is not used."""
        place = self._by.get(name)
        return place is not None and place.used < place.held

    def enter(self, name: str) -> None:
        """Use one more: whoever does has seen that one is free, or goes without the fleet."""
        self._by[name].used += 1

    def leave(self, name: str) -> None:
        """Use one less."""
        self._by[name].used -= 1
        self.spare(name)

    def spare(self, name: str) -> None:
        """Give up what is held and not used, but for what stands by."""
        place = self._by[name]
        if self._replicas == 1:
            return
        ahead = self._ahead(place)
        if place.held > place.used + ahead:
            place.due = True
            if ahead == 0:
                self._left[name] = None

    def want(self, name: str) -> None:
        """Somebody waits for one more."""
        place = self._by[name]
        place.wanted += 1
        place.due = True

    def take(self, now: float, urgent: Iterable[str] | None = None) -> tuple[int, tuple[Row, ...]]:
        """What to tell, and its number: all that is due; or ``urgent`` names, and those that others may wait for."""
        if urgent is None:
            for name in [name for name, place in self._by.items() if _over(place, now)]:
                self._by.pop(name).kept = False
            names = [name for name, place in self._by.items() if _due(place, now)][:MOST]
        else:
            names = list(dict.fromkeys([*urgent, *self._left]))
        self._left = {}
        self._number += 1
        return self._number, tuple([self._row(name, self._by[name], now) for name in names if name in self._by])

    def granted(self, rows: Sequence[Row], told: Sequence[tuple[int, int, bool]], now: float) -> None:
        """How many are held from now on, how many by others, and whether any replica was short of them lately."""
        for row, (held, others, short) in zip(rows, told, strict=True):
            place = self._by.get(row.name)
            if place is None:
                continue
            place.held, place.others, place.told_at, place.due = held, others, now, False
            if short:
                place.short_until = now + SHORT_S
                place.due = held > place.used

    def grant(self, rows: Sequence[Row], now: float) -> None:
        """There is nobody to ask: what is wanted is had."""
        self.granted(rows, [(row.want, 0, False) for row in rows], now)

    def give_up(self) -> None:
        """This replica was not heard for so long that others may have what stood by here."""
        for place in self._by.values():
            place.held = min(place.held, place.used)
            place.due = True

    def _row(self, name: str, place: Place, now: float) -> Row:
        ahead = self._ahead(place) if now >= place.short_until and now - place.used_at < IDLE_S else 0
        need = place.used + place.wanted
        want = max(place.used, min(place.limit, need + ahead))
        place.wanted = 0
        place.held = min(place.held, want)
        return Row(name, place.used, need, want, place.limit)

    def _ahead(self, place: Place) -> int:
        return place.limit if self._replicas == 1 else place.limit // (AHEAD * self._replicas)


def part(limit: int, among: int) -> int:
    """One replica's part of so many places, rounded up."""
    return -(-limit // among)


def _due(place: Place, now: float) -> bool:
    if place.due:
        return True
    every_s = AGAIN_S if place.held > place.used else USED_S
    return place.held > 0 and now - place.told_at >= every_s


def _over(place: Place, now: float) -> bool:
    return not (place.used or place.held or place.due or place.wanted) and now - place.used_at >= IDLE_S
