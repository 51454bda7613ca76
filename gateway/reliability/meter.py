"""How full a rate limit is: a leaky bucket, one replica's own or the fleet's. Read next: quota.py, which fills it.

What is drawn is poured in, and drains at the rate of the limit. This is GCRA said the other way round: level over
rate is how far the theoretical arrival time lies ahead.
"""

from __future__ import annotations

from bisect import bisect_right
from math import inf
from typing import Protocol

__all__ = ["Buckets", "LocalMeter", "Lows", "Meter", "SharedMeter"]


class Meter(Protocol):
    """A leaky bucket: ``capacity`` is what it takes at once, ``rate`` what drains from it in a second."""

    rate: float
    capacity: float

    def draw(self, amount: float, now: float) -> None:
        """Pour in this much (a negative amount takes it out again, down to nothing)."""
        ...

    def level(self, now: float) -> float:
        """What it holds. It may be more than ``capacity``: what was drawn beyond it has to drain first."""
        ...

    def scale(self, share: float) -> None:
        """Count on this share (0..1] of what the meter was made with: 1/replicas while the fleet cannot be asked."""
        ...


class LocalMeter:
    """The leaky bucket of one replica. It starts empty, or with ``level`` in it at ``at``."""

    __slots__ = ("_at", "_level", "_made", "capacity", "rate")

    def __init__(self, rate: float, capacity: float, *, level: float = 0.0, at: float = -inf) -> None:
        self._made = (rate, capacity)
        self.rate, self.capacity = rate, capacity
        self._level = level
        self._at = at

    def __repr__(self) -> str:
        return f"{self._level:.6g} of {self.capacity:.6g} as of {self._at:.3f}, {self.rate:.6g} drain in a second"

    def draw(self, amount: float, now: float) -> None:
        """See Meter.draw."""
        level = self.level(now) + amount
        self._level = max(0.0, level)
        self._at = max(self._at, now)

    def level(self, now: float) -> float:
        """See Meter.level. A ``now`` before the last draw drains nothing."""
        if self._level == 0.0 or now <= self._at:
            return self._level
        level = self._level - (now - self._at) * self.rate
        return max(0.0, level)

    def scale(self, share: float) -> None:
        """See Meter.scale."""
        self.rate, self.capacity = (made * share for made in self._made)


class Buckets(Protocol):
    """Leaky buckets by name that a fleet shares; gateway/state keeps them, and sends every 100 ms what was drawn."""

    def draw(self, name: str, amount: float, rate: float, capacity: float) -> None:
        """Pour into the bucket of that name: here at once, for the others with the next sync."""
        ...

    def level(self, name: str, now: float) -> float:
        """What it held at the last sync, drained since, and what this replica has drawn and not yet sent."""
        ...


class SharedMeter:
    """The leaky bucket of a fleet, as one replica sees it."""

    __slots__ = ("_buckets", "_made", "_name", "capacity", "rate")

    def __init__(self, buckets: Buckets, name: str, rate: float, capacity: float) -> None:
        self._buckets = buckets
        self._name = name
        self._made = (rate, capacity)
        self.rate, self.capacity = rate, capacity

    def __repr__(self) -> str:
        return f"the fleet's {self._name}: {self.capacity:.6g} at once, {self.rate:.6g} drain in a second"

    def draw(self, amount: float, now: float) -> None:
        """See Meter.draw."""
        self._buckets.draw(self._name, amount, self.rate, self.capacity)

    def level(self, now: float) -> float:
        """See Meter.level."""
        return self._buckets.level(self._name, now)

    def scale(self, share: float) -> None:
        """See Meter.scale."""
        self.rate, self.capacity = (made * share for made in self._made)


class Lows:
    """The lowest level of a meter since each of the draws that may still be given back.

    What was drawn and not used may be taken out again, but not what has drained away meanwhile, or the bucket would
    let through more than its limit. Of two buckets that differ by one draw, the difference stays until the fuller
    one holds less than it: so what is still there of a draw is its amount, or the lowest level since, if that is
    less. Suffix minima, kept as a rising stack: O(1) a draw, O(log n) to ask.
    """

    __slots__ = ("_levels", "_ns")

    def __init__(self) -> None:
        self._ns: list[int] = []
        self._levels: list[float] = []

    def __repr__(self) -> str:
        return f"{len(self._ns)} lows, from {self._levels[0]:.6g}" if self._ns else "no lows"

    def seen(self, n: int, level: float) -> None:
        """The meter held this just before draw ``n``."""
        self._forget_above(level)
        self._ns.append(n)
        self._levels.append(level)

    def still_there(self, n: int, amount: float, level: float) -> float:
        """How much of ``amount``, drawn as number ``n``, has not drained, when the meter holds ``level`` now."""
        first = bisect_right(self._ns, n)
        return min(amount, level, *self._levels[first : first + 1])

    def given_back(self, n: int, amount: float) -> None:
        """That much of draw ``n`` was taken out again: all levels since were really lower."""
        first = bisect_right(self._ns, n)
        since = [(k, max(0.0, level - amount)) for k, level in zip(self._ns[first:], self._levels[first:], strict=True)]
        del self._ns[first:], self._levels[first:]
        for k, level in since:
            self.seen(k, level)

    def clear(self) -> None:
        """Nothing is left that could be given back."""
        self._ns.clear()
        self._levels.clear()

    def _forget_above(self, level: float) -> None:
        while self._levels and self._levels[-1] >= level:
            self._levels.pop()
            self._ns.pop()
