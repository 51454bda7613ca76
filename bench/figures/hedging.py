"""R25: a second try beside a slow first one: what it saves, what it costs, and how soon the loser is let go.

Read next: table.py. Three answers in a hundred begin late, by half a second to three seconds; the other try is as
likely to.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.figures.client import Clients, Told
from bench.figures.figure import Figure, at_least, at_most, ms, quantile, share
from bench.figures.ground import Drawn, account, gateways
from bench.figures.load import at_rate
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider

__all__ = ["Raced", "hedging", "race"]

SLOW, SLOW_S, QUICK_S = 0.03, (0.5, 3.0), 0.05
AFTER, EXTRA = "200ms", 0.02
RATE, SECONDS = 60.0, 40.0


class Raced(Struct, frozen=True):
    """Seconds until the first content without and with hedges; tries beyond one each; how late losers were let go."""

    plain: list[float]
    hedged: list[float]
    extra: int
    let_go: list[float]


async def hedging(directory: Path) -> list[Figure]:
    """R25."""
    raced = await race(directory, RATE, SECONDS)
    before, after = quantile(raced.plain, 0.99), quantile(raced.hedged, 0.99)
    what = f"p99 of first contents, {ms(before):.0f} ms without hedges, {ms(after):.0f} ms with: saved"
    return [
        at_least("R25", what, share(before - after, before), 30, "{:.0f} %"),
        at_most(
            "R25", f"tries more, of {len(raced.hedged):,} requests", share(raced.extra, len(raced.hedged)), 2, "{} %"
        ),
        at_most(
            "R25",
            f"until losers are let go: p99 of {len(raced.let_go)}",
            ms(quantile(raced.let_go, 0.99)),
            100,
            "{:g} ms",
        ),
    ]


async def race(directory: Path, rate: float, seconds: float) -> Raced:
    """The same load with and without hedges, at the same time, each at deployments of its own."""
    dice = random.Random(7)
    async with SimulatedProvider(keep=100_000) as provider:
        provider.scripts = Drawn(lambda model: script(dice))
        async with gateways(directory, config(provider)) as (gateway,), Clients(gateway.port) as asking:

            async def ask(n: int) -> tuple[str, Told]:
                return str(n), await asking.ask("hedged" if n % 2 else "plain", stream=True, user=str(n))

            told = dict(await at_rate(2 * rate, seconds, ask))
        assert all(one.ended == "whole" for one in told.values())
        plain, hedged = ([one.first_s or 0.0 for user, one in told.items() if int(user) % 2 == side] for side in (0, 1))
        won_at = {user: one.asked_at + (one.first_s or 0.0) for user, one in told.items()}
        let_go = [r.left_at - won_at[r.fields["user"]] for r in provider.requests if r.left_at is not None]
        return Raced(plain, hedged, provider.count - len(told), let_go)


def script(dice: random.Random) -> Script:
    first_s = dice.uniform(*SLOW_S) if dice.random() < SLOW else QUICK_S
    return Script(words=12, pace=Pace(first_s, 0.005))


def config(provider: SimulatedProvider) -> dict[str, Any]:
    """Two routes to two deployments each, which nobody else uses."""
    names = ("plain-a", "plain-b", "hedged-a", "hedged-b")
    hedge = {"after": AFTER, "extra": EXTRA}
    policies = {"plain": {"pool": [*names[:2]]}, "hedged": {"pool": [*names[2:]], "hedge": hedge}}
    return {
        "providers": {"sim": account(provider)},
        "deployments": {name: {"provider": "sim", "model": name} for name in names},
        "routes": [{"name": name, "when": {"model": name}, "policy": policy} for name, policy in policies.items()],
    }
