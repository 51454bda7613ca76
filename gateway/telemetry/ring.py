"""The newest decision records of this process, in memory. Read next: ../state/verbs.py, for those of a fleet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from gateway.telemetry.record import decode
from gateway.types import Exchange

__all__ = ["Ring"]


class Ring:
    """Keeps the last ``size`` records, as bytes: they weigh little, and the garbage collector passes them over."""

    __slots__ = ("_records", "_size")

    def __init__(self, size: int = 2000) -> None:
        self._size = size
        self._records: OrderedDict[str, bytes] = OrderedDict()

    def __call__(self, exchange: Exchange, record: bytes) -> None:
        """Keep one more, letting go of the oldest when full."""
        records = self._records
        records[exchange.id] = record
        if len(records) > self._size:
            records.popitem(last=False)

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"Ring of the last {len(self._records)} of {self._size} records"

    def find(self, id: str) -> Exchange | None:
        """The exchange of that id; None when it is not, or no longer, here."""
        record = self._records.get(id)
        return None if record is None else decode(record)

    def recent(
        self,
        limit: int,
        *,
        outcome: str | None = None,
        route: str | None = None,
        deployment: str | None = None,
    ) -> list[Exchange]:
        """Up to ``limit`` exchanges, newest first, that have this outcome, route and serving deployment."""
        found: list[Exchange] = []
        for exchange in self._newest_first():
            if len(found) >= limit:
                break
            if (
                (outcome is None or exchange.outcome == outcome)
                and (route is None or (exchange.decision is not None and exchange.decision.route == route))
                and (deployment is None or exchange.deployment == deployment)
            ):
                found.append(exchange)
        return found

    def _newest_first(self) -> Iterator[Exchange]:
        return (decode(record) for record in reversed(self._records.values()))
