"""A second try beside a slow first one: the first content wins, and the other one is given up. Read next: run.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gateway.errors import Failure
from gateway.reliability.attempts import Attempts, Start
from gateway.types import Hedge
from gateway.upstream.attempt import Current
from gateway.upstream.care import Care

__all__ = ["Race"]

Done = TypeVar("Done")


class Race:
    """The tries of one request that are under way beside each other, two at most.

    ``begin`` gets leave for a try, ``give_over`` ends one that nobody waits for any more.
    """

    def __init__(
        self,
        hedge: Hedge,
        attempts: Attempts,
        care: Care,
        clock: Callable[[], float],
        *,
        begin: Callable[[Start], Current | None],
        give_over: Callable[[Current], None],
    ) -> None:
        self._hedge = hedge
        self._attempts = attempts
        self._care = care
        self._clock = clock
        self._begin = begin
        self._give_over = give_over
        self._racing: list[tuple[Current, asyncio.Task[Any]]] = []

    def __repr__(self) -> str:
        return f"racing: {', '.join(current.start.deployment for current, _ in self._racing) or 'nobody'}"

    async def run(
        self, first: Current, once: Callable[[Current], Coroutine[Any, Any, Done | Failure]]
    ) -> tuple[Current, Done | Failure]:
        """The first try; where it is slow, a second one beside it. The one that counts, and what came of it.

        ``once`` makes a try and writes it down.
        """
        usual_s = self._care.hedge_after_s(first.target.deployment, self._hedge.extra, self._clock())
        after_s = usual_s if self._hedge.after_s is None else self._hedge.after_s
        if after_s is None:
            return first, await once(first)
        try:
            task = self._enter(first, once)
            await asyncio.wait({task}, timeout=after_s)
            slow = not task.done() and first.first_at is None
            second = self._second() if slow else None
            if second is None:
                return first, await task
            self._enter(second, once)
            return await self._faster()
        finally:
            await self._end()

    def won(self, winner: Current) -> None:
        """The first content of a race: nobody waits for the others any more."""
        for current, task in self._racing:
            if current is not winner:
                task.cancel()

    def _second(self) -> Current | None:
        """A try beside the first one, where the plan has one and hedges are still within their share."""
        if not self._care.may_hedge(self._hedge.extra, self._clock()):
            return None
        step = self._attempts.hedge(self._clock())
        if not isinstance(step, Start):
            return None
        second = self._begin(step)
        if second is None:
            self._attempts.withdrawn()
        return second

    def _enter(
        self, current: Current, once: Callable[[Current], Coroutine[Any, Any, Done | Failure]]
    ) -> asyncio.Task[Done | Failure]:
        task = asyncio.create_task(once(current))
        self._racing.append((current, task))
        return task

    async def _faster(self) -> tuple[Current, Any]:
        """The one that ends first, unless it failed without content or was given up: then the other one."""
        one, other = self._racing
        await asyncio.wait({one[1], other[1]}, return_when=asyncio.FIRST_COMPLETED)
        (ended, task), (resting, rest) = (one, other) if one[1].done() else (other, one)
        if not task.cancelled():
            outcome = task.result()
            if not isinstance(outcome, Failure) or ended.first_at is not None:
                return ended, outcome
            self._attempts.lost(outcome, ended.start.deployment)
        return resting, await rest

    async def _end(self) -> None:
        """Nothing of it goes on. Who was given up before it had begun could not even end its leave."""
        for _, task in self._racing:
            task.cancel()
        await asyncio.wait([task for _, task in self._racing])
        for current, _ in self._racing:
            if not current.over:
                self._give_over(current)
