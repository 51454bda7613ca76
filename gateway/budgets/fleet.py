"""What a store makes of the turns of its replicas: who is granted how much. Read next: ../state/scripts.py, the same in
Redis.

This is the store of a gateway that runs alone, and the model that the script in Redis is tested against.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gateway.budgets.account import Row, Told

__all__ = ["Answer", "Ask", "Fleet", "Told", "Turn"]

#: The part of what nobody has that one replica of ``n`` is granted ahead at most: 1 / (SHARE * n). So what is left to
#: lease shrinks as the budget does, and no replica sits on the last of it.
SHARE: Final = 2


class Ask(Struct, frozen=True):
    """One account in a turn: the row as it is, the allowance that is needed and the one that is wanted.

    ``keep_s`` is for how long it is worth keeping. ``rows`` are those of others as this replica last heard them, for a
    store that has lost them.
    """

    account: str
    limit: int
    keep_s: int
    row: Row
    need: int
    want: int
    rows: tuple[tuple[bytes, bytes], ...] = ()


class Turn(Struct, frozen=True):
    """All that one replica says at once; and accounts of which it only wants to know the sums."""

    replica: str
    asks: tuple[Ask, ...]
    looks: tuple[str, ...] = ()


class Answer(Struct, frozen=True):
    """The answers in order. ``barred``: the store is new in charge and grants nothing yet.

    ``epoch`` changes when the store has lost all it knew, or is another one. ``short`` names accounts of which somebody
    was refused while another has a lease. ``sums`` are what all replicas have committed and settled in the accounts
    that were looked at, in their order, as ``committed settled``; None for one that is not known.
    """

    told: tuple[Told, ...]
    barred: bool = False
    epoch: str = ""
    short: tuple[str, ...] = ()
    sums: tuple[bytes | None, ...] = ()


class Fleet:
    """Accounts by name, each with the row of every replica."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Row]] = {}
        self._until: dict[str, float] = {}
        #: For how long what was told since the last ``forget`` is kept: a turn does not say when it is.
        self._keep_s: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"{len(self._accounts)} accounts"

    def turn(self, turn: Turn, replicas: int = 1, *, barred: bool = False) -> Answer:
        """Take a turn. Nothing is granted while ``barred``; rows are taken all the same."""
        short: list[str] = []
        told = [self._told(turn.replica, ask, replicas, barred, short) for ask in turn.asks]
        self._keep_s |= {ask.account: ask.keep_s for ask in turn.asks}
        return Answer(tuple(told), barred, short=tuple(short), sums=tuple(map(self._sums, turn.looks)))

    def forget(self, now: float) -> None:
        """It is ``now``: forget what is not worth keeping any more."""
        self._until |= {account: now + keep_s for account, keep_s in self._keep_s.items()}
        self._keep_s = {}
        for account in [account for account, until in self._until.items() if until < now]:
            del self._until[account], self._accounts[account]

    def rows(self, account: str) -> dict[str, Row]:
        """The rows of an account, by replica."""
        return dict(self._accounts.get(account, {}))

    def _sums(self, account: str) -> bytes | None:
        rows = self._accounts.get(account, {}).values()
        return b"%d %d" % (sum(row.committed for row in rows), sum(row.settled for row in rows)) if rows else None

    def _told(self, replica: str, ask: Ask, replicas: int, barred: bool, short: list[str]) -> Told:
        rows = self._accounts.setdefault(ask.account, {})
        for name, data in ask.rows:
            _restore(rows, replica, name.decode(), Row.parse(data))
        others = {name: row for name, row in rows.items() if name != replica}
        committed = sum(row.committed for row in others.values())
        settled = sum(row.settled for row in others.values())
        row = ask.row
        if replica in rows and rows[replica].n > row.n:
            row = rows[replica]
        else:
            free = 0 if barred else ask.limit - committed - row.committed
            row = rows[replica] = Row(row.n, granted(ask, free, replicas), row.settled, row.lost)
            if not barred and row.allowance < ask.need and committed > settled:
                short.append(ask.account)
        kept = tuple([(name.encode(), one.render()) for name, one in others.items()])
        return Told(row.allowance, committed, settled, kept)


def _restore(rows: dict[str, Row], replica: str, name: str, row: Row) -> None:
    """Take what one replica has heard of another, unless that one has told more."""
    if name != replica and (name not in rows or rows[name].n < row.n):
        rows[name] = row


def granted(ask: Ask, free: int, replicas: int) -> int:
    """The allowance after a turn, of which ``free`` micro-dollars nobody has: all that is needed, or no more."""
    have, committed = ask.row.allowance, ask.row.committed
    if free <= 0 or ask.need - committed > free:
        return have
    return max(have, ask.need, min(ask.want, committed + free // (SHARE * max(1, replicas))))
