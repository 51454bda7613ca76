"""State shared by a fleet of replicas over Redis. Read next: scripts.py, what Redis does with it.

Under ``prefix``: ``decisions`` is a stream of records, up to 64 in an entry as lines; ``decisions:ids`` is a stream
of their ids with the same entry ids, which is how a record is found: one more small write per entry instead of an
index key per record, trimmed in the same step. ``spend:<caller>`` is a hash. What is shared about health has its keys
in meeting.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar, cast

from redis.exceptions import RedisError

from gateway.errors import Unavailable
from gateway.state.link import Link
from gateway.state.meeting import Meeting
from gateway.state.outbox import Batch, Outbox
from gateway.state.scripts import DELIVER
from gateway.state.verbs import ALONE_S, Health
from gateway.state.view import View

__all__ = ["Redis"]

#: Records in one entry of the stream, and in one batch.
ENTRY: Final = 64
BATCH: Final = 8 * ENTRY
#: Entries read at a time: of records, up to 2 MB, and of ids.
PAGE: Final = 16
PAGE_OF_IDS: Final = 64
#: How long one sync waits for a connection, and how long it may take in all, in seconds.
CONNECT_WAIT_S: Final = 0.1
SYNC_S: Final = 0.3
#: How long somebody who asks (find, recent, spend) waits, in seconds.
ASK_S: Final = 1.0

Answer = TypeVar("Answer")
Entry = tuple[bytes, Mapping[bytes, bytes]]


class Redis(View):
    """State in a Redis that all replicas share. When it is gone, each goes on with what it knows and keeps what to say.

    ``kept`` bounds the records in Redis, ``buffered`` those that wait here. Times are in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "gw",
        kept: int = 100_000,
        buffered: int = 10_000,
        command_s: float = 0.05,
        connect_s: float = 1.0,
    ) -> None:
        super().__init__()
        replica = secrets.token_hex(8)
        self._prefix = prefix
        self._kept = kept
        self._link = Link(url, command_s=command_s, connect_s=connect_s)
        self._outbox = Outbox(buffered, BATCH)
        self._meeting = Meeting(self, prefix, replica)
        self._log = f"{prefix}:decisions"
        self._ids = f"{prefix}:decisions:ids"
        self._sent = f"{prefix}:sent:{replica}"
        self._one_at_a_time = asyncio.Lock()
        self._now = 0.0
        self._refreshed_at = 0.0
        self._began_at: float | None = None

    def __repr__(self) -> str:
        health = self.health()
        how = "up" if health.up else f"not answering: {health.error}"
        return f"state in Redis under {self._prefix!r}, {how}; {len(self._outbox)} records to send"

    def alone(self, now: float) -> bool:
        """See State.alone. Before the first refresh it counts from the first sync."""
        since = self._refreshed_at or self._began_at
        return since is not None and now - since > ALONE_S

    def replicas(self) -> int:
        """See State.replicas."""
        return self._meeting.replicas

    def append(self, record: bytes, id: str) -> None:
        """See State.append."""
        self._outbox.append(id, record)

    def spent(self, caller: str, deployment: str, micros: int) -> None:
        """See State.spent."""
        self._outbox.spend(caller, deployment, micros)

    async def spend(self, caller: str) -> Mapping[str, int]:
        """See State.spend. Raises Unavailable when Redis does not answer."""
        return await self._ask(lambda: self._spend(caller))

    async def find(self, id: str) -> bytes | None:
        """See State.find. Raises Unavailable when Redis does not answer and the record is not here."""
        return self._outbox.find(id) or await self._ask(lambda: self._find(id))

    async def recent(self, limit: int) -> Sequence[bytes]:
        """See State.recent. Raises Unavailable when Redis does not answer."""
        return await self._ask(lambda: self._recent(limit))

    async def sync(self, now: float) -> None:
        """See State.sync. Takes at most half a second, whatever Redis does."""
        self._now = now
        if self._began_at is None:
            self._began_at = now
        try:
            async with asyncio.timeout(SYNC_S), self._one_at_a_time:
                if await self._link.up(CONNECT_WAIT_S):
                    await self._exchange(now)
        except (RedisError, OSError) as error:
            self._link.lost(error)
        if self.alone(now):
            self.leases.grant(now)

    def health(self) -> Health:
        """See State.health."""
        error = self._link.error
        return Health("redis", error is None, self._refreshed_at, error, self._outbox.dropped)

    async def aclose(self) -> None:
        """See State.aclose."""
        self.leases.let_all_go()
        await self.sync(self._now)
        while self._outbox and self.health().up:
            await self.sync(self._now)
        if self.health().up:
            with contextlib.suppress(RedisError, OSError):
                await self._meeting.leave(self._link.client)
        await self._link.aclose()

    async def _exchange(self, now: float) -> None:
        full = True
        while full:
            batch = self._outbox.batch()
            await self._send(now, batch)
            full = batch is not None and len(batch.records) == BATCH

    async def _send(self, now: float, batch: Batch | None) -> None:
        pipeline = self._link.client.pipeline(transaction=False)
        if batch is not None:
            keys, args = self._delivery(batch)
            pipeline.eval(DELIVER, len(keys), *keys, *args)
        feeds = self._meeting.render(pipeline, now)
        replies = await pipeline.execute()
        self._outbox.delivered()
        for feed, reply in zip(feeds, replies[-len(feeds) :], strict=True):
            feed(reply)
        self._refreshed_at = now
        self._link.answered()

    def _delivery(self, batch: Batch) -> tuple[list[str], list[str | bytes | int]]:
        keys = [self._sent, self._log, self._ids, f"{self._prefix}:decisions:count"]
        args: list[str | bytes | int] = [batch.number, self._kept]
        for (caller, deployment), micros in batch.spent.items():
            keys.append(self._spend_key(caller))
            args += (deployment, micros)
        for entry in _entries(batch):
            args += (len(entry), "\n".join(id for id, _ in entry), b"\n".join(record for _, record in entry))
        return keys, args

    async def _ask(self, answer: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            async with asyncio.timeout(ASK_S):
                if not await self._link.up(CONNECT_WAIT_S):
                    raise ConnectionError(self._link.error)
                return await answer()
        except (RedisError, OSError) as error:
            said = str(error) or "no answer in time"
            raise Unavailable(
                f"The shared state did not answer: {said}. Try again when Redis is back.", code="state_unavailable"
            ) from error

    async def _spend(self, caller: str) -> Mapping[str, int]:
        async with self._one_at_a_time:
            pipeline = self._link.client.pipeline(transaction=True)
            pipeline.get(self._sent)
            pipeline.hgetall(self._spend_key(caller))
            number, fleet = await pipeline.execute()
            sums = {deployment.decode(): int(micros) for deployment, micros in fleet.items()}
            for deployment, micros in self._outbox.spent_since(caller, int(number or 0)).items():
                sums[deployment] = sums.get(deployment, 0) + micros
            return sums

    async def _find(self, id: str) -> bytes | None:
        wanted = id.encode()
        async for at, fields in self._newest_entries(self._ids, PAGE_OF_IDS):
            ids = fields[b"ids"].split(b"\n")
            if wanted in ids:
                entries = await self._link.client.xrange(self._log, at, at)
                return _lines(cast(Entry, entries[0]))[ids.index(wanted)] if entries else None
        return None

    async def _recent(self, limit: int) -> Sequence[bytes]:
        # A record under way may have arrived already: named twice, it is told once.
        newest = dict.fromkeys(self._outbox.newest(limit))
        async for entry in self._newest_entries(self._log, PAGE):
            newest.update(dict.fromkeys(reversed(_lines(entry))))
            if len(newest) >= limit:
                break
        return list(islice(newest, limit))

    async def _newest_entries(self, stream: str, page_size: int) -> AsyncIterator[Entry]:
        end = "+"
        while page := cast(list[Entry], await self._link.client.xrevrange(stream, end, "-", page_size)):
            for entry in page:
                yield entry
            end = f"({page[-1][0].decode()}"

    def _spend_key(self, caller: str) -> str:
        return f"{self._prefix}:spend:{caller}"


def _entries(batch: Batch) -> Iterator[tuple[tuple[str, bytes], ...]]:
    for start in range(0, len(batch.records), ENTRY):
        yield batch.records[start : start + ENTRY]


def _lines(entry: Entry) -> list[bytes]:
    return entry[1][b"records"].split(b"\n")
