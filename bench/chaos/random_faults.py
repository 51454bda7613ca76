"""Providers that fail at random in every way we know, and clients that leave (c2). Read next: fleet.py.

Each target is by turns well and ill, for exponentially distributed times: a Markov chain. What it is ill with comes
from a shuffled deck of all faults, so that each is dealt. What it sends is counted on its way out, as its bill.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bench.chaos.client import Load
from bench.chaos.figures import Figure, Finding
from bench.chaos.fleet import Fleet, account, each_once, fleet, nothing_behind
from gateway.testing.acts import Act, Head, Send
from gateway.testing.faults import FAULTS, Fault, Refuse
from gateway.testing.prompt import Prompt
from gateway.testing.script import Pace, Script, Scripts, fault_of
from gateway.testing.server import SimulatedProvider
from gateway.testing.wall.scenarios import SCENARIOS, TEXT

__all__ = ["random_faults", "said"]

TARGETS: Final = ("a", "b", "c", "d")
#: The usual times that a target is well and ill, in seconds.
WELL_S, ILL_S = 1.0, 1.2
RATE, LEAVING = 60.0, 0.2
HEALTHY: Final = Script(text=TEXT, pace=Pace(0.02, 0.003))
#: Micro-dollars for an input and an output token: whole numbers, so that nothing is rounded.
INPUT, OUTPUT = 1, 2
LARGE: Final = "context_window: 128k"
TIMEOUTS: Final = "timeouts: {connect: 1s, first_byte: 1s, first_token: 1s, stall: 1s, no_content: 1s, total: 5s}"


class Bill(Struct):
    """What one answer of a provider came to: tokens that it sent, and those that it said it had used."""

    output: int = 0
    said: tuple[int, int] | None = None


class Counted(Struct, frozen=True):
    """A fault, or none, with what goes out counted under the request's id."""

    fault: Fault | None
    bills: dict[str, Bill]

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        """As Fault.rewrite."""
        bill = Bill()
        for act in acts if self.fault is None else self.fault.rewrite(acts, prompt):
            match act:
                case Head(_, headers):
                    bill = self.bills.setdefault(dict(headers).get("x-request-id", ""), Bill())
                case Send(data, "usage" | "body"):
                    bill.said = said(data) or bill.said
                case Send(_, "content"):
                    bill.output += 1
            yield act


def said(data: bytes) -> tuple[int, int] | None:
    """The tokens that an answer names."""
    try:
        usage = msgspec.json.decode(data.removeprefix(b"data: ").strip()).get("usage")
    except msgspec.DecodeError:
        return None
    return (usage["prompt_tokens"], usage["completion_tokens"]) if usage else None


class Moods(Scripts):
    """What each target does now. ``dealt`` counts the faults; ``keyless`` are targets whose key was refused."""

    def __init__(self, faults: Mapping[str, Fault], dice: random.Random) -> None:
        super().__init__(HEALTHY)
        self.bills: dict[str, Bill] = {}
        self.dealt: Counter[str] = Counter()
        self.keyless: set[str] = set()
        self._faults, self._dice = faults, dice
        self._deck: list[str] = []
        self._now: dict[str, tuple[float, str | None]] = dict.fromkeys(TARGETS, (0.0, ""))

    def take(self, model: str, now: float) -> Script:
        """What a target does with a request that comes now."""
        name = self._mood(model, now)
        if name is not None and REFUSES_KEYS & {name}:
            self.keyless.add(model)
        return replace(HEALTHY, fault=Counted(self._faults[name] if name else None, self.bills))

    def _mood(self, model: str, now: float) -> str | None:
        ends_at, name = self._now.get(model, (0.0, ""))
        if now >= ends_at:
            name = None if name is not None else self._deal()
            lasts_s = self._dice.expovariate(1 / (WELL_S if name is None else ILL_S))
            self._now[model] = (now + lasts_s, name)
        return name

    def _deal(self) -> str:
        if not self._deck:
            self._deck = self._dice.sample([*self._faults], len(self._faults))
        name = self._deck.pop()
        self.dealt[name] += 1
        return name


#: Faults after which a key is left alone for minutes, so that somebody has to give another one.
REFUSES_KEYS: Final = frozenset({"unauthorized", "forbidden", "insufficient_quota", "x02", "x03"})


def all_faults(port: int) -> dict[str, Fault]:
    """Every fault that has a name, and those of the wall."""
    wall = {scenario.id: fault_of(scenario.scripts[0].fault) for scenario in SCENARIOS.values()}
    known = {**FAULTS, **{name: fault for name, fault in wall.items() if fault is not None}}
    return {name: placed(fault, port) for name, fault in known.items()}


def placed(fault: Fault, port: int) -> Fault:
    if not isinstance(fault, Refuse):
        return fault
    return replace(fault, headers=tuple((name, value.replace("{port}", str(port))) for name, value in fault.headers))


