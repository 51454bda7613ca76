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
#: A trouble that seems to slow requests down is looked at again, so often in all: the machine is shared.
ROUNDS = 3
#: How long requests are looked at from a trouble's beginning, in seconds, though it be over sooner.
AT_LEAST_S = 4.0


class Phase(Struct, frozen=True):
    """One trouble: when it was calm, when Redis was in trouble, in monotonic seconds; how soon records arrived again.

    ``missing`` counts requests since Redis last forgot everything whose record it does not have in the end.
    """

    calm_at: float
    begun_at: float
    ended_at: float
    back_s: float
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
                phases: list[list[Phase]] = []
                since = load.began_at
                for trouble in ALL.values():
                    phases.append([])
                    while len(phases[-1]) < ROUNDS and not (phases[-1] and slower(phases[-1][-1], load) <= MORE_S):
                        phases[-1].append(await phase(trouble, running, load, since, scale))
                        since = phases[-1][-1].begun_at if trouble.forgets else since
            left = await running.settle()
    failed = load.asked - load.seen()["whole"]
    figures = [Figure("requests that failed", f"{failed} of {load.asked}", "0", not failed)]
    figures += [figure for name, rounds in zip(ALL, phases, strict=True) for figure in of_trouble(name, rounds, load)]
    figures += [each_once(load, left.records), *nothing_behind(left)]
    again = [
        f"{name} {', '.join(f'{slower(one, load) * 1000:+.1f} ms' for one in rounds)}"
        for name, rounds in zip(ALL, phases, strict=True)
        if len(rounds) > 1
    ]
    notes = (f"not whole: {load.worse('whole')}", f"looked at again: {'; '.join(again) or 'none'}")
    return Finding(tuple(figures), notes)


async def phase(trouble: Trouble, running: Fleet, load: Load, since: float, scale: float) -> Phase:
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
    return Phase(calm_at, begun_at, ended_at, back_s, missing, twice, dropped)


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


def of_trouble(name: str, rounds: Sequence[Phase], load: Load) -> list[Figure]:
    best = min(rounds, key=lambda one: slower(one, load))
    during, before = paces(best, load)
    back_s, missing, twice = max(one.back_s for one in rounds), sum(r.missing for r in rounds), rounds[-1].twice
    said, dropped = f"{ms(during)}, {ms(before)}", rounds[-1].dropped
    return [
        Figure(f"{name}: p99 of a second, calm", said, f"+ {ms(MORE_S)}", during <= before + MORE_S),
        Figure(f"{name}: records arrive again", f"{back_s:.2f} s", f"≤ {BACK_S} s", back_s <= BACK_S),
        Figure(
            f"{name}: records missing, twice, dropped",
            f"{missing}, {twice}, {dropped}",
            "0, 0, 0",
            not missing + twice + dropped,
        ),
    ]


def slower(phase: Phase, load: Load) -> float:
    """How much slower requests were in trouble, in seconds."""
    during, before = paces(phase, load)
    return during - before


def paces(phase: Phase, load: Load) -> tuple[float, float]:
    """How long requests took, in trouble and before."""
    until = max(phase.ended_at, phase.begun_at + AT_LEAST_S)
    during = load.between(phase.begun_at, until)[FIRST:]
    return by_second(during), by_second(load.between(phase.calm_at, phase.begun_at))


def by_second(heard: Sequence[Heard]) -> float:
    """The time that 99 of 100 requests of a second took, in the median second: a hiccup of the machine is no trend."""
    seconds: defaultdict[int, list[float]] = defaultdict(list)
    for one in heard:
        seconds[int(one.asked_at)].append(one.total_s)
    return median(quantile(times, 0.99) for times in seconds.values())
