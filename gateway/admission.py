"""How many requests are served at once, who waits, and who is turned away. Read next: pipeline.py, which asks first.

A gateway that takes more than it can do does all of it late. Beyond ``max_inflight`` requests wait, urgent ones before
batch work, each for a moment at most; those who would have to wait longer are told at once to come again, before
anything was read or tried for them, which is cheap enough to be done to very many. Whose turn it is, and who has to go
when too many wait, is a matter between tenants: see reliability/line.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from math import inf
from typing import Final, Literal

from gateway.errors import Unavailable
from gateway.reliability.line import Line, release
from gateway.types import Admission as Rules

__all__ = ["PRIORITIES", "REASONS", "Admission", "Priority", "Reason"]

Priority = Literal["interactive", "batch"]
PRIORITIES: Final[tuple[Priority, ...]] = ("interactive", "batch")
#: Why a request is turned away: the event loop lags, no place came free in time, or no deployment had room in time.
Reason = Literal["lag", "queue", "full"]
REASONS: Final[tuple[Reason, ...]] = ("lag", "queue", "full")
RANKS: Final[Mapping[Priority, int]] = {priority: rank for rank, priority in enumerate(PRIORITIES)}
#: Those that wait at the door rather than for a deployment; no deployment is called that.
DOOR: Final = frozenset({""})
#: What came free, as names of places, and how many of its kind each tenant has.
Freed = tuple[Collection[str], Mapping[str, int]]
#: Who waits waits for this: what it was called for, or None when it has to make way.
Turn = asyncio.Future[Freed | None]

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
        self.shed: dict[tuple[Reason, Priority], int] = {}
        self._clock = clock
        self._held: dict[str, int] = {}  # requests under way, by tenant
        self._line: Line[Turn] = Line()

    def __repr__(self) -> str:
        return f"{self.inflight} requests of {self.rules.max_inflight}; {self._line!r}"

    @property
    def waiting(self) -> int:
        """How many wait, at the door or for a provider."""
        return len(self._line)

    def lagged(self, seconds: float) -> None:
        """The event loop woke this late. It lags when it does so for a while: one hiccup is nobody's load."""
        self.lag_s += SMOOTH * (seconds - self.lag_s)

    def enter(self, priority: Priority) -> bool:
        """Take a place if there is one at once. Raises Unavailable while the event loop cannot keep up.

        Whose it is may be said later (``took``): that takes longer to find out than there is to be spent on those who
        are turned away.
        """
        if self.lag_s > self.rules.lag_s and self._has_to_shed(priority):
            raise self._turn_away("lag", priority)
        if self.inflight >= self.rules.max_inflight or (self._line and self._line.waits_for("")):
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

    async def wait(self, tenant: str, priority: Priority, deadline_at: float = inf) -> None:
        """Wait for a place and take it. Raises Unavailable when that takes too long, or too many wait already.

        ``deadline_at`` is the caller's own, in monotonic seconds.
        """
        if not await self._stand(tenant, priority, DOOR, min(self.rules.wait_s, deadline_at - self._clock())):
            raise self._turn_away("queue", priority)

    def took(self, tenant: str) -> None:
        """A place that was had at once is this tenant's."""
        self._held[tenant] = self._held.get(tenant, 0) + 1

    def leave(self, tenant: str | None) -> None:
        """Give a place up: the next in line has it, unless there are to be fewer places by now.

        ``tenant`` is None where it never became known.
        """
        if tenant is not None:
            release(self._held, tenant)
        if not self._line or self.inflight > self.rules.max_inflight or not self._call((DOOR, self._held)):
            self.inflight -= 1

    def freed(self, places: Collection[str], held: Mapping[str, int]) -> bool:
        """A deployment of these names has room for one more; ``held`` says how many each tenant has under way there.

        Whether anybody was called.
        """
        return self._call((places, held))

    async def for_room(self, tenant: str, priority: Priority, places: Collection[str], until_at: float) -> bool:
        """Wait until one of these deployments may have room; False when none has by then."""
        if await self._stand(tenant, priority, frozenset(places), until_at - self._clock()):
            return True
        self._count("full", priority)
        return False

    async def _stand(self, tenant: str, priority: Priority, places: frozenset[str], limit_s: float) -> bool:
        rank = RANKS[priority]
        if limit_s <= 0 or (self.waiting >= self.rules.queue and not self._make_way(tenant, rank)):
            return False
        turn: Turn = asyncio.get_running_loop().create_future()
        standing = self._line.stand(tenant, rank, places, turn)
        try:
            async with asyncio.timeout(limit_s):
                return await turn is not None
        except TimeoutError:
            return _called_for(turn) is not None  # in the very moment that time ran out, perhaps
        except asyncio.CancelledError:
            if (freed := _called_for(turn)) is not None:
                self._pass_on(tenant, freed)
            raise
        finally:
            self._line.forsake(standing)

    def _pass_on(self, tenant: str, freed: Freed) -> None:
        """Who was called has gone: the next has what it was called for."""
        if freed[0] is DOOR:
            self.leave(tenant)
        else:
            self._call(freed)

    def _make_way(self, tenant: str, rank: int) -> bool:
        last = self._line.make_way(tenant, rank)
        if last is None:
            return False
        if not last.who.done():
            last.who.set_result(None)
        return True

    def _call(self, freed: Freed) -> bool:
        """Whose turn it is has what is free. A place at the door is its tenant's from here on."""
        while (standing := self._line.next(*freed)) is not None:
            if not standing.who.done():
                standing.who.set_result(freed)
                if freed[0] is DOOR:
                    self.took(standing.tenant)
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


def _called_for(turn: Turn) -> Freed | None:
    return turn.result() if turn.done() and not turn.cancelled() else None
