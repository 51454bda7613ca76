"""Redis killed, emptied, frozen, full and read-only under load: nobody is to notice (c7). Read next: fleet.py."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

from msgspec import Struct

from bench.chaos.client import Heard, Load
from bench.chaos.figures import Figure, Finding
from bench.chaos.fleet import Fleet, account, each_once, fleet, nothing_behind
from bench.chaos.outages import QUICK, RATE
from bench.replica import get
from bench.times import ms, quantile
from gateway.testing.server import SimulatedProvider
from tests.redis_server import TROUBLES, RedisServer, Trouble

__all__ = ["redis_in_trouble"]

#: Sentinels that fail over are measured in tests/state/test_failover.py.
ALL: Final[Mapping[str, Trouble]] = {
    "killed": TROUBLES["killed"],
    "emptied": Trouble(lambda redis: redis.ask("FLUSHALL"), lambda redis: None, "", forgets=True),
    "frozen": TROUBLES["frozen"],
    "full": TROUBLES["full"],
    "read-only": TROUBLES["read-only"],
}
#: Calls in trouble that may be slower, and by how much the others may be, and how soon writes have to be back.
FIRST, MORE_S, BACK_S = 3, 0.005, 2.5
#: How long requests are looked at from a trouble's beginning, in seconds, though it be over sooner.
AT_LEAST_S = 4.0


class Phase(Struct, frozen=True):
    """One trouble: when it was calm, when Redis was in trouble, in monotonic seconds; how soon records arrived again.

    ``missing`` counts requests since Redis last forgot everything whose record it does not have in the end.
    """

    name: str
    calm_at: float
    begun_at: float
    ended_at: float
    back_s: float
    over_at: float
    missing: int
    twice: int
    dropped: int


async def redis_in_trouble(directory: Path, scale: float) -> Finding:
    """One trouble after the other, each after five calm seconds, at 50 requests a second over two replicas."""
    async with SimulatedProvider(QUICK) as provider:
        more = f"providers: {{sim: {account(provider.url)}}}\ndeployments: {{a: {{provider: sim, model: a}}}}"
        async with fleet(directory, more) as running:
            async with Load(running.ports, RATE) as load:
                await asyncio.sleep(3.0)
                phases: list[Phase] = []
                since = load.began_at
                for name, trouble in ALL.items():
                    phases.append(await phase(name, trouble, running, load, since, scale))
                    since = phases[-1].begun_at if trouble.forgets else since
            left = await running.settle()
    failed = load.asked - load.seen()["whole"]
    figures = [Figure("requests that failed", f"{failed} of {load.asked}", "0", not failed)]
    figures += [figure for one in phases for figure in of_phase(one, load)]
    figures += [each_once(load, left.records), *nothing_behind(left)]
    return Finding(tuple(figures), (f"not whole: {load.worse('whole')}",))


async def phase(name: str, trouble: Trouble, running: Fleet, load: Load, since: float, scale: float) -> Phase:
    now = time.monotonic
    redis, calm_at = running.redis, now()
    await asyncio.sleep(5.0 * scale)
    await asyncio.to_thread(trouble.begin, redis)
    begun_at = now()
    if trouble.says:
        await asyncio.sleep(8.0 * scale)
        await asyncio.to_thread(trouble.end, redis)
        ended_at = now()
    else:  # over as soon as it has begun
        ended_at = begun_at
    back_s = await back(redis, running, load, ended_at) - ended_at
    await asyncio.sleep(max(1.5, begun_at + AT_LEAST_S - now()))
    until, counted = now() - 1.0, Counter(await asyncio.to_thread(ids, redis))
    asked = {
        one.headers.get("x-gateway-decision-id")
        for one in load.between(begun_at if trouble.forgets else since, until)
        if one.asked_at + one.total_s < until
    }
    missing, twice = len(asked - counted.keys()), sum(n > 1 for n in counted.values())
    dropped = sum([await lost(replica.admin) for replica in running.replicas])
    return Phase(name, calm_at, begun_at, ended_at, back_s, now(), missing, twice, dropped)


async def back(redis: RedisServer, running: Fleet, load: Load, ended_at: float) -> float:
    """When the record of a request that was asked after the end has arrived, from every replica."""
    async with asyncio.timeout(15.0):
        while True:
            here = set(await asyncio.to_thread(ids, redis, 20))
            at = time.monotonic()
            new = [one for one in load.between(ended_at) if one.headers.get("x-gateway-decision-id") in here]
            if {one.port for one in new} == set(running.ports):
                return at
            await asyncio.sleep(0.02)


def ids(redis: RedisServer, entries: int = 100_000) -> list[str]:
    """The ids of the records in Redis, those of so many entries, newest first."""
    found = cast(Sequence[Any], redis.ask("XREVRANGE", "gw:decisions:ids", "+", "-", "COUNT", entries))
    return [id for _, fields in found for id in fields[b"ids"].decode().split("\n")]


async def lost(admin: int) -> int:
    """Records that a replica could not keep."""
    _, body = await get(admin, "/admin/state")
    return int(json.loads(body)["dropped"])


def of_phase(phase: Phase, load: Load) -> list[Figure]:
    before = by_second(load.between(phase.calm_at, phase.begun_at))
    during = by_second(load.between(phase.begun_at, max(phase.ended_at, phase.begun_at + AT_LEAST_S))[FIRST:])
    off = phase.missing + phase.twice + phase.dropped
    name = phase.name
    return [
        Figure(
            f"{name}: slowest of a second, calm", f"{ms(during)}, {ms(before)}", "+ 5 ms", during <= before + MORE_S
        ),
        Figure(f"{name}: records arrive again", f"{phase.back_s:.2f} s", f"≤ {BACK_S} s", phase.back_s <= BACK_S),
        Figure(
            f"{name}: records missing, twice, dropped",
            f"{phase.missing}, {phase.twice}, {phase.dropped}",
            "0, 0, 0",
            not off,
        ),
    ]


def by_second(heard: Sequence[Heard]) -> float:
    """The time that 99 of 100 requests of a second took, in the median second: a hiccup of the machine is no trend."""
    seconds: defaultdict[int, list[float]] = defaultdict(list)
    for one in heard:
        seconds[int(one.asked_at)].append(one.total_s)
    return median(quantile(times, 0.99) for times in seconds.values())
