"""How many requests are served at once, who waits, and who is turned away. Read next: pipeline.py, which asks first.

A gateway that takes more than it can do does all of it late. Beyond ``max_inflight`` requests wait, urgent ones before
batch work, each for a moment at most; those who would have to wait longer are told at once to come again, before
anything was read or tried for them, which is cheap enough to be done to very many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Literal

from gateway.errors import Unavailable
from gateway.types import Admission as Rules

__all__ = ["PRIORITIES", "REASONS", "Admission", "Priority", "Reason"]

Priority = Literal["interactive", "batch"]
PRIORITIES: Final[tuple[Priority, ...]] = ("interactive", "batch")
#: Why a request is turned away: the event loop lags, no place came free in time, or no deployment had room in time.
Reason = Literal["lag", "queue", "full"]
REASONS: Final[tuple[Reason, ...]] = ("lag", "queue", "full")
#: Who waits, by priority, each for True: it is its turn.
Lines = dict[Priority, deque[asyncio.Future[bool]]]

#: The weight of one measurement of the event loop's lag; there are ten in a second.
SMOOTH: Final = 0.2
#: Requests under way below which a lag is not their doing, so that nobody who is in a hurry is turned away for it.
BUSY: Final = 32
#: The most of those in a hurry that is turned away for lag: without any of them nobody would know when it is over.
MOST_SHED: Final = 0.95
#: What those who are turned away are told to wait, in seconds.
RETRY_S: Final = 1.0


class Admission:
    """The requests under way and those that wait.

    ``lag_s`` is how late the event loop wakes, as of lately; ``shed`` counts those turned away, by reason and priority.
    """

    def __init__(self, rules: Rules, *, clock: Callable[[], float]) -> None:
        self.rules = rules
        self.inflight = 0
        self.lag_s = 0.0
        self._to_shed = 0.0
        self._standing = 0
        self.shed: dict[tuple[Reason, Priority], int] = {}
        self._clock = clock
        self._doors: Lines = {p: deque() for p in PRIORITIES}
        self._rooms: Lines = {p: deque() for p in PRIORITIES}

    def __repr__(self) -> str:
        return f"{self.inflight} requests of {self.rules.max_inflight}, {self.waiting} waiting"

    @property
    def waiting(self) -> int:
        """How many wait, at the door or for a provider."""
        return sum(map(len, (*self._doors.values(), *self._rooms.values())))

    def lagged(self, seconds: float) -> None:
        """The event loop woke this late. It lags when it does so for a while: one hiccup is nobody's load."""
        self.lag_s += SMOOTH * (seconds - self.lag_s)

    def enter(self, priority: Priority) -> bool:
        """Take a place if there is one at once. Raises Unavailable while the event loop cannot keep up."""
        if self.lag_s > self.rules.lag_s and self._has_to_shed(priority):
            raise self._turn_away("lag", priority)
        if self.inflight >= self.rules.max_inflight or (self._standing and any(self._doors.values())):
            return False
        self.inflight += 1
        return True

    def _has_to_shed(self, priority: Priority) -> bool:
        """While the event loop lags: all batch work, and of the rest a share that grows with the lag.

        All or nothing would have everybody come back at once, and everybody turned away again.
        """
        if priority == "batch":
            return self.inflight > 0
        if self.inflight < BUSY:
            return False
        self._to_shed += min(MOST_SHED, self.lag_s / self.rules.lag_s - 1)
        if self._to_shed < 1:
            return False
        self._to_shed -= 1
        return True

    async def wait(self, priority: Priority, deadline_at: float = inf) -> None:
        """Wait for a place and take it. Raises Unavailable when that takes too long, or too many wait already.

        ``deadline_at`` is the caller's own, in monotonic seconds.
        """
        if not await self._stand(self._doors, priority, min(self.rules.wait_s, deadline_at - self._clock())):
            raise self._turn_away("queue", priority)

    def leave(self) -> None:
        """Give a place up: the next in line has it, unless there are to be fewer places by now."""
        if not self._standing:
            self.inflight -= 1
            return
        self._call(self._rooms)
        if self.inflight > self.rules.max_inflight or not self._call(self._doors):
            self.inflight -= 1

    async def for_room(self, priority: Priority, until_at: float) -> bool:
        """Wait until some request has ended, in which case a deployment may have room; False when none has by then."""
        if await self._stand(self._rooms, priority, until_at - self._clock()):
            return True
        self._count("full", priority)
        return False

    async def _stand(self, lines: Lines, priority: Priority, limit_s: float) -> bool:
        if limit_s <= 0 or (self.waiting >= self.rules.queue and not self._make_way(lines, priority)):
            return False
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        line = lines[priority]
        line.append(turn)
        self._standing += 1
        try:
            async with asyncio.timeout(limit_s):
                return await turn
        except TimeoutError:
            return _called(turn)  # in the very moment that time ran out, perhaps
        except asyncio.CancelledError:
            if _called(turn):
                self._pass_on(lines)
            raise
        finally:
            self._standing -= 1
            if turn in line:
                line.remove(turn)

    def _pass_on(self, lines: Lines) -> None:
        """Who was called has gone: the next has what it was called for."""
        if lines is self._doors:
            self.leave()
        else:
            self._call(lines)

    def _make_way(self, lines: Lines, priority: Priority) -> bool:
        """The batch work that came last gives its place in a full line to what is urgent."""
        if priority == "batch" or not lines["batch"]:
            return False
        last = lines["batch"].pop()
        if not last.done():
            last.set_result(False)
        return True

    def _call(self, lines: Lines) -> bool:
        for priority in PRIORITIES:
            line = lines[priority]
            while line:
                turn = line.popleft()
                if not turn.done():
                    turn.set_result(True)
                    return True
        return False

    def _count(self, reason: Reason, priority: Priority) -> None:
        self.shed[reason, priority] = self.shed.get((reason, priority), 0) + 1

    def _turn_away(self, reason: Reason, priority: Priority) -> Unavailable:
        self._count(reason, priority)
        said = f"The gateway has too much to do ({self.inflight} requests under way); try again shortly."
        error = Unavailable(said, code="overloaded", retry_after_s=RETRY_S)
        error.should_retry = True
        return error


def _called(turn: asyncio.Future[bool]) -> bool:
    return turn.done() and not turn.cancelled() and turn.result()
