"""Two exact counts over the last seconds, in a ring of buckets. Read next: breaker.py and budget.py, which use it."""

from __future__ import annotations

__all__ = ["Window"]


class Window:
    """What was counted within the last ``span_s`` seconds, the oldest ``buckets``-th part of it more or less.

    ``plus`` and ``minus`` are the two sums: successes and failures, deposits and withdrawals. They are right as of the
    last ``roll``. A slot is a bucket's number since the beginning of time; what was counted can be taken back from it.
    """

    __slots__ = ("_minuses", "_per_s", "_pluses", "_slot", "buckets", "minus", "plus")

    def __init__(self, span_s: float, buckets: int, now: float) -> None:
        self.buckets = buckets
        self._per_s = buckets / span_s
        self._slot = int(now * self._per_s)
        self.clear()

    def clear(self) -> None:
        self.plus = self.minus = 0
        self._pluses = [0] * self.buckets
        self._minuses = [0] * self.buckets

    def roll(self, now: float) -> int:
        """Forgets what is too old; the slot that is now. A clock that goes back stands still."""
        slot = int(now * self._per_s)
        if slot > self._slot:
            for old in range(max(self._slot, slot - self.buckets) + 1, slot + 1):
                i = old % self.buckets
                self.plus -= self._pluses[i]
                self.minus -= self._minuses[i]
                self._pluses[i] = self._minuses[i] = 0
            self._slot = slot
        return self._slot

    def add(self, slot: int) -> None:
        """One more ``plus``."""
        self._pluses[slot % self.buckets] += 1
        self.plus += 1

    def subtract(self, slot: int) -> None:
        """One more ``minus``."""
        self._minuses[slot % self.buckets] += 1
        self.minus += 1

    def take_back(self, slot: int) -> None:
        """One ``plus`` less where it was counted, unless it has been forgotten by now."""
        if self._slot - slot < self.buckets:
            self._pluses[slot % self.buckets] -= 1
            self.plus -= 1
