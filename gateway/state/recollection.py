"""What replicas remember for each other, in Redis. Read next: remembered.py, what one of them knows by itself.

Under ``prefix``: ``kept:<name>`` is a string that expires. Nothing else waits for these, and they are worth less than
all else that is in the store: they go out by themselves, at once, and only as much as a share of the store allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from redis.exceptions import RedisError, ResponseError

from gateway.state.buckets import Buckets
from gateway.state.link import Link
from gateway.state.remembered import BESIDE, REMEMBERED_S, Remembered

__all__ = ["Recollection"]

#: Bytes that go out in one step, and that the store holds of all replicas together.
STEP: Final = 256 * 1024
SHARED: Final = 256 * 1024 * 1024
#: How long a request waits for what another replica may know, in seconds.
RECALL_S: Final = 0.05
#: A leaky bucket that drains in the time after which values expire is as full as the store is of them.
BUCKET: Final = "kept"


class Recollection:
    """Tells the fleet what was remembered here, and asks it for the rest."""

    def __init__(self, link: Link, prefix: str, known: Remembered, buckets: Buckets, *, shared: int = SHARED) -> None:
        self._link = link
        self._prefix = prefix
        self._known = known
        self._buckets = buckets
        self._shared = shared
        self._now = 0.0
        self._telling: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"{self._known!r}, {'telling' if self._busy else 'at rest'}"

    def turn(self, now: float) -> None:
        """It is ``now``: what could not be told before may be told again."""
        self._now = now
        self._known.turn(now)
        self.begin()

    def begin(self) -> None:
        """Tell in the background what there is to tell."""
        if self._known.untold and not self._busy:
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def finish(self) -> None:
        """Tell what there is to tell, as far as the store takes it."""
        self.begin()
        if self._telling is not None:
            await asyncio.wait({self._telling})

    async def ask(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """What the fleet knows of these; nothing when it does not answer at once."""
        try:
            if not await self._link.up():
                raise ConnectionError
            async with asyncio.timeout(RECALL_S):
                values = await self._link.client.mget([self._key(name) for name in names])
        except (RedisError, OSError):
            self._known.lost += 1
            return {}
        return {name: value for name, value in zip(names, values, strict=True) if isinstance(value, bytes)}

    @property
    def _busy(self) -> bool:
        return self._telling is not None and not self._telling.done()

    async def _tell(self) -> None:
        try:
            while (values := self._known.take(STEP)) and await self._link.up():
                fit = self._fitting(values)
                await self._send(fit)
                self._known.told(values)
                self._known.lost += len(values) - len(fit)
        except (RedisError, OSError) as error:
            # They are told again when the store is back: to write one twice changes nothing.
            self._link.failed(error)

    async def _send(self, values: Mapping[str, bytes]) -> None:
        pipeline = self._link.client.pipeline(transaction=False)
        for name, value in values.items():
            pipeline.set(self._key(name), value, px=int(REMEMBERED_S * 1000))
        replies = await pipeline.execute(raise_on_error=False)
        self._known.lost += sum(isinstance(reply, ResponseError) for reply in replies)
        size = sum([len(value) + BESIDE for value in values.values()])
        self._buckets.draw(BUCKET, size, self._shared / REMEMBERED_S, self._shared)

    def _fitting(self, values: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Those for which the store has room."""
        room = self._shared - self._buckets.level(BUCKET, self._now)
        fit = {}
        for name, value in values.items():
            room -= len(value) + BESIDE
            if room >= 0:
                fit[name] = value
        return fit

    def _key(self, name: str) -> str:
        return f"{self._prefix}:kept:{name}"
