"""The state of one process, kept in memory. Read next: over_redis.py, the same verbs for a fleet."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

from gateway.state.cooled import Cooled
from gateway.state.verbs import Health
from gateway.types import Cooling

__all__ = ["Memory"]


class Memory:
    """State for a gateway that runs alone: always up, gone with the process. Keeps the last ``kept`` records."""

    def __init__(self, *, kept: int = 10_000) -> None:
        self._kept = kept
        self._cooled = Cooled()
        self._records: OrderedDict[str, bytes] = OrderedDict()
        self._spent: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._refreshed_at = 0.0

    def __repr__(self) -> str:
        return f"state in memory: {len(self._records)} of {self._kept} records"

    def cool(self, deployment: str, cooling: Cooling) -> None:
        """See State.cool."""
        self._cooled.leave(deployment, cooling)

    def cooling(self, now: float) -> Mapping[str, Cooling]:
        """See State.cooling."""
        return self._cooled.at(now)

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

    async def find(self, id: str) -> bytes | None:
        """See State.find."""
        return self._records.get(id)

    async def recent(self, limit: int) -> Sequence[bytes]:
        """See State.recent."""
        return list(islice(reversed(self._records.values()), limit))

    async def sync(self, now: float) -> None:
        """See State.sync: there is nobody to sync with."""
        self._refreshed_at = now

    def health(self) -> Health:
        """See State.health."""
        return Health("memory", up=True, refreshed_at=self._refreshed_at)

    async def aclose(self) -> None:
        """See State.aclose."""
