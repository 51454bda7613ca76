"""The connection to Redis, found again by itself when it is lost. Read next: over_redis.py, which talks over it.

One that evicts is not used: budgets and leases that it drops without a word would be spent twice.
A command gets 50 ms and no second try: with the defaults of redis-py a dead Redis costs 4 seconds a call and a
frozen one 25. Only finding it again is repeated, in a task of its own; behind Sentinels it asks them each time
where to look.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from redis.asyncio import Redis as Client
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential_jitter

from gateway.errors import ConfigError, Problem
from gateway.state.address import Address, parse_address
from gateway.state.ending import end

__all__ = ["Evicts", "Link", "first_contact"]

#: How long a Sentinel has to answer, in seconds: nothing but finding the store waits for it.
SENTINEL_S: Final = 0.5
#: The longest pause between two looks for a store that is gone, in seconds.
LOOK_S: Final = 0.25
#: How often a store that takes no writes is looked up anew, in seconds.
LOOK_UP_S: Final = 1.0
#: How long a store has to answer before the gateway starts without it, in seconds.
CONTACT_S: Final = 1.0


class Evicts(RedisError):
    """The store drops keys when it is full."""

    def __init__(self, policy: str) -> None:
        super().__init__(
            f"Redis evicts what it holds when it is full (maxmemory-policy {policy}), and budgets with it: run CONFIG "
            "SET maxmemory-policy noeviction, and put `maxmemory-policy noeviction` into its configuration"
        )


async def first_contact(url: str, source: str) -> None:
    """Whether the store may be used. One that cannot be reached may: it is asked again when it is there.

    Raises ConfigError about ``source``, the configuration, where it evicts.
    """
    link = Link(url, command_s=CONTACT_S, connect_s=CONTACT_S)
    try:
        await link.reach()
    except Evicts as error:
        raise ConfigError([Problem(source, 0, 0, f"state: {error}")]) from error
    except (RedisError, OSError):
        return
    finally:
        await link.aclose()


class Link:
    """One Redis: ``client`` talks to it while ``up`` says that it was there; ``error`` is what it last said if not."""

    def __init__(self, url: str, *, command_s: float, connect_s: float) -> None:
        address = parse_address(url)
        options: dict[str, Any] = {
            "socket_timeout": command_s,
            "socket_connect_timeout": connect_s,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        self._sentinel = _sentinel(address, options) if address.sentinels else None
        self.client: Client = (
            self._sentinel.master_for(address.service)
            if self._sentinel is not None
            else Client.from_url(address.url, **options)
        )
        self.error: str | None = "not connected yet"
        self._until_there = AsyncRetrying(
            retry=retry_if_exception_type((RedisError, OSError)),
            wait=wait_exponential_jitter(multiplier=0.05, max=LOOK_S, jitter=0.05),
        )
        self._connected = False
        self._connecting: asyncio.Task[None] | None = None
        self._looked_up_at = 0.0

    async def up(self, wait_s: float = 0.0) -> bool:
        """Whether there is a connection; begins to look for one, and waits this long for it, if there is none."""
        if not self._connected:
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
            await asyncio.wait({self._connecting}, timeout=wait_s)
        return self._connected

    def failed(self, error: Exception) -> None:
        """A command failed. Unless the store itself said so, no other is sent until it answers again."""
        self.error = str(error) or type(error).__name__
        if self._connected and (not isinstance(error, ResponseError) or self._is_due(error)):
            self._connected = False
            self._connecting = None

    def answered(self) -> None:
        """All is well."""
        self.error = None

    async def judge(self) -> None:
        """Whether the store may be used. Raises Evicts, or what redis-py raises."""
        with contextlib.suppress(ResponseError):  # who may not ask is not told
            memory = await self.client.info("memory")
            if (policy := memory.get("maxmemory_policy", "noeviction")) != "noeviction":
                raise Evicts(policy)

    async def aclose(self) -> None:
        """Stop looking, and close what is open."""
        if self._connecting is not None:
            await end(self._connecting)
        await self.client.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()

    def _is_due(self, error: ResponseError) -> bool:
        """Whether to look the store up anew: one that only reads may have been replaced behind its name."""
        now = asyncio.get_running_loop().time()
        due = isinstance(error, ReadOnlyError) and now - self._looked_up_at >= LOOK_UP_S
        if due:
            self._looked_up_at = now
        return due

    async def _connect(self) -> None:
        await self._until_there(self.reach)
        self._connected = True

    async def reach(self) -> None:
        """Connect anew. Raises Evicts, or RedisError or OSError when it is not there."""
        try:
            await self.client.connection_pool.disconnect()
            await self.client.ping()
            await self.judge()
        except (RedisError, OSError) as error:
            self.error = str(error) or type(error).__name__
            raise


def _sentinel(address: Address, options: dict[str, Any]) -> Sentinel:
    """Those who know where the store is. TLS and its certificates are the same for them and for the store."""
    store: dict[str, Any] = dict(parse_url(address.url))
    tls = {name: value for name, value in store.items() if name.startswith("ssl")}
    if store.pop("connection_class", None) is SSLConnection:
        tls["ssl"] = True
    own = {"username": address.username, "password": address.password, "socket_timeout": SENTINEL_S}
    del store["host"]
    return Sentinel(  # type: ignore[no-untyped-call]
        address.sentinels, sentinel_kwargs={**options, **tls, **own}, **{**options, **store, **tls}
    )
