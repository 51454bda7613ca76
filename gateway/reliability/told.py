"""One limit as the provider told it, while time goes on. Read next: quota.py, which keeps one for each limit told."""

from __future__ import annotations

from math import inf
from typing import Final

from gateway.reliability.remaining import WINDOWS, Remaining

__all__ = ["Told"]

#: What a limit is measured over where its name does not say.
USUAL_WINDOW_S: Final = 60.0
#: What comes back faster than this many times its limit's own rate does not refill: it is a window about to end.
STEEP: Final = 1.2


#: A window that ends in more than this is one of a minute, where its name does not say.
SHORT_S: Final = 10.0


class Told:
    """What an answer said is left, less what was sent since, and what has come back.

    A bucket comes back in a straight line, and tells a reset in proportion to what was used. A window comes back all
    at once: its reset is nearer than any bucket's could be. ``n`` is the number of the draw whose answer it was: what
    was drawn later was not in what it said. ``per_minute`` is what the limit allows in a minute, None when that
    cannot be told: its window may be of a second, or is one of hours, which nobody spreads over its minutes.
    """

    __slots__ = ("_at", "_full_at", "_level", "_rate", "_slope", "limit", "n", "per_minute", "said")

    def __init__(self, said: Remaining, n: int, limit: int, uncounted: float, now: float) -> None:
        used = max(0, limit - said.remaining)
        self._rate = limit / WINDOWS.get(said.scope, USUAL_WINDOW_S)
        back = used / said.reset_s if used and said.reset_s else self._rate
        steep = back > STEEP * self._rate
        self.said = said
        self.n = n
        self.limit = limit
        self.per_minute = self._rate * 60 if is_of_a_minute(said, used, steep=steep) else None
        self._slope = 0.0 if steep else back
        self._full_at = now + (said.reset_s or inf)
        self._level = used + uncounted
        self._at = now

    def __repr__(self) -> str:
        what = f"{self.said.dimension.replace('_', ' ')}{f' ({self.said.scope})' if self.said.scope else ''}"
        return f"{self.said.remaining} of {self.limit} {what}"

    def draw(self, amount: float, now: float) -> None:
        """Count what was sent since, or take out what turned out not to be used."""
        level = self.level(now) + amount
        self._level = max(0.0, level)
        self._at = max(self._at, now)

    def level(self, now: float) -> float:
        """What of the limit is used."""
        if now <= self._at:
            return self._level
        if now >= self._full_at:
            slope = self._rate
            if self._at < self._full_at:
                return 0.0
        else:
            slope = self._slope
        level = self._level - (now - self._at) * slope
        return max(0.0, level)

    def frees_in(self, level: float, now: float) -> float:
        """Seconds until no more than ``level`` is used, or nothing at all."""
        over = self.level(now) - max(0.0, level)
        if over <= 0:
            return 0.0
        slope = self._slope if now < self._full_at else self._rate
        linear = over / slope if slope else inf
        return min(linear, self._full_at - now) if now < self._full_at else linear


def is_of_a_minute(said: Remaining, used: int, *, steep: bool) -> bool:
    if said.scope in WINDOWS:
        return WINDOWS[said.scope] <= USUAL_WINDOW_S
    if said.reset_s is None:
        return True
    return bool(used and said.reset_s) and (not steep or said.reset_s > SHORT_S)
