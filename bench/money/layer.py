"""Eight processes spend one budget as fast as they can, and are killed all the time. Read next: spender.py.

Reservations, leases and the ledger alone, without HTTP: so there are more crashes and more at once than gateways have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from redis import Redis

from bench.figures.figure import Figure, at_least, at_most
from bench.money.books import Books, Truth, differences, read_ledgers, read_truth
from bench.money.crew import return_all, run_all
from bench.money.spender import BOUNDS, SCOPE, Orders
from bench.money.watch import Watch, committed, rows
from gateway.budgets.account import Row
from tests.redis_server import RedisServer

__all__ = ["Outcome", "closed", "figures", "grace", "orders"]

PROCESSES, CALLS = 8, 1_500
ACCOUNT: Final = f"{SCOPE}/total"
GRACE: Final = 50_000
#: How much of what all calls might cost the budget is: it runs out when 60 to 70 % of them are made.
PART: Final = 0.44


class Outcome(Struct):
    """What is left when all have gone."""

    limit: int
    killed: int
    most: int
    rows: dict[str, Row]
    books: Books
    truth: Truth


async def closed(directory: Path, *, quick: bool = False) -> list[Figure]:
    """Nothing is spent that is not in the budget."""
    return figures("M1", await torture(directory, "closed", 0, quick=quick), 0)


async def grace(directory: Path, *, quick: bool = False) -> list[Figure]:
    """The same where a little more may be spent while nobody knows."""
    return figures("M2", await torture(directory, "grace", GRACE, quick=quick), GRACE)


async def torture(directory: Path, on_loss: Literal["closed", "grace"], most: int, *, quick: bool) -> Outcome:
    """All calls, with nothing wrong but what the processes do themselves."""
    redis = RedisServer()
    await asyncio.to_thread(redis.start)
    try:
        all_orders = orders(directory, redis.url, on_loss, most, calls=CALLS // 10 if quick else CALLS)
        with Watch(ACCOUNT, lambda: redis.port) as watch:
            killed = await run_all(all_orders)
            await return_all(all_orders)
        return outcome(all_orders, killed, watch.most, redis.port)
    finally:
        redis.kill()


def orders(
    directory: Path,
    url: str,
    on_loss: Literal["closed", "grace"],
    most: int,
    *,
    calls: int,
    hold_s: float = 0.02,
    crash: float = 0.01,
) -> list[Orders]:
    """For each of the processes."""
    directory.mkdir(parents=True, exist_ok=True)
    limit = int(PROCESSES * calls * sum(BOUNDS) / 2 * PART)
    return [Orders(f"p{n}", str(directory), url, calls, limit, on_loss, most, hold_s, crash) for n in range(PROCESSES)]


def outcome(all_orders: Sequence[Orders], killed: int, most: int, port: int) -> Outcome:
    """Read it all."""
    with Redis(port=port, protocol=2) as client:
        left = rows(client, ACCOUNT)
    ledgers, truths = [one.ledger for one in all_orders], [one.truth for one in all_orders]
    return Outcome(all_orders[0].limit, killed, most, left, read_ledgers(ledgers), read_truth(truths))


def figures(id: str, seen: Outcome, most: int) -> list[Figure]:
    """What was seen beside what may be."""
    books, truth, limit = seen.books, seen.truth, seen.limit
    settled, lost = sum(row.settled for row in seen.rows.values()), sum(row.lost for row in seen.rows.values())
    over = max(seen.most, settled + lost) - limit - books.beyond
    unheld = sum(cost for one, cost in truth.ended.items() if one not in books.held)
    spent = sum(truth.ended.values())
    counted = sum(stop[0] != stop[1] or stop[2] != stop[3] for stop in truth.stops)
    said = f"{len(truth.begun) + len(truth.refused):,} calls, {len(truth.refused):,} refused, {seen.killed} crashes"
    return [
        at_most(id, f"{said}: committed beyond the budget, µ$", max(0, over), PROCESSES * most, "{:,.0f}"),
        same(id, "settled, by Redis and by ledgers, µ$", settled, sum(books.settled.values())),
        same(id, "lost in crashes, by Redis and by ledgers, µ$", lost, sum(books.lost.values())),
        same(id, "committed in the end, and settled + lost, µ$", committed(seen.rows), settled + lost),
        at_most(id, "settled other than it cost, of all calls", differences(truth.ended, books.settled), 0),
        at_most(id, "spent that was never reserved, µ$", unheld, 0, "{:,.0f}"),
        at_most(
            id, f"spent (by the provider), of settled + lost {settled + lost:,} µ$", spent, settled + lost, "{:,.0f}"
        ),
        at_most(id, "processes that counted overshoot or second settles otherwise", counted, 0),
        at_least(
            id,
            "of the budget committed when the last was refused, %",
            100 * (settled + lost) / limit,
            99.0 if limit > 50_000_000 else 90.0,
            "{:.2f}",
        ),
    ]


def same(id: str, what: str, one: int, other: int) -> Figure:
    """Two numbers that have to be one."""
    return Figure(id, what, f"{one:,}", f"{other:,}", one == other)
