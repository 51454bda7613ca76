"""A configuration that changes every second, every third time for the worse, under load (c10). Read next: fleet.py."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import cycle
from pathlib import Path

from bench.chaos.client import Load
from bench.chaos.figures import Figure, Finding
from bench.chaos.fleet import account, each_once, fleet, nothing_behind
from bench.chaos.outages import QUICK, RATE
from gateway.testing.server import SimulatedProvider
from tests.test_reloading import POISONS

__all__ = ["reloads"]

READ, REFUSED = 200, 422


async def reloads(directory: Path, scale: float) -> Finding:
    """Sixty files in sixty seconds for each of two replicas, under 50 requests a second."""
    files, poisons = max(3, int(60 * scale)), cycle(POISONS)
    wanted: Counter[int] = Counter()
    got: Counter[int] = Counter()
    wrong: list[str] = []
    async with SimulatedProvider(QUICK) as provider:

        def good(n: int) -> str:
            return (
                f"providers: {{sim: {account(provider.url)}}}\n"
                "deployments: {a: {provider: sim, model: a, price: {input: 1, output: 2}}}\n"
                f"routes: [{{name: r, policy: {{pool: [a], timeout: 30{n:03}ms}}}}]"
            )

        async with fleet(directory, good(0)) as running:
            async with Load(running.ports, RATE) as load:
                for n in range(1, files + 1):
                    await asyncio.sleep(load.began_at + n - time.monotonic())
                    what, poison, _ = next(poisons) if n % 3 == 0 else ("", "", "")
                    text = poison if what is None else good(n).replace(what, poison)
                    statuses = await running.configure(text, whole=what is None)
                    expected = REFUSED if n % 3 == 0 else READ
                    wanted[expected] += len(statuses)
                    got.update(statuses)
                    wrong += [f"file {n}: {status}" for status in statuses if status != expected]
            left = await running.settle()
    failed = load.asked - load.seen()["whole"]
    worlds = len({record["world"] for record in left.records})
    figures = [
        Figure("requests that failed", f"{failed} of {load.asked}", "0", not failed),
        Figure("files refused", f"{got[REFUSED]}", f"{wanted[REFUSED]}", not wrong),
        Figure("files taken over", f"{got[READ]}", f"{wanted[READ]}", got == wanted),
        Figure(
            "configurations that requests were made under", f"{worlds}", f"{files - files // 3}", worlds > files // 3
        ),
        each_once(load, left.records),
        *nothing_behind(left),
    ]
    return Finding(tuple(figures), (f"not whole: {load.worse('whole')}", *wrong))
