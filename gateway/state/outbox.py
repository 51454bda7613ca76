"""What one replica has yet to tell the fleet, in numbered batches. Read next: over_redis.py, which sends them.

A batch that may or may not have arrived stays as it is until it is known to have: together with its number, which
the store remembers, everything in it counts exactly once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice

from msgspec import Struct

__all__ = ["Batch", "Outbox"]


class Batch(Struct, frozen=True):
    """Records as (id, record), oldest first."""

    number: int
    records: tuple[tuple[str, bytes], ...]


class Outbox:
    """Keeps up to ``bound`` records beside the batch under way; beyond that the oldest is dropped and counted.

    ``dropped`` counts those, and what the store could not write.
    """

    def __init__(self, bound: int, batch: int) -> None:
        self.dropped = 0
        self._bound = bound
        self._batch = batch
        self._records: deque[tuple[str, bytes]] = deque()
        self._under_way: Batch | None = None
        self._number = 0

    def __len__(self) -> int:
        return len(self._records) + (len(self._under_way.records) if self._under_way else 0)

    def append(self, id: str, record: bytes) -> None:
        """Keep a record to be sent."""
        if len(self._records) >= self._bound:
            self._records.popleft()
            self.dropped += 1
        self._records.append((id, record))

    def batch(self) -> Batch | None:
        """The batch under way, or else the next one; None when there is nothing to tell."""
        if self._under_way is None and self._records:
            self._number += 1
            taken = min(self._batch, len(self._records))
            self._under_way = Batch(self._number, tuple([self._records.popleft() for _ in range(taken)]))
        return self._under_way

    def delivered(self, lost: int = 0) -> None:
        """The batch under way has arrived, but for so many of its records."""
        self._under_way = None
        self.dropped += lost

    def newest_first(self) -> Iterator[tuple[str, bytes]]:
        """Ids and records that are not known to have arrived."""
        under_way = reversed(self._under_way.records) if self._under_way else ()
        return chain(reversed(self._records), under_way)

    def find(self, id: str) -> bytes | None:
        """The record of that id, if it is not known to have arrived."""
        return next((record for other, record in self.newest_first() if other == id), None)

    def newest(self, limit: int) -> list[bytes]:
        """Up to ``limit`` records, newest first."""
        return [record for _, record in islice(self.newest_first(), limit)]
