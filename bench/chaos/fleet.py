"""What every scenario runs against: two replicas, the Redis they share, and what they leave behind.

Read next: outages.py, the simplest that uses it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from bench.chaos.client import Load
from bench.chaos.figures import Figure
from bench.replica import Replica, crew
from tests.redis_server import RedisServer

__all__ = ["Fleet", "Left", "account", "each_once", "fleet", "nothing_behind"]

#: A shared machine may stop a process for longer than the usual 250 ms, which says nothing about the gateway.
PATIENT: Final = "admission: {loop_lag: 1s}"


class Fleet(Struct, frozen=True):
    """Two replicas that run, and their Redis. ``rest`` is the YAML that all scenarios have."""

    replicas: list[Replica]
    redis: RedisServer
    rest: str

    @property
    def ports(self) -> list[int]:
        """Where clients ask."""
        return [replica.port for replica in self.replicas]

    async def configure(self, more: str, *, whole: bool = False) -> list[int]:
        """Give each replica another configuration: the statuses. See Replica.configure."""
        text = more if whole else f"{more}\n{self.rest}"
        return await asyncio.gather(*[replica.configure(text, whole=whole) for replica in self.replicas])

    async def settle(self) -> Left:
        """What is left when all clients are gone: the gauges, then, after a good end, the journals."""
        await asyncio.sleep(1.0)  # the gauge is set ten times a second, and records are written in the background
        inflight = [await replica.inflight() for replica in self.replicas]
        statuses = [await replica.stop() for replica in self.replicas]
        records = [record for replica in self.replicas for record in replica.records()]
        trouble = "\n".join(said for replica in self.replicas if (said := replica.trouble()))
        return Left(records, sum(inflight), statuses, trouble)


class Left(Struct, frozen=True):
    """What both replicas left: their records, requests in flight, exit statuses, and what is no line of a log."""

    records: list[dict[str, Any]]
    inflight: float
    statuses: list[int]
    trouble: str


@asynccontextmanager
async def fleet(directory: Path, more: str) -> AsyncIterator[Fleet]:
    """A fleet with that YAML and a Redis, until the block is left."""
    redis = RedisServer()
    await asyncio.to_thread(redis.start)
    rest = f"state: {redis.url}\n{PATIENT}"
    try:
        async with crew(directory, f"{more}\n{rest}") as replicas:
            yield Fleet(replicas, redis, rest)
    finally:
        redis.kill()


def account(url: str, more: str = "") -> str:
    """The YAML of an account at a simulated provider."""
    return f"{{kind: openai_compatible, base_url: {url}, allow_private: true{', ' if more else ''}{more}}}"


def each_once(load: Load, records: Sequence[dict[str, Any]]) -> Figure:
    """Whether there is exactly one record for each request: found by the id that its answer had, else by its tag."""
    ids = Counter(record["id"] for record in records)
    tagged = {record["tags"]["n"]: record["id"] for record in records if "tags" in record}
    found = {one.headers.get("x-gateway-decision-id") or tagged.get(str(one.n)) for one in load.heard}
    missing = load.asked - len(found & ids.keys())
    more = len(records) - len(found & ids.keys())
    said = f"{len(records)} for {load.asked}" if not missing and not more else f"{missing} missing, {more} too many"
    return Figure("records for requests, by journals", said, "one each", not missing and not more)


def nothing_behind(left: Left) -> list[Figure]:
    """Nothing in flight, no traceback, a good end, no fault of ours."""
    ours = sum(record["outcome"] == "gateway_error" for record in left.records)
    lines = len(left.trouble.splitlines())
    return [
        Figure("requests in flight at the end", f"{left.inflight:g}", "0", left.inflight == 0),
        Figure("lines of tracebacks, faults of ours", f"{lines}, {ours}", "0, 0", not lines and not ours),
        Figure("exit statuses", f"{left.statuses}", "0", not any(left.statuses)),
    ]
