"""The connection to Redis, found again by itself when it is lost. Read next: over_redis.py, which talks over it.

A command gets 50 ms and no second try: with the defaults of redis-py a dead Redis costs 4 seconds a call and a
frozen one 25. Only finding it again is repeated, in a task of its own.
"""

from __future__ import annotations

import asyncio
import contextlib

from redis.asyncio import Redis as Client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

__all__ = ["Link"]


class Link:
    """One Redis: ``client`` talks to it while ``up`` says that it was there; ``error`` is what it last said if not."""

    def __init__(self, url: str, *, command_s: float, connect_s: float) -> None:
        self.client = Client.from_url(
            url,
            socket_timeout=command_s,
            socket_connect_timeout=connect_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self.error: str | None = "not connected yet"
        self._until_there = AsyncRetrying(
            retry=retry_if_exception_type((RedisError, OSError)),
            wait=wait_exponential_jitter(multiplier=0.05, max=1.0, jitter=0.1),
        )
        self._connected = False
        self._connecting: asyncio.Task[None] | None = None

    async def up(self, wait_s: float = 0.0) -> bool:
        """Whether there is a connection; begins to look for one, and waits this long for it, if there is none."""
        if not self._connected:
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
            await asyncio.wait({self._connecting}, timeout=wait_s)
        return self._connected

    def lost(self, error: Exception) -> None:
        """A command failed: no other is sent until the store answers again."""
        self.error = str(error) or type(error).__name__
        if self._connected:
            self._connected = False
            self._connecting = None

    def answered(self) -> None:
        """All is well."""
        self.error = None

    async def aclose(self) -> None:
        """Stop looking, and close what is open."""
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        await self.client.aclose()

    async def _connect(self) -> None:
        await self._until_there(self._reach)
        self._connected = True

    async def _reach(self) -> None:
        try:
            await self.client.connection_pool.disconnect()
            await self.client.ping()
        except (RedisError, OSError) as error:
            self.lost(error)
            raise
