"""The Redis of a torture, and how it loses what it was told last. Read next: losses.py, where that is done to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

from tests.redis_server import RedisServer, Sentinel

__all__ = ["LOSSES", "Pair", "pair"]

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

    async def fail_over(self) -> float:
        """The one in charge is killed when the other has not heard of it for a second, and takes over.

        What was killed comes back empty, and follows.
        """
        main, spare = self.main, self.spare
        await asyncio.to_thread(spare.ask, "REPLICAOF", "127.0.0.1", 1)  # where nobody is: it keeps what it has
        await asyncio.sleep(DEAF_S)
        await asyncio.to_thread(main.kill)
        began = time.time()
        await self._charge(spare)
        await asyncio.to_thread(main.start)
        await self._follow()
        return began

    async def freeze(self, seconds: float = 5.0) -> float:
        """The one in charge is stopped for so long; the other takes over, and the first follows when it is back."""
        main, spare = self.main, self.spare
        main.freeze()
        began = time.time()
        thaw_at = time.monotonic() + seconds
        await self._charge(spare)
        await asyncio.sleep(thaw_at - time.monotonic())
        main.thaw()
        await self._follow()
        return began

    async def flush(self) -> float:
        """Everything is deleted."""
        began = time.time()
        await asyncio.to_thread(self.main.ask, "FLUSHALL")
        return began

    async def restart(self) -> float:
        """The one in charge ends and begins anew, with nothing, before the Sentinel has noticed."""
        began = time.time()
        await asyncio.to_thread(self.main.kill)
        await asyncio.to_thread(self.main.start)
        await self._follow()
        return began

    async def _charge(self, server: RedisServer) -> None:
        give_up_at = time.monotonic() + WITHIN_S
        while (await asyncio.to_thread(said, server))["role"] != "master":
            if time.monotonic() > give_up_at:
                raise RuntimeError("the Sentinel did not let the other take over")
            await asyncio.sleep(0.05)
        self.port = server.port

    async def _follow(self) -> None:
        main, spare = self.main, self.spare
        await asyncio.to_thread(spare.ask, "REPLICAOF", "127.0.0.1", main.port)
        give_up_at = time.monotonic() + WITHIN_S
        while (await asyncio.to_thread(said, spare)).get("master_link_status") != "up" or not await asyncio.to_thread(
            self._sentinel.sees_replica
        ):
            if time.monotonic() > give_up_at:
                raise RuntimeError("the other does not follow")
            await asyncio.sleep(0.1)


#: What happens to it, by what it is called, in this order. Each says when it began (Unix time).
LOSSES: Final[Mapping[str, Callable[[Pair], Awaitable[float]]]] = {
    "another takes over, without the last second": Pair.fail_over,
    "all is deleted": Pair.flush,
    "restarted with nothing": Pair.restart,
    "stopped for 5 s, another takes over": Pair.freeze,
}


def said(server: RedisServer) -> Mapping[str, Any]:
    """What it says about who follows whom."""
    return cast(Mapping[str, Any], server.ask("INFO", "replication"))


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    """All three, until the block is left."""
    folder.mkdir(parents=True, exist_ok=True)
    servers = Pair(folder)
    try:
        await servers.start()
        yield servers
    finally:
        servers.kill()
