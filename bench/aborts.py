"""A storm of clients that leave: ``make aborts``. Read next: soak.py, where some leave among all sorts of others.

Two thousand clients, two hundred a second, leave one gateway process in four phases of a request: while it is sent,
while the gateway waits for the head of an answer, before the first token, and in the middle of a stream. Measured is
how long after a client's close the provider sees the gateway's; clients and provider share a process and so a clock.
Afterwards nothing may be in flight, no file be open that was not before, and there must be one record for each, as
``cancelled``.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections import Counter, deque
from pathlib import Path

from msgspec import Struct

from bench.replica import Replica
from bench.times import ms, quantile
from gateway.testing.faults import SlowFirstToken
from gateway.testing.script import Pace, Script
from gateway.testing.server import Received, SimulatedProvider

__all__ = ["Figures", "promises", "spread", "storm"]

ABORTS, RATE, SEED, LIMIT_S = 2_000, 200.0, 7, 0.1
#: The phases in which a client leaves. Each is a model, too, which is slow in just that place.
SENDING, HEAD, TOKEN, FLOWING = PHASES = ("sending", "head", "token", "flowing")


class Figures(Struct, frozen=True):
    """What came of a storm. ``closed_s`` are seconds from a client's close to the gateway's, by phase, sorted."""

    closed_s: dict[str, list[float]]
    #: Requests that had an upstream connection which nobody has closed yet.
    left_open: int
    outcomes: Counter[str]
    ids: int
    inflight: float
    #: Files open after the storm that were not before it; connections to the provider that are kept do not count.
    more_files: int
    trouble: str


class Arrivals(deque[Received]):
    """The requests as a provider keeps them, which wakes who waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.here: dict[str, asyncio.Future[Received]] = {}

    def append(self, request: Received) -> None:
        """One more is here."""
        self.here[request.fields["user"]].set_result(request)


async def storm(directory: Path, aborts: int, rate: float, seed: int = SEED) -> Figures:
    """So many aborts at that rate, in all phases in turn."""
    async with SimulatedProvider(keep=1) as provider:
        provider.script(HEAD, Script(fault="silence"))
        provider.script(TOKEN, Script(fault=SlowFirstToken(60.0)))
        provider.script(FLOWING, Script(words=10_000, pace=Pace(0, 0.02)))
        provider.requests = arrivals = Arrivals()
        deployments = ", ".join(f"{phase}: {{provider: sim, model: {phase}}}" for phase in PHASES)
        replica = Replica(
            directory,
            "gateway",
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true}}}}\n"
            f"deployments: {{{deployments}}}",
        )
        try:
            await replica.start()
            return await _storm(provider, arrivals, replica, aborts, rate, random.Random(seed))
        finally:
            replica.kill()


async def _storm(
    provider: SimulatedProvider, arrivals: Arrivals, replica: Replica, aborts: int, rate: float, dice: random.Random
) -> Figures:
    now = asyncio.get_running_loop().time
    arrivals.here = {str(n): asyncio.get_running_loop().create_future() for n in range(aborts)}
    # The first by itself: with it the journal is opened.
    first_at = await Client(replica.port, 0, 0.0, stream=False).leave(PHASES[0], arrivals)
    await asyncio.sleep(0.5)
    before = replica.open_files()
    started_at, leaving = now(), []
    for n in range(1, aborts):
        await asyncio.sleep(started_at + n / rate - now())
        client = Client(replica.port, n, dice.uniform(0.0, 0.1), stream=n % 8 < 4)
        leaving.append(asyncio.create_task(client.leave(PHASES[n % 4], arrivals)))
    left_at = [first_at, *await asyncio.gather(*leaving)]
    await asyncio.sleep(1.0)  # the gauge is set ten times a second, and records are written in the background
    closed: dict[str, list[float]] = {phase: [] for phase in PHASES[1:]}
    left_open = 0
    for n, at in enumerate(left_at):
        here = arrivals.here[str(n)]
        if not here.done():
            continue
        if (seen_at := here.result().left_at) is None:
            left_open += 1
        else:
            closed[PHASES[n % 4]].append(seen_at - at)
    inflight, more = await replica.inflight(), replica.open_files() - len(provider.connections) - before
    await replica.stop()
    records = replica.records()
    return Figures(
        {phase: sorted(times) for phase, times in closed.items()},
        left_open,
        Counter(record["outcome"] for record in records),
        len({record["id"] for record in records}),
        inflight,
        more,
        replica.trouble(),
    )


class Client(Struct, frozen=True):
    """A client that leaves: ``after_s`` seconds into a phase of its request."""

    port: int
    n: int
    after_s: float
    stream: bool

    async def leave(self, phase: str, arrivals: Arrivals) -> float:
        """When it left, in monotonic seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        request = self._request(phase, stream=self.stream or phase == FLOWING)
        writer.write(request[:-20] if phase == SENDING else request)
        if phase == FLOWING:
            await reader.readuntil(b'"content":"')
        elif phase != SENDING:
            await arrivals.here[str(self.n)]
        await asyncio.sleep(self.after_s)
        at = asyncio.get_running_loop().time()
        writer.transport.abort()
        return at

    def _request(self, phase: str, *, stream: bool) -> bytes:
        fields = {"model": phase, "stream": stream, "user": str(self.n)}
        body = json.dumps({**fields, "messages": [{"role": "user", "content": "Hello!"}]}).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def report(figures: Figures, aborts: int) -> int:
    """Print what was measured and which promises were kept. The exit status."""
    for phase, times in figures.closed_s.items():
        print(f"{phase:8} {len(times):5} upstream connections closed after {spread(times)}")
    everything = sorted(time for times in figures.closed_s.values() for time in times)
    print(f"{'all':8} {len(everything):5} upstream connections closed after {spread(everything)}")
    print(f"records: {dict(figures.outcomes)}; files more than before: {figures.more_files}")
    print(figures.trouble, end="")
    kept = promises(figures, aborts)
    for promise, held in kept.items():
        print(f"{'kept  ' if held else 'BROKEN'} {promise}")
    return 0 if all(kept.values()) else 1


def promises(figures: Figures, aborts: int) -> dict[str, bool]:
    """What must hold after a storm of so many, and whether it does."""
    everything = sorted(time for times in figures.closed_s.values() for time in times)
    return {
        f"closed within {LIMIT_S * 1000:.0f} ms, 99 of 100": quantile(everything, 0.99) <= LIMIT_S,
        "all closed": figures.left_open == 0,
        "nothing in flight": figures.inflight == 0,
        "no file left open": figures.more_files <= 0,
        "one record for each, cancelled": figures.outcomes == {"cancelled": aborts} and figures.ids == aborts,
        "no traceback": not figures.trouble,
    }


def spread(times: list[float]) -> str:
    return f"{ms(quantile(times, 0.5))} (median), {ms(quantile(times, 0.99))} (p99), {ms(times[-1])} (most)"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="signalbox-aborts-") as folder:
        sys.exit(report(asyncio.run(storm(Path(folder), ABORTS, RATE)), ABORTS))
