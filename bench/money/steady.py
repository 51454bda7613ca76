"""A thousand keys in twenty teams, all with budgets, at a steady rate: who waits for Redis, and what budgets cost.

Read next: __main__.py. The same gateways without budgets get the same load in turns: both have the same machine.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import yaml

from bench.figures.client import Clients, Told
from bench.figures.figure import Figure, at_most, share
from bench.figures.ground import Plain
from bench.figures.load import at_once, at_rate
from bench.money.biller import biller
from bench.replica import Replica, get
from gateway.keys.form import mint
from tests.redis_server import RedisServer

__all__ = ["steady"]

KEYS, TEAMS, REPLICAS = 1_000, 20, 4
#: How often a key asks: as the inverse of its rank to this power.
ZIPF: Final = 1.1
#: Requests a second over all replicas, for how long at a time, in seconds, and how often.
RATE, SECONDS, TURNS = 240.0, 10.0, 6
AWAITED, CPU = 2.0, 15.0


async def steady(directory: Path, *, quick: bool = False) -> list[Figure]:
    """The share of requests that waited, and CPU per request with and without."""
    directory.mkdir(parents=True, exist_ok=True)
    redis, minted = RedisServer(), [mint(f"k{n}") for n in range(KEYS)]
    await asyncio.to_thread(redis.start)
    try:
        async with biller(directory / "bill.json", ill=0.0) as provider:
            crews = [
                [
                    Replica(
                        directory, f"{name}{n}", config(provider, redis.url, minted, budgets, directory / f"{name}{n}")
                    )
                    for n in range(REPLICAS)
                ]
                for name, budgets in (("with", True), ("without", False))
            ]
            try:
                await asyncio.gather(*[one.start() for crew in crews for one in crew])
                return await measure(crews, [key for key, _ in minted], 2 if quick else TURNS)
            finally:
                for one in (*crews[0], *crews[1]):
                    one.kill()
    finally:
        redis.kill()


async def measure(crews: Sequence[Sequence[Replica]], keys: Sequence[str], turns: int) -> list[Figure]:
    for crew in crews:
        await once_each(crew, keys)
    waited, asked, failed = 0.0, 0, 0
    micros: list[list[float]] = [[], []]
    for _ in range(turns):
        for which, crew in enumerate(crews):
            before, cpu = await awaited(crew), spent(crew)
            told = await load(crew, keys)
            micros[which].append((spent(crew) - cpu) / 1e3 / len(told))
            failed += sum(one.ended != "whole" for one in told)
            if which == 0:
                waited += await awaited(crew) - before
                asked += len(told)
    ratios = [100 * (one / other - 1) for one, other in zip(*micros, strict=True)]
    with_us, without_us = median(micros[0]), median(micros[1])
    return [
        at_most("M7", f"of {asked:,} requests of {KEYS:,} keys waited for Redis, %", share(waited, asked), AWAITED),
        at_most(
            "M7", f"CPU per request with budgets, {without_us:.0f} µs without: more, %", round(median(ratios), 1), CPU
        ),
        at_most(
            "M7", f"the same as medians: {with_us:.0f} µs: more, %", round(100 * (with_us / without_us - 1), 1), CPU
        ),
        at_most("M7", "requests that failed", failed, 0),
    ]


def config(provider: str, state: str, minted: Sequence[tuple[str, str]], budgets: bool, place: Path) -> str:
    """Keys of teams; where there are budgets, none of them runs out."""
    budget = {"budget": {"usd": 1_000, "per": "month"}} if budgets else {}
    own = {"budget": {"usd": 50, "per": "day"}} if budgets else {}
    said: Mapping[str, Any] = {
        "providers": {"sim": {"kind": "openai_compatible", "base_url": provider, "allow_private": True}},
        "deployments": {"a": {"provider": "sim", "model": "a", "price": {"input": 0.15, "output": 0.6}}},
        "teams": {f"t{n}": {**budget} for n in range(TEAMS)},
        "keys": [
            {"id": f"k{n}", "team": f"t{n % TEAMS}", "secret_hash": f"${{H:-{hash}}}", **own}
            for n, (_, hash) in enumerate(minted)
        ],
        "auth": True,
        "state": state,
        "admission": {"loop_lag": "2s"},
        **({"budgets": {"ledger": f"{place}.ledger"}} if budgets else {}),
    }
    return yaml.dump(said, sort_keys=False, Dumper=Plain)


async def once_each(crew: Sequence[Replica], keys: Sequence[str]) -> None:
    """Every key has been used at every replica."""
    for replica in crew:
        async with Clients(replica.port) as clients:
            await at_once(8, len(keys), lambda n: ask(clients, keys[n]))


async def load(crew: Sequence[Replica], keys: Sequence[str]) -> list[Told]:
    """At a steady rate, at random moments, over all replicas in turn."""
    dice = random.Random(7)
    weights = [(rank + 1) ** -ZIPF for rank in range(len(keys))]
    async with Clients(*[replica.port for replica in crew]) as clients:
        return await at_rate(RATE, SECONDS, lambda n: ask(clients, dice.choices(keys, weights)[0]))


async def ask(clients: Clients, key: str) -> Told:
    return await clients.ask("a", stream=False, headers={"authorization": f"Bearer {key}"}, max_tokens=200)


async def awaited(crew: Sequence[Replica]) -> float:
    """How many requests have waited for a lease so far."""
    return sum([await counted(replica) for replica in crew])


async def counted(replica: Replica) -> float:
    _, text = await get(replica.admin, "/metrics")
    found = re.search(rb"^gateway_budget_awaited_total ([\d.e+]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def spent(crew: Sequence[Replica]) -> int:
    """CPU of all threads of these processes so far, in nanoseconds."""
    tasks = [task for one in crew for task in Path(f"/proc/{one.pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
