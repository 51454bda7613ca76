"""A clock that tests turn by hand, and an event loop whose timers follow it.

Read next: docs/testing.md, which uses both.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections.abc import Callable
from typing import Any

__all__ = ["Clock", "HandWoundLoop"]

#: How often the loop turns between two timers, so that what a timer sets off has run before the next one.
SETTLE = 50


class Clock:
    """Seconds that pass only when told to. Call it, or hand over ``clock.now``, where a clock is asked for."""

    def __init__(self, at: float = 1000.0) -> None:
        self._at = at

    def __call__(self) -> float:
        return self._at

    def __repr__(self) -> str:
        return f"Clock(at {self._at:g} s)"

    def now(self) -> float:
        """The time in seconds."""
        return self._at

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ValueError for a negative amount: this clock is monotonic."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-seconds} s")
        self._at += seconds


class HandWoundLoop(asyncio.SelectorEventLoop):
    """An event loop on a hand-wound clock: sleeps and timeouts end when ``turn`` says so, sockets work as ever.

    asyncio.Runner(loop_factory=HandWoundLoop) runs a test on it.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        self.clock = clock or Clock()
        self._due: list[float] = []

    def time(self) -> float:
        """The clock's time, not the machine's."""
        return self.clock.now()

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """As ever, and ``turn`` will stop there."""
        heapq.heappush(self._due, when)
        return super().call_at(when, callback, *args, context=context)

    async def turn(self, seconds: float) -> None:
        """Let time pass from timer to timer, each running with the clock at its own time."""
        end = self.clock.now() + seconds
        await self._settle()
        while self._due and self._due[0] <= end:
            self.clock.advance(max(0.0, heapq.heappop(self._due) - self.clock.now()))
            await self._settle()
        self.clock.advance(max(0.0, end - self.clock.now()))
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(SETTLE):
            await asyncio.sleep(0)
