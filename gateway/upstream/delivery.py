"""What has gone out to a streaming client, over all tries of its request. Read next: run.py, which fills it.

Nothing of an answer goes out before its first content. A comment, which keeps the connections on the way open, goes
out after a while without any: it commits the status, so that an error can only come within the stream from then on,
but no content, so that another try can still make everything good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.story import Story

__all__ = ["Client", "Delivery", "Into"]


class Client(Protocol):
    """Where a stream goes. ``begin`` sends the head; ``write`` waits while the client is slow."""

    @property
    def started(self) -> bool:
        """Whether the head has gone out, in an earlier run of the same request."""
        ...

    async def begin(self, story: Story) -> None:
        """Send the head."""
        ...

    async def write(self, data: bytes, dialect: str) -> None:
        """Whole events, in the words of this dialect."""
        ...

    def push(self, data: bytes, dialect: str) -> bool:
        """As ``write`` after the first, without waiting; False, and nothing done, where that cannot be."""
        ...

    async def keep_alive(self) -> None:
        """A sign of life that says nothing."""
        ...


class Into(Protocol):
    """Where the stream of one try goes: to the client, or together with others."""

    async def write(self, data: bytes, dialect: str) -> None:
        """Whole events: with the first content all that came before it, then more of it."""
        ...

    def push(self, data: bytes, dialect: str) -> bool:
        """More of an answer that has begun, at once; False, and nothing done, where that takes a ``write``."""
        ...


class Delivery:
    """One client's stream. ``committed`` says that content has gone out, ``begun`` that the head has."""

    __slots__ = (
        "_client",
        "_clock",
        "_comment",
        "_every_s",
        "_loop",
        "_story",
        "_timer",
        "_writing",
        "_written_at",
        "begun",
        "committed",
    )

    def __init__(self, client: Client, story: Story, clock: Callable[[], float], keep_alive_s: float) -> None:
        self.begun, self.committed = client.started, False
        self._client = client
        self._story = story
        self._clock = clock
        self._every_s = keep_alive_s
        self._written_at = clock()
        self._writing = False
        self._comment: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(keep_alive_s, self._wake)

    async def write(self, data: bytes, dialect: str) -> None:
        """Whole events: with the first content of an answer all that came before it, then more of it."""
        if self._comment is not None:
            await self._comment
        self._written_at = self._clock()
        self._writing = True
        try:
            if not self.committed:
                self.committed = True
                self._story.delivered_at = self._written_at
                await self._begin()
            await self._client.write(data, dialect)
        finally:
            self._writing = False

    def push(self, data: bytes, dialect: str) -> bool:
        """More of an answer that has begun, at once; False, and nothing done, where that takes a ``write``."""
        if not self.committed or self._comment is not None or not self._client.push(data, dialect):
            return False
        self._written_at = self._clock()
        return True

    async def close(self) -> None:
        """No more keep-alives. One that is under way ends first: after the end of a stream nothing may be written."""
        self._timer.cancel()
        if self._comment is not None:
            await self._comment

    def _wake(self) -> None:
        quiet = self._clock() - self._written_at
        if quiet < self._every_s:
            self._timer = self._loop.call_later(self._every_s - quiet, self._wake)
            return
        self._timer = self._loop.call_later(self._every_s, self._wake)
        # A client that does not take what it was sent needs no comment, least of all in the midst of it.
        if not self._writing and self._comment is None:
            self._comment = self._loop.create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        try:
            self._written_at = self._clock()
            await self._begin()
            await self._client.keep_alive()
        finally:
            self._comment = None

    async def _begin(self) -> None:
        if not self.begun:
            await self._client.begin(self._story)
            self.begun = True
