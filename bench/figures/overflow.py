"""R15: what goes beyond a provider's quota goes elsewhere before the provider says so. Read next: keys.py.

Ten times the sixty requests and ten thousand tokens a minute of the usual example, so that a minute holds enough
requests to speak of: half as many again as the quota allows come at random to two replicas that share a Redis.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.figures.client import Clients
from bench.figures.figure import Figure, at_least, at_most, share
from bench.figures.ground import account, gateways
from bench.figures.load import at_rate
from gateway.testing.limits import RateLimits
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider

__all__ = ["Used", "overflow", "storm"]

RPM, TPM = 600, 100_000
BEYOND = 1.5
SECONDS = 60.0
#: After so long what may be sent at once after a quiet time is used up, in seconds.
SETTLED_S = 15.0
#: Tokens of answers, which with those of the prompt come to what the quota allows for each request, on average.
OUTPUT = (20, 280)


class Used(Struct, frozen=True):
    """What came of a storm: how it ended for callers; 429s of the provider; percent of its quota that was used.

    ``settled`` is the same from SETTLED_S on. Both are of the limit that was used the more.
    """

    ended: Counter[str]
    refused: int
    used: float
    settled: float


async def overflow(directory: Path) -> list[Figure]:
    """R15."""
    storm_ = await storm(directory, SECONDS)
    asked = storm_.ended.total()
    rate = f"{RPM} requests and {TPM // 1000}k tokens a minute"
    return [
        at_most(
            "R15", f"429s of a provider with {rate}, of {asked:,} requests", share(storm_.refused, asked), 1.0, "{} %"
        ),
        at_least("R15", f"quota used, from {SETTLED_S:.0f} s on", storm_.settled, 95.0, "{:.1f} %"),
        at_least("R15", "success, with what overflows", share(storm_.ended["whole"], asked), 100.0, "{:.2f} %"),
    ]


async def storm(directory: Path, seconds: float) -> Used:
    """Half as many requests again as the quota allows, for so long, at two replicas."""
    limits, dice = RateLimits(rpm=RPM, tpm=TPM), random.Random(7)
    pace = Pace(0.1, 0.002)
    async with (
        SimulatedProvider(Script(pace=pace, words=600, fault=limits), keep=1) as provider,
        SimulatedProvider(Script(pace=pace, words=600), keep=1) as other,
        gateways(directory, config(provider, other), 2) as crew,
        Clients(*[gateway.port for gateway in crew]) as asking,
    ):

        async def ask(n: int) -> str:
            return (await asking.ask("auto", stream=n % 2 == 0, max_tokens=dice.randint(*OUTPUT))).ended

        limits.begin()
        ended = Counter(await at_rate(BEYOND * RPM / 60, seconds, ask))
    return Used(ended, limits.refused, used(limits, 0.0, seconds), used(limits, SETTLED_S, seconds))


def used(limits: RateLimits, since: float, until: float) -> float:
    """Percent of what the provider allows in that time, of whichever limit was used the more."""
    tokens = [tokens for at, tokens in limits.taken_at if since <= at < until]
    minutes = (until - since) / 60
    return max(share(len(tokens), RPM * minutes), share(sum(tokens), TPM * minutes))


def config(provider: SimulatedProvider, other: SimulatedProvider) -> dict[str, Any]:
    limits = {"rpm": RPM, "tpm": TPM}
    return {
        "providers": {"one": account(provider), "other": account(other)},
        "deployments": {
            "limited": {"provider": "one", "model": "limited", "limits": limits},
            "spare": {"provider": "other", "model": "spare"},
        },
        "routes": [{"name": "default", "policy": {"pool": ["limited"], "fallback": ["spare"]}}],
    }
