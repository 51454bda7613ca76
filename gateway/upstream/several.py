"""Several choices where one call gives only one: as many calls beside each other, which are one try. Read next: run.py.

Each call has leave of its own and its own line in the record; when one fails the try has failed, and the others are
given up. Of a stream nothing goes out before every choice has content, so that until then another deployment can still
make everything good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from gateway.errors import Failure
from gateway.providers.choices import Numbering, alone, together, total
from gateway.providers.protocol import Answer
from gateway.reliability.attempts import Start
from gateway.story import Story
from gateway.types import Call
from gateway.upstream.attempt import Current
from gateway.upstream.delivery import Delivery

__all__ = ["Merged", "Several"]

#: How many of the calls of one try are under way at a time.
AT_ONCE: Final = 8
NO_ROOM: Final = Failure("rate", "its limits have no room for as many calls as there are choices")

Done = TypeVar("Done")


class Several:
    """One try of so many calls. ``begin`` gets leave for one, ``give_over`` ends one that nobody waits for any more."""

    def __init__(
        self,
        call: Call,
        *,
        begin: Callable[[Start], Current | None],
        give_over: Callable[[Current], None],
        merged: Merged | None,
    ) -> None:
        self._call = call
        self._begin = begin
        self._give_over = give_over
        self._merged = merged
        self._begun: list[Current] = []
        self._gate = asyncio.Semaphore(AT_ONCE)

    def __repr__(self) -> str:
        return f"{len(self._begun)} of {self._call.fields['n']} calls have begun"

    async def run(self, first: Current, once: Callable[[Current], Coroutine[Any, Any, Done | Failure]]) -> Any:
        """What came of all of them: one answer, or None for a stream that is complete; else the first failure.

        ``once`` makes a call and writes it down.
        """
        self._begun = [first]
        tasks = [asyncio.create_task(self._one(index, once)) for index in range(self._call.fields["n"])]
        pending = set(tasks)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for outcome in [task.result() for task in done]:
                    if isinstance(outcome, Failure):
                        return outcome
            return await self._all([task.result() for task in tasks])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            # Who was given up before it had begun could not even end its leave.
            for current in self._begun:
                if not current.over:
                    self._give_over(current)

    async def _one(self, index: int, once: Callable[[Current], Coroutine[Any, Any, Done | Failure]]) -> Done | Failure:
        async with self._gate:
            current = self._begun[0] if index == 0 else self._begin(self._begun[0].start)
            if current is None:
                return NO_ROOM
            if index:
                self._begun.append(current)
            current.call = alone(self._call, index)
            current.share = Share(index, self._merged) if self._merged is not None else None
            return await once(current)

    async def _all(self, outcomes: Sequence[Any]) -> Answer | None:
        if self._merged is None:
            return together(outcomes)
        if self._call.include_usage:
            await self._merged.end(
                [current.said.usage if current.said is not None else None for current in self._begun]
            )
        return None


class Merged:
    """The stream of all choices. Held until each of them has content."""

    def __init__(self, n: int, delivery: Delivery, story: Story, clock: Callable[[], float]) -> None:
        self._silent = set(range(n))
        self._delivery = delivery
        self._story = story
        self._clock = clock
        self._numbering = Numbering()
        self._held: list[bytes] = []
        self._writing = asyncio.Lock()

    async def write(self, data: bytes, index: int) -> None:
        """Whole events of one choice, which has content."""
        self._held.append(self._numbering.number(data, index))
        self._silent.discard(index)
        if not self._silent:
            await self._write()

    async def end(self, usages: Sequence[Any]) -> None:
        """Say what all of it has taken, where that is known."""
        usage = total(usages)
        if usage is not None:
            self._held.append(self._numbering.usage(usage))
            await self._write()

    async def _write(self) -> None:
        async with self._writing:
            data, self._held = b"".join(self._held), []
            if data:
                if not self._delivery.committed:
                    # Until now it was not ours to say anything: it waited for the last of the choices.
                    self._story.answered_at = self._clock()
                await self._delivery.write(data, "openai")


class Share:
    """One choice's part of the stream. As attempt.py writes to a Delivery."""

    __slots__ = ("_index", "_merged")

    def __init__(self, index: int, merged: Merged) -> None:
        self._index = index
        self._merged = merged

    async def write(self, data: bytes, dialect: str) -> None:
        """Whole events, canonical ones."""
        await self._merged.write(data, self._index)

    def push(self, data: bytes, dialect: str) -> bool:
        """Nothing goes out unnumbered."""
        return False
