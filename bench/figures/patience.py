"""R12: how much later than its limits a provider that says nothing is given up. Read next: overflow.py.

Callers want streams, and whole answers, for which the gateway asks for streams too. Nobody stands by, so that the end
is told to the caller as soon as it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from bench.figures.client import Clients
from bench.figures.figure import Figure, at_most, ms, quantile
from bench.figures.ground import NEVER_OPENS, account, gateways
from bench.figures.load import at_rate
from gateway.testing.faults import Drip, Fault, Pings, Silence, Stall
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider

__all__ = ["late", "patience"]

#: How many of each, at so many a second in all.
EACH, RATE, LATE_S = 100, 60.0, 0.1
FIRST_TOKEN_S, STALL_S, NO_CONTENT_S = 0.5, 0.4, 0.6
#: What a provider does, and the limit that has to end it, in seconds from the request: content comes at once or never.
SILENCES: Mapping[str, tuple[Fault, float]] = {
    "silent": (Silence(), FIRST_TOKEN_S),
    "role-only": (Stall(after=0), FIRST_TOKEN_S),
    "ping-only": (Pings(after=0, every_s=0.05), FIRST_TOKEN_S),
    "drip": (Drip(every_s=0.02), FIRST_TOKEN_S),
    "stalled": (Stall(after=5), STALL_S),
    "pings-midway": (Pings(after=5, every_s=0.05), NO_CONTENT_S),
}


async def patience(directory: Path) -> list[Figure]:
    """R12."""
    times = await late(directory, EACH)
    figures = []
    for stream in (True, False):
        which = "streams" if stream else "whole answers made of streams"
        worst = {way: quantile(values, 0.99) for (way, s), values in times.items() if s is stream}
        slowest = max(worst, key=lambda way: worst[way])
        what = f"{which}: beyond the limit, p99 of {EACH} each of {len(worst)} silences; worst: {slowest}"
        figures.append(at_most("R12", what, ms(worst[slowest]), ms(LATE_S), "{:g} ms"))
    return figures


async def late(directory: Path, each: int) -> dict[tuple[str, bool], list[float]]:
    """Seconds beyond the limit until the caller is told, for streams (True) and whole answers, by kind of silence."""
    async with SimulatedProvider(keep=1) as provider:
        for name, (fault, _) in SILENCES.items():
            provider.script(name, Script(words=20, fault=fault))
        async with gateways(directory, config(provider)) as (gateway,), Clients(gateway.port) as asking:

            async def ask(name: str, stream: bool) -> float:
                told = await asking.ask(name, stream=stream)
                assert told.ended == "error", told
                return told.total_s - SILENCES[name][1]

            ways = list(product(SILENCES, (True, False)))
            times: dict[tuple[str, bool], list[float]] = {way: [] for way in ways}

            async def one(n: int) -> None:
                way = ways[n % len(ways)]
                times[way].append(await ask(*way))

            await at_rate(RATE, each * len(ways) / RATE, one, seed=None)
            return times


def config(provider: SimulatedProvider) -> dict[str, Any]:
    """A deployment for each silence, of a provider whose streams can be made into whole answers."""
    limits = {"first_token": FIRST_TOKEN_S, "stall": STALL_S, "no_content": NO_CONTENT_S, "first_byte": 30.0}
    timeouts = {name: f"{seconds * 1000:.0f}ms" for name, seconds in limits.items()}
    return {
        "providers": {"sim": account(provider, "openai", timeouts=timeouts)},
        "deployments": {name: {"provider": "sim", "model": name} for name in SILENCES},
        "routes": [
            {"name": f"to-{name}", "when": {"model": f"to-{name}"}, "policy": {"pool": [name], "rescue": "off"}}
            for name in SILENCES
        ],
        "reliability": dict(NEVER_OPENS),
    }
