"""Turns of budgets as a script in Redis takes and answers them. Read next: ../budgets/fleet.py, what they mean.

Under ``prefix``: ``account:<name>`` is a hash with the row of every replica, ``accounts`` says which server is in
charge and since when, ``accounts:short`` which accounts somebody was refused in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis as Client

from gateway.budgets.account import Row, Told
from gateway.budgets.fleet import Answer, Ask, Turn
from gateway.state.meeting import PRESENT_MS
from gateway.state.scripts import ACCOUNTS, LOOK

__all__ = ["BARRED_MS", "SUMS", "read_rows", "take_turn"]

#: How long a server that is new in charge grants nothing, in milliseconds: longer than replicas take to find it.
BARRED_MS: Final = 2_000
#: Where the sums of all rows stand among them.
SUMS: Final = b"="


async def take_turn(client: Client, prefix: str, turn: Turn, epoch: str, *, barred_ms: int = BARRED_MS) -> Answer:
    """What the fleet makes of a turn.

    ``epoch`` is what a store that knows of none is to call its own; one that is new in charge grants nothing for
    ``barred_ms``. Raises what redis-py raises.
    """
    own = f"{prefix}:account:"
    keys = [
        f"{prefix}:accounts",
        f"{prefix}:replicas",
        f"{prefix}:accounts:short",
        *(own + a.account for a in turn.asks),
    ]
    args: list[str | bytes | int] = [turn.replica, epoch, barred_ms, PRESENT_MS]
    for ask in turn.asks:
        args += _arguments(ask)
    pipeline = client.pipeline(transaction=False)
    pipeline.eval(ACCOUNTS, len(keys), *keys, *cast(Any, args))
    if turn.looks:
        pipeline.eval(LOOK, 0, own, msgspec.json.encode(turn.looks))
    (barred, epoch_told, short, *told), *sums = cast(Any, await pipeline.execute())
    return Answer(
        tuple([_told(one) for one in told]),
        bool(barred),
        epoch_told.decode(),
        tuple([name.decode().removeprefix(own) for name in short]),
        tuple(sums[0]) if sums else (),
    )


async def read_rows(client: Client, prefix: str, accounts: Sequence[str]) -> Mapping[str, Mapping[str, Row]]:
    """The rows of these accounts, by replica. Raises what redis-py raises."""
    pipeline = client.pipeline(transaction=False)
    for account in accounts:
        pipeline.hgetall(f"{prefix}:account:{account}")
    replies = await pipeline.execute()
    return {
        account: {replica.decode(): Row.parse(row) for replica, row in rows.items() if replica != SUMS}
        for account, rows in zip(accounts, replies, strict=True)
    }


def _arguments(ask: Ask) -> Iterator[str | bytes | int]:
    row = ask.row
    yield from (ask.limit, ask.keep_s, row.n, row.allowance, row.settled, row.lost, ask.need, ask.want, len(ask.rows))
    for replica, told in ask.rows:
        yield from (replica, told)


def _told(one: Sequence[Any]) -> Told:
    allowance, others, settled, rows = one
    return Told(int(allowance), int(others), int(settled), tuple(zip(rows[0::2], rows[1::2], strict=True)))
