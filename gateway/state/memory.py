"""The state of one process, kept in memory. Read next: over_redis.py, the same verbs for a fleet."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

from gateway.budgets.account import Row
from gateway.budgets.fleet import Answer, Fleet, Turn
from gateway.state.verbs import Health
from gateway.state.view import View

__all__ = ["Memory"]


class Memory(View):
    """State for a gateway that runs alone: always up, gone with the process. Keeps the last ``kept`` records."""

    def __init__(self, *, kept: int = 10_000) -> None:
        super().__init__()
        self._kept = kept
        self._records: OrderedDict[str, bytes] = OrderedDict()
        self._spent: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._refreshed_at = 0.0
        self._fleet = Fleet()
        self._firsts: set[str] = set()

    def __repr__(self) -> str:
        return f"state in memory: {len(self._records)} of {self._kept} records"

    def alone(self, now: float) -> bool:
        """See State.alone: the whole fleet is here."""
        return False

    def replicas(self) -> int:
        """See State.replicas."""
        return 1

    def append(self, record: bytes, id: str) -> None:
        """See State.append."""
        self._records[id] = record
        if len(self._records) > self._kept:
            self._records.popitem(last=False)

    def spent(self, caller: str, deployment: str, micros: int) -> None:
        """See State.spent."""
        self._spent[caller][deployment] += micros

    async def spend(self, caller: str) -> Mapping[str, int]:
        """See State.spend."""
        return dict(self._spent.get(caller, {}))

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

    async def sync(self, now: float) -> None:
        """See State.sync: there is nobody to sync with, but what is asked for is granted here as in a fleet."""
        self.cooled.settle(now)
        self.leases.grant(now)
        self.buckets.take(now)
        self.buckets.settle()
        self.remembered.turn(now)
        self.remembered.settle()
        self._refreshed_at = now

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