async def random_faults(directory: Path, scale: float) -> Finding:
    """A minute of it, at 60 requests a second to two replicas; a third are streams, a fifth of the clients leave."""
    provider = SimulatedProvider(keep=1)
    async with provider:
        faults = all_faults(provider.port)
        provider.scripts = moods = Moods(faults, random.Random(7))
        async with fleet(directory, config(provider.url, Counter())) as running:
            async with Load(running.ports, RATE, leaving=LEAVING) as load:
                giving = asyncio.create_task(give_keys(running, moods, provider.url))
                await asyncio.sleep(60.0 * scale)
                giving.cancel()
            left = await running.settle()
    seen = load.seen()
    figures = [
        Figure("neither a whole answer nor a clear error", f"{seen['lost']}", "0", not seen["lost"]),
        Figure("cut answers passed off as whole", f"{seen['cut']}", "0", not seen["cut"]),
        each_once(load, left.records),
        *of_money(left.records, moods.bills),
        *nothing_behind(left),
    ]
    ended = Counter(record["outcome"] for record in left.records)
    kinds = Counter(a["failure"]["kind"] for r in left.records for a in r.get("attempts", ()) if "failure" in a)
    notes = (
        f"{load.asked} requests: {dict(seen)}; {len(moods.dealt)} of {len(faults)} faults, {moods.dealt.total()} times",
        f"records: {dict(ended)}; failed tries: {dict(kinds)}",
        f"not whole: {load.worse('whole', 'left')}",
    )
    return Finding(tuple(figures), notes)


def config(url: str, keys: Mapping[str, int]) -> str:
    """Four accounts, each with its n-th key; two of the targets take prefill, the others longer prompts."""
    accounts = ", ".join(f"{name}: {account(url, f'api_key: key-{name}-{keys[name]}, {TIMEOUTS}')}" for name in TARGETS)
    deployments = ", ".join(
        f"{name}: {{provider: {name}, model: {name}, {'context_window: 8k, prefill: true' if name in 'ab' else LARGE},"
        f" price: {{input: {INPUT}, output: {OUTPUT}}}}}"
        for name in TARGETS
    )
    return (
        f"providers: {{{accounts}}}\ndeployments: {{{deployments}}}\n"
        "routes: [{name: r, policy: {strategy: round_robin, rescue: splice, timeout: 10s}}]\n"
        "reliability: {breaker: {window: 5s, open: 2s, idle_probe: 500ms}}"
    )


async def give_keys(running: Fleet, moods: Moods, url: str) -> None:
    """Do what an operator would: a key that was refused is replaced within two seconds, on all replicas."""
    keys: Counter[str] = Counter()
    while True:
        await asyncio.sleep(2.0)
        if moods.keyless:
            keys.update(moods.keyless)
            moods.keyless.clear()
            await running.configure(config(url, keys))


def of_money(records: Sequence[dict[str, Any]], bills: Mapping[str, Bill]) -> list[Figure]:
    """Records against what was sent: what the provider said to the token, what was estimated in sum."""
    tries = [one for record in records for one in record.get("attempts", ())]
    paid = [one for one in tries if "usage" in one]
    exact = [one for one in paid if not one["usage"].get("estimated")]
    guessed = [one for one in paid if one["usage"].get("estimated")]
    wrong = sum(bill_of(one, bills).said != (one["usage"]["input"], one["usage"]["output"]) for one in exact)
    sums = sum(
        record.get("cost", 0) != sum(price(one["usage"]) for one in record.get("attempts", ()) if "usage" in one)
        for record in records
    )
    sent = sum(bill_of(one, bills).output for one in guessed)
    counted = sum(one["usage"].get("output", 0) for one in guessed)
    known = {one.get("provider_request_id") for one in paid}
    unpaid = sum(bill.output for id, bill in bills.items() if id not in known)
    off = counted / sent - 1 if sent else 0.0
    output = sum(bill.output for bill in bills.values())
    return [
        Figure("usage other than the provider said", f"{wrong} of {len(exact)} tries", "0", not wrong),
        Figure("costs other than usage at its price", f"{sums} of {len(records)}", "0", not sums),
        Figure(
            f"estimated output, {len(guessed)} tries", f"{counted} for {sent} ({off:+.0%})", "± 50 %", abs(off) < 0.5
        ),
        Figure("output sent that no record has", f"{unpaid} of {output}", "≤ 1 %", unpaid <= 0.01 * output),
    ]


def bill_of(one: Mapping[str, Any], bills: Mapping[str, Bill]) -> Bill:
    return bills.get(one.get("provider_request_id", ""), Bill())


def price(usage: Mapping[str, Any]) -> int:
    return int(usage["input"]) * INPUT + int(usage.get("output", 0)) * OUTPUT
