"""The Redis of a torture, and how it loses what it was told last. Read next: losses.py, what is done to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.redis_server import RedisServer, Sentinel

__all__ = ["Pair", "pair"]

#: How long the one that takes over has heard nothing when it does, in seconds.
DEAF_S = 1.0
#: How long a failover may take, in seconds.
WITHIN_S = 20.0


class Pair:
    """A server in charge, another that follows it, and a Sentinel. ``port`` is that of the one in charge."""

    def __init__(self, folder: Path) -> None:
        self._servers = [RedisServer("--repl-diskless-sync-delay", "0", "--repl-timeout", "60") for _ in range(2)]
        self._sentinel = Sentinel(folder, self._servers[0])
        self.port = self._servers[0].port
        self.url = f"redis+sentinel://127.0.0.1:{self._sentinel.port}/main/0"

    @property
    def main(self) -> RedisServer:
        """The one in charge."""
        return next(server for server in self._servers if server.port == self.port)

    @property
    def spare(self) -> RedisServer:
        """The other."""
        return next(server for server in self._servers if server.port != self.port)

    async def start(self) -> None:
        """All three, until the one follows the other and the Sentinel knows."""
        await asyncio.to_thread(self._servers[0].start)
        await asyncio.to_thread(self._servers[1].start)
        await asyncio.to_thread(self._sentinel.start)
        await self._follow()

    def kill(self) -> None:
        """All three."""
        for server in (*self._servers, self._sentinel):
            server.kill()

    async def fail_over(self) -> None:
        """The one in charge is killed when the other has not heard of it for a second, and takes over.

        What was killed comes back empty, and follows.
        """
        main, spare = self.main, self.spare
        spare.freeze()
        await asyncio.sleep(DEAF_S)
        # What it was sent meanwhile waits in its socket, where it would find it: so the sockets go as well.
        await asyncio.to_thread(main.ask, "CONFIG", "SET", "requirepass", "gone")
        await asyncio.to_thread(main.kill)
        spare.thaw()
        await self._charge(spare)
        await asyncio.to_thread(main.start)
        await self._follow()

    async def _charge(self, server: RedisServer) -> None:
        give_up_at = time.monotonic() + WITHIN_S
        while b"role:master" not in await asyncio.to_thread(said, server):
            if time.monotonic() > give_up_at:
                raise RuntimeError("the Sentinel did not let the other take over")
            await asyncio.sleep(0.05)
        self.port = server.port

    async def _follow(self) -> None:
        main, spare = self.main, self.spare
        await asyncio.to_thread(spare.ask, "REPLICAOF", "127.0.0.1", main.port)
        give_up_at = time.monotonic() + WITHIN_S
        while b"link_status:up" not in await asyncio.to_thread(said, spare) or not await asyncio.to_thread(
            self._sentinel.sees_replica
        ):
            if time.monotonic() > give_up_at:
                raise RuntimeError("the other does not follow")
            await asyncio.sleep(0.1)


def said(server: RedisServer) -> bytes:
    """What it says about who follows whom."""
    told = server.ask("INFO", "replication")
    return told if isinstance(told, bytes) else str(told).encode()
