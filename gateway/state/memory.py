"""The state of one process, kept in memory. Read next: over_redis.py, the same verbs for a fleet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Final

from gateway.budgets.account import Row
from gateway.budgets.fleet import Answer, Fleet, Turn
from gateway.state.asking import ask_here
from gateway.state.keybook import Keybook
from gateway.state.ledger import Ledger
from gateway.state.verbs import Draw, Health
from gateway.state.view import View
from gateway.usage.sums import Page
from gateway.usage.tally import line

__all__ = ["Memory"]

#: How often what was used is written to the ledger, in seconds.
WRITTEN_S: Final = 1.0
#: How often accounts whose time is over are forgotten, in seconds.
FORGET_S: Final = 60.0


class Memory(View):
    """State for a gateway that runs alone: always up, gone with the process. Keeps the last ``kept`` records.

    ``ledger`` is where what was used outlives it; ``tally`` is a chapter of it.
    """

    def __init__(self, *, kept: int = 10_000) -> None:
        super().__init__()
        self.ledger: Ledger | None = None
        self._kept = kept
        self._records: OrderedDict[str, bytes] = OrderedDict()
        self._refreshed_at = 0.0
        self._fleet = Fleet()
        self._firsts: set[str] = set()
        self._forgot_at = 0.0
        self._written_at = -inf
        self.keybook = Keybook()

    def __repr__(self) -> str:
        return f"state in memory: {len(self._records)} of {self._kept} records"

    def alone(self, now: float) -> bool:
        """See State.alone: the whole fleet is here."""
        return False

    @property
    def heard(self) -> bool:
        """See State.heard."""
        return True

    def replicas(self) -> int:
        """See State.replicas."""
        return 1

    async def ask(self, draws: Sequence[Draw], places: Sequence[str], now: float) -> bool | None:
        """See State.ask: nobody else draws, or has places."""
        for name in places:
            self.places.want(name)
        self.places.grant(self.places.take(now, places)[1], now)
        return ask_here(self, draws, places, now)

    def append(self, record: bytes, id: str) -> None:
        """See State.append."""
        self._records[id] = record
        if len(self._records) > self._kept:
            self._records.popitem(last=False)

    async def used(self, days: Sequence[int]) -> AsyncIterator[Page]:
        """See State.used."""
        for n in days:
            if (day := self.tally.days.get(n)) is not None:
                for rows in day.pages():
                    yield n, rows

    async def accounts(self, turn: Turn) -> Answer:
        """See State.accounts."""
        return self._fleet.turn(turn)

    async def first(self, name: str, keep_s: int) -> bool:
        """See State.first. For as long as the process lasts."""
        known = name in self._firsts
        self._firsts.add(name)
        return not known

    async def rows(self, accounts: Sequence[str]) -> Mapping[str, Mapping[str, Row]]:
        """See State.rows."""
        return {account: self._fleet.rows(account) for account in accounts}

    async def present(self) -> frozenset[str]:
        """See State.present."""
        return frozenset({self.replica})

    async def find(self, id: str) -> bytes | None:
        """See State.find."""
        return self._records.get(id)

    async def recent(self, limit: int) -> Sequence[bytes]:
        """See State.recent."""
        return list(islice(reversed(self._records.values()), limit))

    def key(self, id: str) -> bytes | None:
        """See State.key."""
        return self.keybook.find(id)

    async def find_key(self, id: str) -> bytes | None:
        """See State.find_key: all are known here."""
        return self.keybook.find(id)

    async def keys(self) -> Mapping[str, bytes]:
        """See State.keys."""
        return self.keybook.all()

    async def change_key(self, id: str, before: bytes | None, after: bytes | None) -> bytes | None:
        """See State.change_key. Raises Unavailable where the ledger does not take it."""
        return await self.keybook.change(id, before, after)

    async def sync(self, now: float) -> None:
        """See State.sync: there is nobody to sync with, but what is asked for is granted here as in a fleet."""
        self.cooled.settle(now)
        self.leases.grant(now)
        self.buckets.take(now)
        self.buckets.settle()
        self.places.grant(self.places.take(now)[1], now)
        self.remembered.turn(now)
        self.remembered.settle()
        if now - self._written_at >= WRITTEN_S:
            self.keep(now)
        self._refreshed_at = now
        if now - self._forgot_at >= FORGET_S:
            self._forgot_at = now
            self._fleet.forget(now)

    def health(self) -> Health:
        """See State.health."""
        known = self.remembered
        return Health(
            "memory",
            up=True,
            refreshed_at=self._refreshed_at,
            forgotten=known.lost,
            remembered=known.kept,
            recalled=known.found,
        )

    async def aclose(self) -> None:
        """See State.aclose."""

    def keep(self, now: float) -> None:
        """Have the ledger keep what was used since the last time."""
        self._written_at = now
        for n, day in self.tally.days.items():
            for dims, sums in day.take(len(day.rows)).items():
                if self.ledger is not None:
                    self.ledger.later(self.tally.name, line(n, dims, sums))
            day.told()
        if self.ledger is not None:
            self.ledger.flush()
