"""The same while Redis fails over, forgets its last second, or all of it. Read next: redis.py, how it does.

Calls take longer here, so that all of it happens while the budget runs out, and again when nothing is left of it: what
is forgotten then would be spent once more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bench.figures.figure import Figure, at_most
from bench.money.books import Truth
from bench.money.crew import return_all, run_all
from bench.money.layer import ACCOUNT, CALLS, GRACE, Outcome, figures, orders, outcome
from bench.money.redis import LOSSES, Pair, pair
from bench.money.watch import Watch

__all__ = ["closed", "grace"]

#: Between the end of one loss and the next, in seconds, and how often all of them happen.
PAUSE_S, ROUNDS = 4.0, 2
#: The time that a call takes on average, in seconds.
HOLD_S = 2.0
#: How long nobody may know: until a Sentinel has noticed (1 s) and another is in charge, and while that grants nothing.
UNKNOWN_S = 7.0
#: Windows in which answers are counted, and how soon after a loss, in seconds.
WINDOW_S, SOON_S = 0.25, 10.0


async def closed(directory: Path, *, quick: bool = False) -> list[Figure]:
    """Nothing is spent that is not in the budget."""
    seen, began = await torture(directory, "closed", 0, quick=quick)
    return [*figures("M3", seen, 0), *refusals("M3", began, seen.truth)]


async def grace(directory: Path, *, quick: bool = False) -> list[Figure]:
    """The same where a little more may be spent while nobody knows."""
    seen, began = await torture(directory, "grace", GRACE, quick=quick)
    return [*figures("M4", seen, GRACE), *refusals("M4", began, seen.truth)]


async def torture(
    directory: Path, on_loss: Literal["closed", "grace"], most: int, *, quick: bool
) -> tuple[Outcome, list[tuple[str, float]]]:
    """All calls, and when each loss began (Unix time)."""
    async with pair(directory) as servers:
        calls, hold_s = (CALLS // 10, HOLD_S * 5) if quick else (CALLS, HOLD_S)
        all_orders = orders(directory, servers.url, on_loss, most, calls=calls, hold_s=hold_s)
        with Watch(ACCOUNT, lambda: servers.port) as watch:
            running = asyncio.create_task(run_all(all_orders))
            began = await lose(servers, 1 if quick else ROUNDS)
            killed = await running
            await return_all(all_orders)
        return outcome(all_orders, killed, watch.most, servers.port), began


async def lose(servers: Pair, rounds: int) -> list[tuple[str, float]]:
    """All losses, one after the other."""
    began = []
    for _ in range(rounds):
        for name, loss in LOSSES.items():
            await asyncio.sleep(PAUSE_S)
            began.append((name, await loss(servers)))
    return began


def refusals(id: str, began: Sequence[tuple[str, float]], truth: Truth) -> list[Figure]:
    """For how long after each loss most were told that nobody knows; the worst of its rounds."""
    longest: dict[str, float] = {}
    for (name, at), end in zip(began, [at for _, at in began[1:]] + [float("inf")], strict=True):
        longest[name] = max(longest.get(name, 0.0), until_told(at, truth, min(SOON_S, end - at)))
    return [at_most(id, f"{name}: told 503 for, s", s, UNKNOWN_S, "{:.1f}") for name, s in longest.items()]


def until_told(at: float, truth: Truth, soon_s: float = SOON_S) -> float:
    """The end of the last window, so soon after a loss, in which fewer were told than not."""
    unknown = Counter(int((told_at - at) / WINDOW_S) for _, told_at in truth.unknown)
    told = Counter(int((told_at - at) / WINDOW_S) for told_at in truth.told)
    bad = [n for n in range(int(soon_s / WINDOW_S)) if unknown[n] > told[n]]
    return (bad[-1] + 1) * WINDOW_S if bad else 0.0
