"""A budget runs out under load: traffic moves to what is cheaper, then it is refused, and a restart changes nothing.

Read next: gateways.py.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.figures.client import Clients, Told
from bench.figures.figure import Figure, at_least, at_most, share
from bench.figures.load import at_once
from bench.money.biller import INPUT, OUTPUT, biller
from bench.money.books import Books, lines, read_ledgers
from bench.replica import Replica
from gateway.keys.form import mint

__all__ = ["running_out"]

#: The budget in micro-dollars, and calls in all: more than it holds.
LIMIT, CALLS, AT_ONCE = 2_000_000, 8_000, 8
#: The dear deployment costs so many times what the cheap one does.
TIMES: Final = 4
MAX_TOKENS: Final = 100
KEY, HASH = mint("torture")


async def running_out(directory: Path, *, quick: bool = False) -> list[Figure]:
    """One gateway without Redis, and its ledger."""
    directory.mkdir(parents=True, exist_ok=True)
    scale = 4 if quick else 1
    async with biller(directory / "bill.json", ill=0.0) as provider:
        ledger = directory / "ledger"
        gateway = Replica(directory, "gateway", config(provider, ledger, LIMIT // scale))
        try:
            await gateway.start()
            told = await ask(gateway, CALLS // scale)
            left = [await probe(gateway)]
            for end in (gateway.stop, kill(gateway)):
                await end()
                await gateway.start()
                left.append(await probe(gateway))
            await gateway.stop()
        finally:
            gateway.kill()
    return [
        *gradual(list(lines(gateway.journal))),
        *refusals(told),
        *kept(left, read_ledgers([ledger]), LIMIT // scale),
    ]


def kill(gateway: Replica) -> Any:
    async def killed() -> None:
        gateway.kill()

    return killed


def config(provider: str, ledger: Path, limit: int) -> str:
    """A dear deployment that is listed first, and a cheap one."""
    account = f"{{kind: openai_compatible, base_url: {provider}, allow_private: true}}"
    deployments = ", ".join(
        f"{name}: {{provider: sim, model: {name}, price: {{input: {INPUT * times}, output: {OUTPUT * times}}}}}"
        for name, times in (("dear", TIMES), ("cheap", 1))
    )
    return (
        f"providers: {{sim: {account}}}\ndeployments: {{{deployments}}}\n"
        "routes: [{name: r, policy: {pool: [dear, cheap], strategy: ordered, budget_shift: {from: 0.8}}}]\n"
        f"teams: {{torture: {{budget: {{usd: {limit / 1e6:.6f}, per: total}}}}}}\n"
        f'keys: [{{id: torture, team: torture, secret_hash: "${{HASH:-{HASH}}}"}}]\n'
        f"auth: on\nadmission: {{loop_lag: 2s}}\nbudgets: {{ledger: {ledger}}}"
    )


async def probe(gateway: Replica) -> int:
    """What is left, as a decision says that holds nothing: one about more than there is, and not the first."""
    async with Clients(gateway.port) as clients:
        for _ in range(2):
            await asyncio.sleep(0.5)
            told = await clients.ask("auto", stream=False, headers={"authorization": f"Bearer {KEY}"}, max_tokens=10**6)
    await asyncio.sleep(0.5)
    id = told.headers["x-gateway-decision-id"]
    (left,) = [one["decision"]["funds"]["left"] for one in lines(gateway.journal) if one["id"] == id]
    return int(left)


async def ask(gateway: Replica, calls: int) -> list[Told]:
    """So many conversations."""
    dice, headers = random.Random(7), {"authorization": f"Bearer {KEY}"}
    async with Clients(gateway.port) as clients:

        async def one(n: int) -> Told:
            messages = [{"role": "user", "content": f"Conversation {dice.random()}"}]
            return await clients.ask("auto", stream=False, headers=headers, messages=messages, max_tokens=MAX_TOKENS)

        return await at_once(AT_ONCE, calls, one)


def gradual(records: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The part that was moved in each fiftieth of the budget from 80 % on."""
    asked, moved = Counter[int](), Counter[int]()
    early = 0
    for record in records:
        decision = record.get("decision")
        if not decision or "funds" not in decision or not record.get("attempts"):
            continue
        used, is_moved = decision["funds"]["used"], record["attempts"][0]["deployment"] == "cheap"
        if used < 800:
            early += is_moved
        else:
            asked[min(9, (used - 800) // 20)] += 1
            moved[min(9, (used - 800) // 20)] += is_moved
    parts = [share(moved[n], asked[n]) for n in range(10)]
    worst = max(abs(part - (10 * n + 5)) for n, part in enumerate(parts) if asked[n] >= 20)
    said = ", ".join(f"{part:.0f}" for part in parts)
    return [
        at_most("M8", "moved to the cheaper before 80 % of the budget", early, 0),
        at_most("M8", f"moved from 80 to 100 % by fiftieths, {said} %: off the line, points", worst, 15.0),
    ]


def refusals(told: Sequence[Told]) -> list[Figure]:
    """What callers are told when nothing is left."""
    refused = [one for one in told if one.status != 200]
    clear = [
        one
        for one in refused
        if (one.status, one.why, one.headers.get("x-should-retry")) == (429, "429 insufficient_quota", "false")
    ]
    return [
        at_least(
            "M8",
            f"of {len(refused):,} refused told 429 insufficient_quota, x-should-retry: false, %",
            share(len(clear), len(refused)),
            99.0,
        ),
    ]


def kept(left: Sequence[int], books: Books, limit: int) -> list[Figure]:
    """What is left of it, as the gateway sees it, and what was spent of it."""
    same = len(set(left)) == 1
    said = f"{left[0]:,}" if same else ", ".join(f"{one:,}" for one in left)
    return [
        Figure("M8", "left before and after SIGTERM and kill -9, without Redis, µ$", said, "the same", same),
        at_most("M8", "spent in the end, µ$", sum(books.settled.values()), limit, "{:,.0f}"),
    ]
