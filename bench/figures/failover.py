"""R4: what a failing primary adds to the time of an answer. Read next: outage.py, where the breaker has a say.

Every request meets the failure, since no breaker opens here: in its own time, an outage costs the first few this much.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.figures.client import Clients, Told
from bench.figures.figure import Figure, at_most, ms, quantile
from bench.figures.ground import NEVER_OPENS, account, gateways
from bench.figures.load import at_once
from gateway.testing.faults import Silence
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider

__all__ = ["added", "failover"]

REQUESTS = 1000
FIRST_TOKEN_S = 0.5
HEALTHY = Script(words=12, pace=Pace(0.02))
#: Primaries that fail alike, so that what is learnt of one (how much it bears at once) keeps nobody from the failure.
PRIMARIES = 4
#: How the primary fails, how many ask at once, and what that may add to 99 of 100 first contents, in seconds.
WAYS: Mapping[str, tuple[Script, int, float]] = {
    "503": (Script(fault="overloaded"), 16, 0.5),
    "silent": (Script(fault=Silence()), 64, FIRST_TOKEN_S + 0.2),
}


async def failover(directory: Path) -> list[Figure]:
    """R4."""
    figures = []
    for way, (script, clients, limit_s) in WAYS.items():
        times = await added(directory / way, script, REQUESTS, clients)
        what = f"added by a primary that is {way}: p99 of {len(times):,} (median {ms(quantile(times, 0.5))} ms)"
        figures.append(at_most("R4", what, ms(quantile(times, 0.99)), ms(limit_s), "{:g} ms"))
    return figures


async def added(directory: Path, script: Script, requests: int, clients: int) -> list[float]:
    """Seconds until the first content beyond those of healthy primaries, of those that met the failure.

    Raises AssertionError when a request fails.
    """
    async with (
        SimulatedProvider(HEALTHY, keep=1) as provider,
        SimulatedProvider(HEALTHY, keep=1) as other,
        gateways(directory, config(provider, other)) as (gateway,),
        Clients(gateway.port) as asking,
    ):

        async def ask(n: int) -> Told:
            told = await asking.ask(f"route-{n % PRIMARIES}", stream=True)
            assert told.ended == "whole", told
            return told

        usual = quantile([told.first_s or 0.0 for told in await at_once(clients, requests // 4, ask)], 0.5)
        for n in range(PRIMARIES):
            provider.script(f"primary-{n}", script)
        came = await at_once(clients, requests, ask)
        return [(told.first_s or 0.0) - usual for told in came if told.headers["x-gateway-attempts"] != "1"]


def config(provider: SimulatedProvider, other: SimulatedProvider) -> dict[str, Any]:
    """Primaries, and one other that stands by at another company."""
    limits = {"first_token": f"{FIRST_TOKEN_S * 1000:.0f}ms"}
    primaries = {f"primary-{n}": {"provider": "one", "model": f"primary-{n}"} for n in range(PRIMARIES)}
    routes = {f"route-{n}": {"pool": [f"primary-{n}"], "fallback": ["standby"]} for n in range(PRIMARIES)}
    return {
        "providers": {"one": account(provider, timeouts=limits), "other": account(other)},
        "deployments": {**primaries, "standby": {"provider": "other", "model": "standby"}},
        "routes": [{"name": name, "when": {"model": name}, "policy": policy} for name, policy in routes.items()],
        "reliability": dict(NEVER_OPENS),
    }
