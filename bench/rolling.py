"""A rolling restart under load: ``make rolling``. Read next: balancer.py, what stands before the replicas.

Two replicas, each restarted five times by SIGTERM while ten thousand requests come through a load balancer, from
clients that keep connections alive as the SDKs do, and that never try again. A third are streams. Lost is what ends
with neither a whole answer nor a clear error; an error is counted too. Any of them makes the exit status 1.

``python -m bench.rolling nginx`` puts nginx in the balancer's place.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from bench.balancer import balancing, nginx
from bench.replica import Replica, crew
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider

__all__ = ["Load", "roll"]

REQUESTS, RESTARTS, SEED = 10_000, 5, 7
#: Applications, each with a connection pool of its own, and requests that each has under way at most.
APPLICATIONS, EACH = 12, 8
#: The most that a client pauses between two requests, in seconds.
THINK_S = 0.8
ANSWER = Script(words=8, pace=Pace(0.02, 0.03))


class Load:
    """Clients of one address, until at least ``requests`` were made and ``enough`` is set."""

    def __init__(self, port: int, requests: int, *, think_s: float = THINK_S, seed: int = SEED) -> None:
        self.seen: Counter[str] = Counter()
        self.lost: list[str] = []
        self.enough = asyncio.Event()
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self._requests, self._think_s = requests, think_s
        self._dice = random.Random(seed)

    async def run(self, applications: int = APPLICATIONS, each: int = EACH) -> None:
        """All applications, until it is enough."""
        async with asyncio.TaskGroup() as group:
            for _ in range(applications):
                group.create_task(self._application(each))

    async def _application(self, each: int) -> None:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http, asyncio.TaskGroup() as group:
            for _ in range(each):
                group.create_task(self._client(http))

    async def _client(self, http: httpx2.AsyncClient) -> None:
        while self.seen["asked"] < self._requests or not self.enough.is_set():
            self.seen["asked"] += 1
            stream = self._dice.random() < 1 / 3
            body = {"model": "a", "stream": stream, "messages": [{"role": "user", "content": "Hello!"}]}
            self.seen[await self._ask(http, body)] += 1
            await asyncio.sleep(self._dice.uniform(0, self._think_s))

    async def _ask(self, http: httpx2.AsyncClient, body: dict[str, Any]) -> str:
        try:
            answer = await http.post(self._url, json=body)
        except httpx2.TransportError as error:
            self.lost.append(f"{time.strftime('%X')} {type(error).__name__}: {error}")
            return "lost"
        return kind_of(answer.status_code, answer.text, stream=body["stream"])


def kind_of(status: int, text: str, *, stream: bool) -> str:
    """``whole``, ``error`` for one that is clear, or ``lost``."""
    if status != 200:
        return "error" if '"error"' in text else "lost"
    if stream:
        return "whole" if text.endswith("data: [DONE]\n\n") else "error" if 'data: {"error"' in text else "lost"
    return "whole" if json.loads(text)["choices"][0]["finish_reason"] else "lost"


@asynccontextmanager
async def replicas(directory: Path, *, drain_delay_s: float) -> AsyncIterator[list[Replica]]:
    """Two gateways that run, before one simulated provider."""
    async with SimulatedProvider(ANSWER, keep=1) as provider:
        more = (
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true}}}}\n"
            "deployments: {a: {provider: sim, model: a}}"
        )
        async with crew(directory, more, drain_delay_s=drain_delay_s) as running:
            yield running


async def roll(running: list[Replica], load: Load, *, restarts: int, pause_s: float) -> list[int]:
    """Restart each replica in turn, so many times, under that load. The exit statuses."""
    statuses = []
    for _ in range(restarts):
        for replica in running:
            await asyncio.sleep(pause_s)
            statuses.append(await replica.stop())
            await replica.start()
    await asyncio.sleep(pause_s)
    load.enough.set()
    return statuses


async def main(directory: Path, before: str) -> int:
    """Run it, print what was seen and which promises were kept. The exit status."""
    async with replicas(directory, drain_delay_s=1.0) as running:
        ports = [replica.port for replica in running]
        async with nginx(ports, directory) if before == "nginx" else balancing(ports) as port:
            load, began_at = Load(port, REQUESTS), time.monotonic()
            statuses, _ = await asyncio.gather(roll(running, load, restarts=RESTARTS, pause_s=1.0), load.run())
        took_s = time.monotonic() - began_at
        statuses += [await replica.stop() for replica in running]
        records = [record for replica in running for record in replica.records()]
        trouble = "\n".join(replica.trouble() for replica in running)
    print(f"{before}: {dict(load.seen)} in {took_s:.0f} s, {len(statuses) - 2} restarts")
    print(f"records: {dict(Counter(record['outcome'] for record in records))}")
    print("\n".join(load.lost[:20]) + trouble, end="")
    promises = {
        "no request lost": load.seen["lost"] == 0,
        "no request refused": load.seen["error"] == 0,
        "one record for each": len({record["id"] for record in records}) == len(records) == load.seen["asked"],
        "every process ended well": set(statuses) == {0},
    }
    for promise, kept in promises.items():
        print(f"{'kept  ' if kept else 'BROKEN'} {promise}")
    return 0 if all(promises.values()) else 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="signalbox-rolling-") as folder:
        sys.exit(asyncio.run(main(Path(folder), "nginx" if "nginx" in sys.argv[1:] else "balancer")))
