"""Eight gateways spend one budget before a provider that fails, and are killed; a fifth of the clients leave.

Read next: biller.py, the provider.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from redis import Redis

from bench.figures.client import Clients, Told
from bench.figures.figure import Figure, at_least, at_most
from bench.money.biller import INPUT, OUTPUT, Bill, biller, read_bill
from bench.money.books import Books, lines, read_ledgers
from bench.money.layer import ACCOUNT, PROCESSES, same
from bench.money.losses import lose
from bench.money.redis import pair
from bench.money.watch import Watch, committed, rows
from bench.replica import Replica
from gateway.budgets.account import Row
from gateway.keys.form import mint
from tests.redis_server import RedisServer

__all__ = ["killed", "killed_while_redis_fails"]

CALLS: Final = 1_500
#: Clients of each gateway, and the share of them that leaves before the end.
AT_ONCE, LEAVING = 8, 0.2
#: How many tokens an answer may have, as its client says; and what a call costs on average, for the size of the budget.
MAX_TOKENS, MEAN = 200, 135
#: The part of all calls that the budget is for.
PART: Final = 0.65
#: Between two kills, in seconds.
KILL_S: Final = 1.5
KEY, HASH = mint("torture")


class Outcome(Struct):
    """What is left when all have gone. ``records`` are all that any journal has."""

    limit: int
    kills: int
    most: int
    told: list[Told]
    rows: dict[str, Row]
    books: Books
    records: list[dict[str, Any]]
    bills: dict[str, Bill]


async def killed(directory: Path, *, quick: bool = False) -> list[Figure]:
    """Redis is well."""
    directory.mkdir(parents=True, exist_ok=True)
    redis = RedisServer()
    await asyncio.to_thread(redis.start)
    try:
        with Watch(ACCOUNT, lambda: redis.port) as watch:
            seen = await torture(directory, redis.url, CALLS // 10 if quick else CALLS)
        return figures("M5", finish(seen, watch.most, redis.port))
    finally:
        redis.kill()


async def killed_while_redis_fails(directory: Path, *, quick: bool = False) -> list[Figure]:
    """Redis loses what it was told, too."""
    async with pair(directory) as servers:
        with Watch(ACCOUNT, lambda: servers.port) as watch:
            losing = asyncio.create_task(lose(servers, 1))
            seen = await torture(directory, servers.url, CALLS // 10 if quick else CALLS)
            await losing
        return figures("M6", finish(seen, watch.most, servers.port))


async def torture(directory: Path, url: str, calls: int) -> Outcome:
    """All calls; then each gateway starts once more and ends in good order."""
    limit = int(PROCESSES * calls * MEAN * PART)
    async with biller(directory / "bill.json") as provider:
        crew = [
            Replica(directory, f"g{n}", config(provider, url, directory / f"g{n}.ledger", limit))
            for n in range(PROCESSES)
        ]
        try:
            await asyncio.gather(*[one.start() for one in crew])
            killing = asyncio.create_task(kill(crew))
            told = await asyncio.gather(*[ask(one.port, calls) for one in crew])
            killing.cancel()
            await asyncio.wait({killing})
            await come_back(crew)
        finally:
            for one in crew:
                one.kill()
    ledgers = [directory / f"g{n}.ledger" for n in range(PROCESSES)]
    records = [record for one in crew for record in lines(one.journal)]
    bills = read_bill(directory / "bill.json")
    starts = sum(line[1][0] == "replica" for path in ledgers for line in lines(path) if line[0] == "money")
    flat = [one for each in told for one in each]
    return Outcome(limit, starts - 2 * PROCESSES, 0, flat, {}, read_ledgers(ledgers), records, bills)


def config(provider: str, state: str, ledger: Path, limit: int) -> str:
    """Two accounts at the one provider, and a key of a team that has a budget."""
    timeouts = "timeouts: {connect: 1s, first_byte: 1s, first_token: 400ms, stall: 300ms, no_content: 400ms, total: 5s}"
    account = f"{{kind: openai_compatible, base_url: {provider}, allow_private: true, {timeouts}}}"
    price = f"price: {{input: {INPUT}, output: {OUTPUT}}}, context_window: 8k, prefill: true"
    return (
        f"providers: {{a: {account}, b: {account}}}\n"
        f"deployments: {{a: {{provider: a, model: a, {price}}}, b: {{provider: b, model: b, {price}}}}}\n"
        "routes: [{name: r, policy: {strategy: round_robin, rescue: splice, retry: {base: 5ms}}}]\n"
        "reliability: {breaker: {min_failures: 1000000}}\n"
        f"teams: {{torture: {{budget: {{usd: {limit / 1e6:.6f}, per: total}}}}}}\n"
        f'keys: [{{id: torture, team: torture, secret_hash: "${{HASH:-{HASH}}}"}}]\n'
        "auth: on\nadmission: {loop_lag: 2s}\n"
        f"budgets: {{on_state_loss: closed, ledger: {ledger}}}\nstate: {state}"
    )


async def ask(port: int, calls: int) -> list[Told]:
    """So many calls by the clients of one gateway. One that finds nobody, or somebody who does not know, asks again."""
    dice, told, left = random.Random(port), list[Told](), iter(range(calls))

    async def client() -> None:
        async with Clients(port) as clients:
            for _ in left:
                told.append(await once(clients, dice))

    await asyncio.gather(*[client() for _ in range(AT_ONCE)])
    return told


async def once(clients: Clients, dice: random.Random) -> Told:
    leaves_s = dice.uniform(0.0, 0.3) if dice.random() < LEAVING else 20.0
    headers = {"authorization": f"Bearer {KEY}"}
    while True:
        try:
            told = await clients.ask(
                "auto", stream=dice.random() < 0.5, limit_s=leaves_s, headers=headers, max_tokens=MAX_TOKENS
            )
        except OSError:
            await asyncio.sleep(0.1)
            continue
        if told.status != 503 or "budget" not in told.why:
            return told
        await asyncio.sleep(0.1)


async def kill(crew: Sequence[Replica]) -> None:
    """One after the other, and start it again."""
    dice = random.Random(7)
    while True:
        await asyncio.sleep(KILL_S)
        one = dice.choice(crew)
        one.kill()
        await asyncio.shield(one.start())


async def come_back(crew: Sequence[Replica]) -> None:
    """All that ledgers know is told."""
    await asyncio.sleep(2.0)
    for one in crew:
        await one.stop()
        await one.start()
    await asyncio.sleep(1.0)
    for one in crew:
        await one.stop()


def finish(seen: Outcome, most: int, port: int) -> Outcome:
    """With what Redis says."""
    with Redis(port=port, protocol=2) as client:
        seen.rows = rows(client, ACCOUNT)
    seen.most = most
    return seen


def figures(id: str, seen: Outcome) -> list[Figure]:
    """What was seen beside what may be."""
    books, bills, limit = seen.books, seen.bills, seen.limit
    settled, lost = sum(row.settled for row in seen.rows.values()), sum(row.lost for row in seen.rows.values())
    refused = sum(one.status == 429 for one in seen.told)
    billed = sum(bill.micros for bill in bills.values())
    costs, of_records, missing = compared(books, seen.records)
    what = f"{len(seen.told):,} calls, {refused:,} refused, {seen.kills} kill -9"
    return [
        at_most(id, f"{what}: committed beyond the budget, µ$", max(0, max(seen.most, settled + lost) - limit), 0),
        same(id, "settled, by Redis and by ledgers, µ$", settled, sum(books.settled.values())),
        same(
            id,
            f"the same without {missing} records that died with their process, by ledgers and records, µ$",
            costs,
            of_records,
        ),
        same(id, "lost in crashes, by Redis and by ledgers, µ$", lost, sum(books.lost.values())),
        same(id, "committed in the end, and settled + lost, µ$", committed(seen.rows), settled + lost),
        at_most(id, "tries that cost other than the provider said", otherwise(seen.records, bills), 0),
        at_most(
            id, f"billed by the provider, of settled + lost {settled + lost:,} µ$", billed, settled + lost, "{:,.0f}"
        ),
        at_most(id, "settled beyond its reservation, µ$", books.beyond, 0),
        at_least(
            id,
            "of the budget committed when the last was refused, %",
            100 * (settled + lost) / limit,
            98.0 if len(seen.told) > 10_000 else 50.0,
            "{:.2f}",
        ),
    ]


def compared(books: Books, records: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Of decisions all of whose tries were settled and that have a record: what ledgers and records say.

    And how many decisions in ledgers have no record.
    """
    costs = {record["id"]: sum(one.get("cost", 0) for one in record.get("attempts", ())) for record in records}
    settled: Counter[str] = Counter()
    for one, micros in books.settled.items():
        settled[one.rpartition(".")[0]] += micros
    cut = {one.rpartition(".")[0] for one in books.lost}
    both = (settled.keys() & costs.keys()) - cut
    paid = [one for one in costs.keys() - cut if costs[one] and one not in settled]
    missing = len(settled.keys() - cut - costs.keys())
    return sum(settled[one] for one in both), sum(costs[one] for one in both) + sum(costs[one] for one in paid), missing


def otherwise(records: Sequence[Mapping[str, Any]], bills: Mapping[str, Bill]) -> int:
    """Tries whose cost is not that of the usage their provider reported."""
    tries = [one for record in records for one in record.get("attempts", ()) if "usage" in one]
    exact = [one for one in tries if not one["usage"].get("estimated")]
    return sum(bills[one["provider_request_id"]].micros != one.get("cost", 0) for one in exact)
