"""What requests ask of the fleet at once, since they cannot wait for the next sync.

Read next: scripts.py, TAKE and HOLD.

One question is under way at a time; whoever asks meanwhile is in the next one. A store that does not answer in time is
not waited for: what it did all the same drains, or is told again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from msgspec import Struct
from redis.exceptions import RedisError, ResponseError

from gateway.state.ending import end
from gateway.state.link import Link
from gateway.state.meeting import Feed, Meeting
from gateway.state.scripts import TAKE
from gateway.state.verbs import Draw
from gateway.state.view import View

__all__ = ["Asking", "ask_here"]

#: What a full bucket may hold more than its capacity, as a part of it: sums of small numbers err.
ERR: Final = 1e-9


class Waiting(Struct, eq=False):
    """A request that waits for its answer; ``taken`` is what the store said of its draws."""

    draws: Sequence[Draw]
    places: Sequence[str]
    answer: asyncio.Future[bool | None]
    taken: bool = True


class Asking:
    """Those who wait, and the task that asks for them. It also tells at once of places that others may wait for."""

    def __init__(
        self, view: View, link: Link, meeting: Meeting, prefix: str, one_at_a_time: asyncio.Lock, wait_s: float
    ) -> None:
        self._view = view
        self._link = link
        self._meeting = meeting
        self._prefix = prefix
        self._lock = one_at_a_time
        self._wait_s = wait_s
        self._waiting: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self._ahead_s = 0.0

    def __repr__(self) -> str:
        return f"{len(self._waiting)} requests wait for the fleet"

    async def ask(self, draws: Sequence[Draw], places: Sequence[str], now: float) -> bool | None:
        """See State.ask."""
        loop = asyncio.get_running_loop()
        self.turn(now)
        waiting = Waiting(draws, places, loop.create_future())
        self._waiting.append(waiting)
        self.begin()
        try:
            async with asyncio.timeout(self._wait_s):
                return await waiting.answer
        except TimeoutError:
            # In the very moment that time ran out, perhaps.
            return waiting.answer.result() if _answered(waiting) else None
        except asyncio.CancelledError:
            if _answered(waiting) and waiting.answer.result():
                self._undo(waiting, entered=True)
                self.begin()
            raise

    def turn(self, now: float) -> None:
        """It is ``now``."""
        self._ahead_s = now - monotonic()

    def begin(self) -> None:
        """Ask in the background what there is to ask."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._turns())

    async def aclose(self) -> None:
        """Nobody waits any more."""
        if self._task is not None:
            await end(self._task)

    def _now(self) -> float:
        return monotonic() + self._ahead_s

    async def _turns(self) -> None:
        batch: list[Waiting] = []
        try:
            while self._waiting or self._view.places.urgent:
                if not await self._link.up():
                    break
                async with self._lock:
                    batch, self._waiting = self._waiting, []
                    await self._turn([one for one in batch if not one.answer.done()])
        except (RedisError, OSError) as error:
            self._link.failed(error)
        finally:
            self._view.places.forget_urgent()
            for one in (*batch, *self._waiting):
                if not one.answer.done():
                    one.answer.set_result(None)
            self._waiting = []

    async def _turn(self, batch: Sequence[Waiting]) -> None:
        pipeline = self._link.client.pipeline(transaction=False)
        now = self._now()
        feeds: list[Feed] = []
        places = self._view.places
        for one in batch:
            for name in one.places:
                places.want(name)
        number, rows = places.take(now, urgent=[name for one in batch for name in one.places])
        if rows:
            feeds.append(self._meeting.hold(pipeline, number, rows, now))
        if drawing := [one for one in batch if one.draws]:
            feeds.append(self._take(pipeline, drawing))
        if not feeds:
            return
        for feed, reply in zip(feeds, await pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(reply, ResponseError):
                raise reply
            feed(reply)
        for one in batch:
            self._tell(one)

    def _take(self, pipeline: Any, drawing: Sequence[Waiting]) -> Feed:
        buckets = self._view.buckets
        first: dict[str, Draw] = {}
        for one in drawing:
            for draw in one.draws:
                first.setdefault(draw.name, draw)
        index = {name: n for n, name in enumerate(first, start=1)}
        args: list[float] = []
        for name, draw in first.items():
            args += (draw.rate, draw.capacity, buckets.bucket(name, self._now()).untold)
        for one in drawing:
            args.append(len(one.draws))
            for draw in one.draws:
                args += (index[draw.name], draw.amount)
        pipeline.eval(TAKE, len(first), *(f"{self._prefix}:bucket:{name}" for name in first), *args)

        def took(told: Sequence[Any]) -> None:
            now = self._now()
            for one, fits in zip(drawing, told[: len(drawing)], strict=True):
                one.taken = bool(fits)
            for draw, level in zip(first.values(), told[len(drawing) :], strict=True):
                buckets.taken(draw.name, float(level), draw.rate, draw.capacity, now)

        return took

    def _tell(self, one: Waiting) -> None:
        """Places are used here and now, or somebody else would have them before the request goes on."""
        places = self._view.places
        fits = one.taken and all(places.free(name) for name in one.places)
        if one.answer.done():
            fits = False
        if fits:
            for name in one.places:
                places.enter(name)
        else:
            self._undo(one, entered=False)
        if not one.answer.done():
            one.answer.set_result(fits)

    def _undo(self, one: Waiting, *, entered: bool) -> None:
        for draw in one.draws if one.taken else ():
            self._view.buckets.draw(draw.name, -draw.amount, draw.rate, draw.capacity)
        for name in one.places:
            if entered:
                self._view.places.leave(name)
            else:
                self._view.places.spare(name)


def ask_here(view: View, draws: Sequence[Draw], places: Sequence[str], now: float) -> bool:
    """The answer where there is nobody else to ask."""
    buckets = [(view.buckets.bucket(draw.name, now), draw) for draw in draws]
    if not all(bucket.at_level(now) + draw.amount <= draw.capacity * (1 + ERR) for bucket, draw in buckets):
        return False
    if not all(view.places.free(name) for name in places):
        return False
    for draw in draws:
        view.buckets.draw(draw.name, draw.amount, draw.rate, draw.capacity)
    for name in places:
        view.places.enter(name)
    return True


def _answered(one: Waiting) -> bool:
    return one.answer.done() and not one.answer.cancelled()
