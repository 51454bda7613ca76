"""R3: no answer that broke off is ever handed out as a whole one. Read next: failover.py.

Bodies break at any byte, in four ways, before and after content has gone out; callers want streams and whole answers,
from a provider whose streams are made into whole answers and from one that is asked as the caller asked; what broke is
left at that, or gone on with in either of two ways by another model, which breaks as well, half of the time, or which
says something else altogether.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import cycle, product
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.figures.client import Clients, Told
from bench.figures.figure import Figure
from bench.figures.ground import NEVER_OPENS, Drawn, account, gateways
from bench.figures.load import at_once
from gateway.testing.faults import Torn
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider
from gateway.testing.wall.scenarios import TEXT

__all__ = ["Tear", "tear", "truncation"]

REQUESTS, AT_ONCE, SEED = 10_000, 96, 7
#: The canonical answers: short, since there are many of them.
ANSWER = TEXT.split(". ")[0] + "."
OTHER = "Another model says something else, and says all of it."
KINDS = ("openai", "openai_compatible")
#: What follows a break: nobody else; the same text again; a model that goes on; one that says something else.
WAYS = ("alone", "spare", "splice", "continue", "other")
TIMEOUTS = {"first_token": "250ms", "stall": "150ms", "no_content": "250ms", "first_byte": "1s"}


class Tear(Struct, frozen=True):
    """What came of so many torn answers. ``wrong`` are those that should not have passed for a good one."""

    ended: Counter[str]
    wrong: list[tuple[str, Told]]
    #: Tries at the provider.
    tries: int


async def truncation(directory: Path) -> list[Figure]:
    """R3."""
    torn = await tear(directory, REQUESTS, AT_ONCE)
    for which, told in torn.wrong[:5]:
        print(f"   wrong: {which}: {told}")
    seen = f"{len(torn.wrong)} ({torn.ended['whole']} whole all the same, {torn.ended['error']} told of it)"
    what = f"torn answers taken for whole ones, of {REQUESTS:,} requests"
    return [Figure("R3", what, seen, "0", not torn.wrong)]


async def tear(directory: Path, requests: int, clients: int, seed: int = SEED) -> Tear:
    """So many requests in all ways in turn."""
    dice = random.Random(seed)
    async with SimulatedProvider(keep=1) as provider:
        provider.scripts = Drawn(lambda model: script(model, dice))
        async with gateways(directory, config(provider)) as (gateway,), Clients(gateway.port) as asking:
            ways = cycle(product(KINDS, WAYS, (True, False)))
            wrong, ended = [], Counter[str]()

            async def ask(n: int) -> None:
                kind, way, stream = next(ways)
                told = await asking.ask(f"{kind}-{way}", stream=stream)
                ended[told.ended] += 1
                if told.ended != "error" and not is_whole(told):
                    wrong.append((f"{kind} {way} {'stream' if stream else 'JSON'}", told))

            await at_once(clients, requests, ask)
        return Tear(ended, wrong, provider.count)


def is_whole(told: Told) -> bool:
    """Whether a caller may take it for an answer: one of the canonical ones, whole, with its finish reason."""
    return told.ended == "whole" and told.said in (ANSWER, OTHER)


def script(model: str, dice: random.Random) -> Script:
    """An answer of one of the models: always torn at the first one, half of the time at the others."""
    text = OTHER if model == "other" else ANSWER
    if model != "first" and dice.random() < 0.5:
        return Script(text=text)
    how = dice.choice(("close", "reset", "stall", "end"))
    return Script(text=text, fault=Torn(dice.random(), how, pause_s=dice.choice((0.0, 0.003))))  # type: ignore[arg-type]


def config(provider: SimulatedProvider) -> dict[str, Any]:
    """Accounts of both kinds, and a route for each way of going on."""
    deployments = {
        f"{kind}-at-{model}": {"provider": kind, "model": model, "prefill": model == "prefills"}
        for kind, model in product(KINDS, ("first", "again", "prefills", "other"))
    }
    return {
        "providers": {kind: account(provider, kind, timeouts=TIMEOUTS) for kind in KINDS},
        "deployments": deployments,
        "routes": [route(kind, way) for kind, way in product(KINDS, WAYS)],
        "reliability": NEVER_OPENS,
    }


def route(kind: str, way: str) -> dict[str, Any]:
    rescue = {"splice": "splice", "other": "splice", "continue": "continue"}.get(way, "off")
    spare = {"alone": [], "continue": ["prefills"], "other": ["other"]}.get(way, ["again"])
    policy = {
        "pool": [f"{kind}-at-first"],
        "fallback": [f"{kind}-at-{model}" for model in spare],
        "rescue": rescue,
        "retry": {"base": "5ms"},
    }
    return {"name": f"{kind}-{way}", "when": {"model": f"{kind}-{way}"}, "policy": policy}
