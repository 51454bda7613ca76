"""R5 and R8: a primary that is down is left alone by the whole fleet; one that fails now and then is still used.

Read next: amplification.py, where all are down.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bench.figures.client import Clients
from bench.figures.figure import Figure, at_least, at_most, share
from bench.figures.ground import Drawn, account, gateways
from bench.figures.load import at_rate
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider

__all__ = ["Fared", "fare", "long_outage", "outage", "partial"]

#: R5 in full: 120 s of outage, a breaker that opens for 30 s, 20 requests a second at two replicas.
DOWN_S, OPEN_S, RATE, REPLICAS = 120.0, 30.0, 20.0, 2
#: The same in a sixth of the time.
QUICKER = 6.0
#: R8: how often the primary fails, for how long, at which rate.
SHARE, PARTIAL_S, PARTIAL_RATE = 0.3, 40.0, 50.0
#: Calls that go well before: of a primary that begins like this a third is left alone for its first half minute, since
#: three failures among the first few calls are taken for an outage.
WARM = 100
HEALTHY = Script(words=12, pace=Pace(0.03))


class Fared(Struct, frozen=True):
    """How clients fared, and how many requests either provider had; ``primary`` counts probes as well."""

    ended: Counter[str]
    primary: int
    standby: int

    @property
    def asked(self) -> int:
        """Requests in all."""
        return self.ended.total()


async def outage(directory: Path) -> list[Figure]:
    """R5, in a sixth of the time."""
    return await _outage(directory, QUICKER)


async def long_outage(directory: Path) -> list[Figure]:
    """R5 in its own time."""
    return [replace(figure, id="R5-full") for figure in await _outage(directory, 1.0)]


async def _outage(directory: Path, quicker: float) -> list[Figure]:
    down = Script(fault="overloaded")
    open_s = OPEN_S / quicker
    breaker = {"open": f"{open_s:g}s", "window": f"{open_s:g}s"}
    fared = await fare(directory, Drawn(lambda model: down), RATE, DOWN_S / quicker, breaker, REPLICAS)
    times = f"{DOWN_S / quicker:.0f} s down, open for {open_s:.0f} s"
    return [
        at_most("R5", f"tries at a primary that is {times}; 2 replicas", fared.primary, 3 * REPLICAS + 5),
        at_least("R5", f"success meanwhile, of {fared.asked:,} requests", success(fared), 100.0, "{:.2f} %"),
    ]


async def partial(directory: Path) -> list[Figure]:
    """R8."""
    dice = random.Random(7)
    calls = count()

    def draw(model: str) -> Script:
        good = next(calls) < WARM or dice.random() >= SHARE
        return HEALTHY if good else Script(fault="server_error")

    fared = await fare(directory, Drawn(draw), PARTIAL_RATE, PARTIAL_S, {}, 1)
    used = share(fared.asked - fared.standby, fared.asked)
    what = f"answered by that primary, which has {share(fared.primary, fared.asked):.0f} tries for 100 requests"
    return [
        at_least("R8", f"success at {SHARE:.0%} errors, of {fared.asked:,} requests", success(fared), 99.5, "{:.2f} %"),
        at_least(
            "R8",
            what,
            used,
            50.0,
            "{:.1f} %",
        ),
    ]


def success(fared: Fared) -> float:
    """Percent of whole answers."""
    return share(fared.ended["whole"], fared.asked)


async def fare(
    directory: Path, primary: Drawn, rate: float, seconds: float, breaker: Mapping[str, Any], replicas: int
) -> Fared:
    """A load on replicas whose primary does as that says, while another provider stands by. Half of it streams."""
    async with SimulatedProvider(keep=1) as failing, SimulatedProvider(HEALTHY, keep=1) as standby:
        failing.scripts = primary
        config = {
            "providers": {"one": account(failing), "other": account(standby)},
            "deployments": {
                "primary": {"provider": "one", "model": "primary"},
                "standby": {"provider": "other", "model": "standby"},
            },
            "routes": [{"name": "default", "policy": {"pool": ["primary"], "fallback": ["standby"]}}],
            "reliability": {"breaker": dict(breaker)},
        }
        async with gateways(directory, config, replicas) as crew, Clients(*[g.port for g in crew]) as asking:

            async def ask(n: int) -> str:
                return (await asking.ask("auto", stream=n % 4 < 2)).ended

            ended = await at_rate(rate, seconds, ask)
            return Fared(Counter(ended), failing.count, standby.count)
