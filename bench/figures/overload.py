"""R22: five times as many clients as can be served. Read next: hedging.py.

What can be served is the gateway's own rule here, so that the figures are not those of a machine: twenty requests at
once, at a provider that takes 100 to 300 ms. Clients ask one request after the other; who is turned away asks again
after a tenth of a second, which is ten times as soon as it is told to.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.figures.client import Clients, Told
from bench.figures.figure import Figure, at_least, at_most, ms, quantile, share
from bench.figures.ground import Drawn, account, gateways
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider

__all__ = ["Crowd", "before_slow", "crowd", "overload"]

INFLIGHT, TAKES_S, TIMES = 20, 0.2, 5
SECONDS, PAUSE_S = 6.0, 0.1
#: Who is turned away in less has not been waiting in the queue.
AT_ONCE_S = 0.05


async def overload(directory: Path) -> list[Figure]:
    """R22."""
    half = TIMES * INFLIGHT // 2
    async with before_slow(directory) as asking:
        peak = await crowd(asking, {"interactive": INFLIGHT}, SECONDS)
        full = await crowd(asking, {"interactive": TIMES * INFLIGHT}, SECONDS)
        mixed = await crowd(asking, {"interactive": half, "batch": half}, SECONDS)
    away = full.turned_away()
    told = [one for one in away if is_told(one)]
    first, last = (mixed.served(priority) for priority in ("interactive", "batch"))
    goodput = share(full.served(), peak.served())
    times = [one.total_s for one in away]
    return [
        at_least(
            "R22", f"goodput at {TIMES}× of its peak, {peak.served() / SECONDS:.0f} a second", goodput, 90, "{:.1f} %"
        ),
        at_most("R22", f"until turned away: p99 of {len(away):,}", ms(quantile(times, 0.99)), 10, "{:g} ms"),
        at_least("R22", "of them told retry-after, x-should-retry: true", share(len(told), len(away)), 100, "{:.1f} %"),
        at_least(
            "R22", f"interactive share of what is served ({last} batch)", share(first, first + last), 95, "{:.1f} %"
        ),
    ]


@asynccontextmanager
async def before_slow(directory: Path) -> AsyncIterator[Clients]:
    """Clients of a gateway that serves so many at once, at a provider that takes its time."""
    async with (
        SimulatedProvider(keep=1) as provider,
        gateways(directory, config(provider)) as (gateway,),
        Clients(gateway.port) as asking,
    ):
        provider.scripts = Drawn(lambda model: Script(words=1, pace=Pace(random.uniform(0.5, 1.5) * TAKES_S)))
        yield asking


class Crowd:
    """What clients of some priorities were told in some seconds."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Told]] = []

    def served(self, priority: str | None = None) -> int:
        """Requests that got their answer."""
        return sum(one.ended == "whole" and priority in (None, whose) for whose, one in self.told)

    def turned_away(self) -> list[Told]:
        """Answers of those who were not to wait."""
        return [one for _, one in self.told if one.status == 503 and one.total_s < AT_ONCE_S]


async def crowd(asking: Clients, clients: dict[str, int], seconds: float) -> Crowd:
    """So many clients by priority, for so long: counted is what ended in that time."""
    seen, until = Crowd(), time.monotonic() + seconds

    async def client(priority: str) -> None:
        await asyncio.sleep(random.uniform(0, PAUSE_S))
        while time.monotonic() < until:
            told = await asking.ask("auto", stream=False, headers={"x-gateway-priority": priority})
            if time.monotonic() < until:
                seen.told.append((priority, told))
            if told.ended != "whole":
                await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE_S)

    await asyncio.gather(*[client(priority) for priority, n in clients.items() for _ in range(n)])
    return seen


def is_told(told: Told) -> bool:
    """Whether an SDK knows from it that it may ask again, and when."""
    return told.headers.get("x-should-retry") == "true" and float(told.headers.get("retry-after", 0)) > 0


def config(provider: SimulatedProvider) -> dict[str, Any]:
    return {
        "providers": {"sim": account(provider)},
        "deployments": {"a": {"provider": "sim", "model": "a"}},
        "admission": {"max_inflight": INFLIGHT, "queue": 2 * INFLIGHT},
    }
