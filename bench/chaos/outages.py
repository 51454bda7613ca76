"""Providers that are gone or half gone: one of two (c3), half of one (c4), all of them (c6). Read next: fleet.py."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import openai
from msgspec import Struct
from msgspec.structs import replace

from bench.chaos.client import Heard, Load
from bench.chaos.figures import Figure, Finding
from bench.chaos.fleet import account, each_once, fleet, nothing_behind
from bench.times import ms, quantile
from gateway.testing.script import Pace, Script, Scripts
from gateway.testing.server import Received, SimulatedProvider
from gateway.testing.wall.scenarios import TEXT

__all__ = ["all_down", "brown_out", "one_down"]

QUICK = Script(text=TEXT, pace=Pace(0.03, 0.0))
#: Failures in a row that open a breaker whose window is full of successes (gateway/health/health.py); one more try may
#: be under way just then.
IN_A_ROW = 12
#: How long a breaker stays open, and the longest gap between two tries of one burst, in seconds.
OPEN_S, BURST_S = 30.0, 3.0
RATE = 50.0


async def one_down(directory: Path, scale: float) -> Finding:
    """The primary answers nothing but 503, then is back: 50 requests a second over two replicas all the while."""
    open_s = OPEN_S * min(1.0, scale)
    # It is back shortly after a probe has failed: the worst moment for being noticed.
    down_s = max(60.0 * scale, 2 * open_s) + 0.1 * open_s
    async with SimulatedProvider(QUICK, keep=100_000) as main, SimulatedProvider(QUICK) as spare:
        more = (
            f"providers: {{main: {account(main.url)}, spare: {account(spare.url)}}}\n"
            "deployments: {main: {provider: main, model: main}, spare: {provider: spare, model: spare}}\n"
            "routes: [{name: r, policy: {pool: [main], fallback: [spare]}}]\n"
            f"reliability: {{breaker: {{open: {open_s:g}s}}}}"
        )
        async with fleet(directory, more) as running:
            async with Load(running.ports, RATE) as load:
                await asyncio.sleep(10.0 * min(1.0, scale))
                outage = await outage_of(main, down_s, open_s)
                await asyncio.sleep(2.0)
            left = await running.settle()
    figures = [*of_outage(load, outage, open_s), each_once(load, left.records), *nothing_behind(left)]
    notes = (f"{load.asked} requests, outage of {down_s:g} s, {outage.told()}", f"not whole: {load.worse('whole')}")
    return Finding(tuple(figures), notes)


class Outage(Struct, frozen=True):
    """From when to when a provider was down, how long after that it was used again, and what it was asked meanwhile.

    The first burst of tries opens the breakers; the others are probes.
    """

    down_at: float
    up_at: float
    back_s: float
    tries: list[Received]

    def told(self) -> str:
        """When it was asked, for whoever asks why."""
        late = ", ".join(f"{one.at - self.down_at:.2f}" for one in self.probes)
        return f"{len(self.burst)} tries until {self.tripped_at - self.down_at:.2f} s, probes at {late} s"

    @property
    def burst(self) -> list[Received]:
        """The tries up to the first long gap."""
        for n, (one, other) in enumerate(pairwise(self.tries), 1):
            if other.at - one.at > BURST_S:
                return self.tries[:n]
        return self.tries

    @property
    def probes(self) -> list[Received]:
        return self.tries[len(self.burst) :]

    @property
    def tripped_at(self) -> float:
        return self.burst[-1].at if self.burst else self.down_at


async def outage_of(provider: SimulatedProvider, down_s: float, open_s: float) -> Outage:
    """Let it answer 503 for so long, then well; and wait until it is used again."""
    now = time.monotonic
    down_at = now()
    provider.script("*", replace(QUICK, fault="overloaded"))
    await asyncio.sleep(down_s)
    provider.script("*", QUICK)
    up_at, count = now(), provider.count
    async with asyncio.timeout(open_s + 15.0):
        while provider.count == count:
            await asyncio.sleep(0.005)
    return Outage(down_at, up_at, now() - up_at, [one for one in provider.requests if down_at <= one.at < up_at])


def of_outage(load: Load, outage: Outage, open_s: float) -> list[Figure]:
    seen = load.seen()
    before = took(load.between(0.0, outage.down_at))
    after = took(load.between(outage.tripped_at, outage.up_at))
    whole, most = seen["whole"] / load.asked, (IN_A_ROW + 1) * 2
    burst, probes = len(outage.burst), len(outage.probes)
    allowed = int((outage.up_at - outage.tripped_at) / open_s)
    return [
        Figure("answered in full", f"{whole:.3%}", "≥ 99.9 %", whole >= 0.999),
        Figure("p99 after the trip, before", f"{ms(after)}, {ms(before)}", "+ 500 ms", after <= before + 0.5),
        Figure("tries of the primary until the trip", f"{burst}", f"≤ {most}", burst <= most),
        Figure(f"probes, one in {open_s:g} s for the fleet", f"{probes}", f"≤ {allowed}", probes <= allowed),
        Figure("used again after it is back", f"{outage.back_s:.2f} s", f"≤ {open_s:g} s", outage.back_s <= open_s),
    ]


def took(heard: Sequence[Heard]) -> float:
    """The time that 99 of 100 of them took at most, in seconds."""
    return quantile([one.total_s for one in heard], 0.99)


class Browned(Scripts):
    """A provider in a brown-out: three of ten requests fail, the others get their first token five times as late."""

    def __init__(self, normal: Script, dice: random.Random) -> None:
        super().__init__(normal)
        self.down = False
        self._normal, self._dice = normal, dice
        self._slow = replace(normal, pace=Pace(normal.pace.first_s * 5, normal.pace.token_s))

    def take(self, model: str, now: float) -> Script:
        if not self.down:
            return self._normal
        return replace(self._normal, fault="overloaded") if self._dice.random() < 0.3 else self._slow


async def brown_out(directory: Path, scale: float) -> Finding:
    """One of three equal providers browns out, under the strategy that looks at times to first content."""
    normal = Script(text=TEXT, pace=Pace(0.2, 0.0))
    async with SimulatedProvider(normal) as main, SimulatedProvider(normal) as spare:
        main.scripts = mood = Browned(normal, random.Random(7))
        more = (
            f"providers: {{main: {account(main.url)}, b: {account(spare.url)}, c: {account(spare.url)}}}\n"
            "deployments: {main: {provider: main, model: m}, b: {provider: b, model: m}, c: {provider: c, model: m}}\n"
            "routes: [{name: r, policy: {pool: [main, b, c], strategy: latency}}]"
        )
        async with fleet(directory, more) as running:
            async with Load(running.ports, RATE, streams=1.0) as load:
                now = time.monotonic
                await asyncio.sleep(10.0 * scale)
                mood.down, down_at, before = True, now(), main.count
                await asyncio.sleep(30.0 * scale)
                mood.down, up_at, tries = False, now(), main.count - before
            left = await running.settle()
    during, usual = load.between(down_at, up_at), load.between(0.0, down_at)
    whole = sum(one.ended == "whole" for one in during) / len(during)
    slow, normally = (quantile([o.first_s for o in some if o.first_s is not None], 0.95) for some in (during, usual))
    share = tries / len(during)
    figures = [
        Figure("answered in full", f"{whole:.2%}", "≥ 99.5 %", whole >= 0.995),
        Figure("p95 to first content, normally", f"{ms(slow)}, {ms(normally)}", "≤ 1.5 ×", slow <= 1.5 * normally),
        Figure("tries of the browned-out one", f"{tries} ({share:.1%})", "> 0", tries > 0),
        each_once(load, left.records),
        *nothing_behind(left),
    ]
    late = Counter(int(one.asked_at - down_at) for one in during if (one.first_s or 9.0) > 1.5 * normally)
    notes = (
        f"{len(during)} requests during it; not whole: {load.worse('whole')}",
        f"late ones by second: {dict(late)}",
    )
    return Finding(tuple(figures), notes)


async def all_down(directory: Path, scale: float) -> Finding:
    """Three providers, each down in its own way: clients at a steady rate, and OpenAI's SDK with its own retries."""
    faults = {"a": "overloaded", "b": "reset", "c": "server_error"}
    down_s, open_s = 35.0 * scale, OPEN_S * min(1.0, scale)
    async with SimulatedProvider(QUICK, keep=100_000) as provider:
        accounts = ", ".join(f"{name}: {account(provider.url)}" for name in faults)
        deployments = ", ".join(f"{name}: {{provider: {name}, model: {name}}}" for name in faults)
        more = (
            f"providers: {{{accounts}}}\ndeployments: {{{deployments}}}\n"
            "routes: [{name: r, policy: {pool: [a, b, c]}}]\n"
            f"reliability: {{breaker: {{open: {open_s:g}s}}}}"
        )
        async with fleet(directory, more) as running:
            now = time.monotonic
            async with Load(running.ports, 20.0) as load:
                await asyncio.sleep(3.0)
                for name, fault in faults.items():
                    provider.script(name, replace(QUICK, fault=fault))
                down_at = now()
                calls = await sdk_calls(running.ports, until=down_at + down_s)
                ended_at = now()
            left = await running.settle()
        tries = {name: [r.at for r in provider.asked(name) if down_at <= r.at < ended_at] for name in faults}
    tripped_at = max(until_gap(times) for times in tries.values()) + 0.2
    after = load.between(tripped_at, ended_at)
    told = sum("retry-after" in one.headers for one in after)
    often = max(sum(at >= tripped_at for at in times) for times in tries.values()) / (ended_at - tripped_at)
    times = [one.total_s for one in after]
    asked = sum(str(record.get("client", "")).startswith("AsyncOpenAI") for record in left.records)
    ours = [record for record in left.records if "n" in record.get("tags", {})]
    lost = load.seen()["lost"] + load.seen()["cut"]
    figures = [
        Figure("requests after the trip, p99", ms(quantile(times, 0.99)), "≤ 50 ms", quantile(times, 0.99) <= 0.05),
        Figure("told when to come again", f"{told} of {len(after)}", "all", told == len(after)),
        Figure("tries a second at one target, after the trip", f"{often:.2f}", "≤ 1", often <= 1.0),
        Figure("requests for each call of the SDK", f"{asked / calls:.2f}", "≤ 1.3", asked <= 1.3 * calls),
        Figure("neither an answer nor a clear error", f"{lost}", "0", not lost),
        each_once(load, ours),
        *nothing_behind(left),
    ]
    spread = ", ".join(f"{name} {len(times)}" for name, times in tries.items())
    slow = Counter(round(one.asked_at - down_at, 1) for one in after if one.total_s > 0.05)
    notes = (
        f"{calls} calls of the SDK; tries while all are down: {spread}; tripped after {tripped_at - down_at:.2f} s",
        f"not whole: {load.worse('whole')}",
        f"median after the trip {ms(quantile(times, 0.5))}; over 50 ms, by when: {dict(slow)}",
    )
    return Finding(tuple(figures), notes)


async def sdk_calls(ports: Sequence[int], until: float) -> int:
    """Calls of OpenAI's SDK as it comes, two at a time, each some 0.2 s after the one before. How many."""
    calls = 0

    async def client(port: int) -> None:
        nonlocal calls
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as sdk:
            while time.monotonic() < until:
                calls += 1
                with suppress(openai.APIError):
                    await sdk.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hello!"}])
                await asyncio.sleep(0.2)

    await asyncio.gather(*map(client, ports))
    return calls


def until_gap(times: Sequence[float]) -> float:
    """When the first burst of tries ends."""
    return next((one for one, other in pairwise(times) if other - one > BURST_S), times[-1])
