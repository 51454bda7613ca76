"""Leaky buckets that a fleet shares, as one replica sees them. Read next: meeting.py, which shares them.

A bucket drains at ``rate`` a second. Its level here is the fleet's at the last refresh, drained since, and what this
replica has drawn on top. Draws go out in numbered turns, and a turn in doubt is sent again under its number, so that
each counts once; whatever has waited for long is cut to the level, since the rest has drained meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

__all__ = ["Bucket", "Buckets", "Turn"]

#: A bucket that nobody here has asked about or drawn on for this long, in seconds, is not refreshed.
WATCHED_S: Final = 5.0
#: Buckets in one turn at most. There may be very many end users, and a script that takes long is no answer in time.
MOST: Final = 500


class Bucket(Struct):
    """``level`` as of ``at``; ``new`` came since. Of both, ``owed`` waits to be told and ``telling`` is under way.

    Whoever holds on to one looks whether it is still ``kept``, and says by ``touched_at`` that it is looked at.
    """

    touched_at: float
    at: float
    rate: float = 1.0
    capacity: float = 0.0
    level: float = 0.0
    new: float = 0.0
    owed: float = 0.0
    telling: float = 0.0
    kept: bool = True

    def at_level(self, now: float) -> float:
        """How full it is."""
        level = self.level
        if level > 0.0 and now > self.at:
            level = max(0.0, level - self.rate * (now - self.at))
        return max(0.0, level + self.new)

    @property
    def untold(self) -> float:
        """What of it the fleet may not know yet: what was drawn here since it was told for certain."""
        return self.owed + self.telling

    def pour(self, amount: float) -> None:
        """Draw on it, or give back if negative: not more than there is."""
        if amount < 0.0:
            amount = max(amount, -max(0.0, self.level + self.new))
        self.new += amount
        self.owed += amount

    def pour_at(self, amount: float, now: float) -> None:
        """As ``pour``, by who knows what time it is: it drains from now on, rather than from the next turn."""
        level = self.at_level(now)
        amount = max(amount, -level)
        self.level, self.at, self.new = level + amount, now, 0.0
        self.owed += amount

    def turn(self, now: float) -> None:
        """Bring it up to ``now``."""
        if self.new:
            self.touched_at = now
        self.level, self.at, self.new = self.at_level(now), now, 0.0
        self.telling = min(self.telling, self.level)
        self.owed = min(self.owed, self.level - max(0.0, self.telling))

    def begin(self) -> bool:
        """Put what is owed under way; whether that is anything."""
        self.telling, self.owed = self.owed, 0.0
        return self.telling != 0.0


class Turn(Struct, frozen=True):
    """What goes to the fleet: the amount of each bucket's row counts once under ``number``; 0 only looks."""

    number: int
    rows: tuple[tuple[str, float, float, float], ...]


class Buckets:
    """Buckets by name."""

    __slots__ = ("_by", "_now", "_number", "_under_way")

    def __init__(self) -> None:
        self._by: dict[str, Bucket] = {}
        self._now = 0.0
        self._number = 0
        self._under_way = False

    def __repr__(self) -> str:
        return f"{len(self)} buckets, turn {self._number}{' under way' if self._under_way else ''}"

    def __len__(self) -> int:
        return len(self._by)

    def draw(self, name: str, amount: float, rate: float, capacity: float) -> None:
        """Add to a bucket, or give back."""
        bucket = self._bucket(name, self._now)
        bucket.rate, bucket.capacity = rate, capacity
        bucket.pour(amount)

    def level(self, name: str, now: float) -> float:
        """How full it is. Asking makes the next refresh bring what others drew."""
        return self._bucket(name, now).at_level(now)

    def bucket(self, name: str, now: float) -> Bucket:
        """The bucket of that name, for whoever looks at several at a time, and often."""
        return self._bucket(name, now)

    def taken(self, name: str, level: float, rate: float, capacity: float, now: float) -> None:
        """The fleet was asked at once, and this is the level as of ``now``; what was not told comes on top."""
        bucket = self._bucket(name, now)
        bucket.rate, bucket.capacity = rate, capacity
        bucket.level, bucket.at, bucket.new = max(0.0, level + bucket.untold), now, 0.0

    def take(self, now: float) -> Turn:
        """What to tell and to ask."""
        self._now = now
        for bucket in self._by.values():
            bucket.turn(now)
        over = [name for name, bucket in self._by.items() if not (_watched(bucket, now) or bucket.level > 0)]
        for name in over:
            self._by.pop(name).kept = False
        names = self._due(now)
        if not self._under_way and sum([self._by[name].begin() for name in names]):
            self._number += 1
            self._under_way = True
        return Turn(self._number, tuple([(n, (b := self._by[n]).telling, b.rate, b.capacity) for n in names]))

    def _due(self, now: float) -> list[str]:
        """What the next turn is about: where there is anything to tell, then what is looked at; of many in turn."""
        told = [n for n, b in self._by.items() if b.telling or (b.owed and not self._under_way)][:MOST]
        chosen = set(told)
        seen = (n for n, b in self._by.items() if n not in chosen and _watched(b, now))
        names = told + list(islice(seen, MOST - len(told)))
        if len(names) == MOST:
            for name in names:
                self._by[name] = self._by.pop(name)
        return names

    def refresh(self, turn: Turn, told: Sequence[tuple[float, float]], late_s: float = 0.0) -> None:
        """The fleet's (level, rate) for each row of the turn. Draws since it was taken come on top.

        ``late_s``: so long after the turn was taken; the levels are as of then at most, and none drains sooner.
        """
        for (name, *_), (level, rate) in zip(turn.rows, told, strict=True):
            bucket = self._by.get(name)
            if bucket is not None:
                bucket.level = max(0.0, level + bucket.owed - bucket.new)
                bucket.rate = rate or bucket.rate
                if bucket.at <= self._now:
                    bucket.at = self._now + late_s
        self.settle()

    def settle(self) -> None:
        """What was under way has arrived, or there is nobody to tell."""
        self._under_way = False
        for bucket in self._by.values():
            bucket.telling = 0.0

    def _bucket(self, name: str, now: float) -> Bucket:
        bucket = self._by.get(name)
        if bucket is None:
            bucket = self._by[name] = Bucket(now, now)
        bucket.touched_at = max(bucket.touched_at, now)
        return bucket


def _watched(bucket: Bucket, now: float) -> bool:
    return now - bucket.touched_at < WATCHED_S or bool(bucket.owed or bucket.telling)
