"""How many calls may be made twice: a share of those that are made. Read next: attempts.py, which makes them twice.

Finagle's RetryBudget: every request pays in a part of a retry, which lapses if it is not used, beside a reserve for
those who make few requests.
"""

from __future__ import annotations

from typing import Final

from gateway.reliability.window import Window

__all__ = ["RetryBudget"]

BUCKETS: Final = 10


class RetryBudget:
    """What one deployment's callers may still ask it twice: retries of the same target, and hedges.

    ``ratio`` retries for each request, and ``min_per_s`` retries each second beside, both over ``ttl_s`` seconds, after
    which a request and a retry alike are forgotten. Going on to another deployment is not paid from it: in an outage
    all traffic has to move, and the other one is protected by its own limit.
    """

    __slots__ = ("_ratio", "_reserve", "_window")

    def __init__(self, ratio: float = 0.1, min_per_s: float = 3.0, ttl_s: float = 10.0) -> None:
        self._ratio = ratio
        self._reserve = min_per_s * ttl_s
        self._window = Window(ttl_s, BUCKETS, 0.0)

    def __repr__(self) -> str:
        window = self._window
        return f"{self._balance():.1f} retries left; lately {window.plus} paid in, {window.minus} taken out"

    def deposit(self, now: float) -> None:
        """A request was made: its first try, not one that was withdrawn."""
        self._window.add(self._window.roll(now))

    def withdraw(self, now: float) -> bool:
        """Whether one more retry may be made, which is then counted."""
        slot = self._window.roll(now)
        if self._balance() < 1.0 - 1e-9:  # ten tenths are a whole, whatever floats say
            return False
        self._window.subtract(slot)
        return True

    def remaining(self, now: float) -> float:
        """How many retries may be made now; a fraction is on its way to the next. Never negative."""
        self._window.roll(now)
        return max(0.0, self._balance())

    def _balance(self) -> float:
        """It may be negative: requests that paid for a retry can be forgotten before the retry is."""
        return self._reserve + self._ratio * self._window.plus - self._window.minus
