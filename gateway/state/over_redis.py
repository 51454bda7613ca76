"""State shared by a fleet of replicas over Redis. Read next: scripts.py, what Redis does with it.

Under ``prefix``: ``decisions`` is a stream of records, up to 64 in an entry as lines; ``decisions:ids`` is a stream
of their ids with the same entry ids, which is how a record is found: one more small write per entry instead of an
index key per record, trimmed in the same step. What is shared about health has its keys in meeting.py, what was used in
telling.py, what is remembered for callers in recollection.py, the keys that callers have in keyring.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Any, Final, TypeVar, cast

from redis.exceptions import RedisError, ResponseError

from gateway.budgets.account import Row
from gateway.budgets.fleet import Answer, Turn
from gateway.errors import Unavailable
from gateway.state.accounts import read_rows, take_turn
from gateway.state.asking import Asking
from gateway.state.keyring import Keyring
from gateway.state.link import Link
from gateway.state.meeting import Feed, Meeting
from gateway.state.outbox import Batch, Outbox
from gateway.state.recollection import Recollection
from gateway.state.scripts import DELIVER
from gateway.state.telling import Telling
from gateway.state.verbs import ALONE_S, Draw, Health
from gateway.state.view import View
from gateway.usage.sums import Page

__all__ = ["Redis"]

#: Records in one entry of the stream, and in one batch.
ENTRY: Final = 64
BATCH: Final = 8 * ENTRY
#: Entries read at a time: of records, up to 2 MB, and of ids.
PAGE: Final = 16
PAGE_OF_IDS: Final = 64
#: How long one sync waits for a connection, goes on sending what has piled up, and may take in all, in seconds.
CONNECT_WAIT_S: Final = 0.1
SEND_S: Final = 0.15
SYNC_S: Final = 0.3
#: How long a batch that was refused (Redis is full, or only reads) waits for its next try, in seconds.
REFUSED_S: Final = 1.0
#: How often it is made sure that Redis does not evict, in seconds.
JUDGE_S: Final = 1.0
#: How long somebody who asks (find, recent) waits, in seconds.
ASK_S: Final = 1.0

Answer_ = TypeVar("Answer_")
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
        self._prefix = prefix
        self._kept = kept
        self._link = Link(url, command_s=command_s, connect_s=connect_s)
        self._outbox = Outbox(buffered, BATCH)
        self._one_at_a_time = asyncio.Lock()
        self._meeting = Meeting(self, prefix, self.replica)
        self._telling = Telling(self.tally, prefix, self.replica)
        self._keyring = Keyring(self._link, prefix, awaited=self.count_awaited)
        self._recollection = Recollection(self._link, prefix, self.remembered, self.buckets)
        self._asking = Asking(self, self._link, self._meeting, prefix, self._one_at_a_time, command_s)
        self._log = f"{prefix}:decisions"
        self._ids = f"{prefix}:decisions:ids"
        self._sent = f"{prefix}:sent:{self.replica}"
        self._now = 0.0
        self._refreshed_at = 0.0
        self._heard_at: float | None = None
        self._refused: str | None = None
        self._refused_at = 0.0
        self._judged_at = -inf

    @property
    def blank(self) -> bool:
        """Never: another replica may remember something."""
        return False

    def __repr__(self) -> str:
        health = self.health()
        how = "up" if health.up else f"not answering: {health.error}"
        return f"state in Redis under {self._prefix!r}, {how}; {len(self._outbox)} records to send"

    def alone(self, now: float) -> bool:
        """See State.alone. Before the first refresh it counts from the first sync."""
        return self._heard_at is not None and now - self._heard_at > ALONE_S

    @property
    def heard(self) -> bool:
        """See State.heard."""
        return self._meeting.met

    def replicas(self) -> int:
        """See State.replicas."""
        return self._meeting.replicas

    async def ask(self, draws: Sequence[Draw], places: Sequence[str], now: float) -> bool | None:
        """See State.ask."""
        return await self._asking.ask(draws, places, now)

    def vacate(self, name: str) -> None:
        """See State.vacate."""
        self.places.leave(name)
        if self.places.urgent:
            self._asking.begin()

    def append(self, record: bytes, id: str) -> None:
        """See State.append."""
        self._outbox.append(id, record)

    def remember(self, caller: str, values: Mapping[str, bytes]) -> None:
        """See State.remember. It goes out at once, not at the next sync: the next turn may come sooner."""
        super().remember(caller, values)
        self._recollection.begin()

    async def accounts(self, turn: Turn) -> Answer:
        """See State.accounts. Raises Unavailable when Redis does not answer."""
        return await self._at_once(lambda: take_turn(self._link.client, self._prefix, turn, secrets.token_hex(8)))

    async def first(self, name: str, keep_s: int) -> bool:
        """See State.first. Raises Unavailable when Redis does not answer."""
        key = f"{self._prefix}:first:{name}"
        return bool(await self._ask(lambda: self._link.client.set(key, self.replica, nx=True, ex=keep_s)))

    async def rows(self, accounts: Sequence[str]) -> Mapping[str, Mapping[str, Row]]:
        """See State.rows. Raises Unavailable when Redis does not answer."""
        return await self._ask(lambda: read_rows(self._link.client, self._prefix, accounts))

    async def present(self) -> frozenset[str]:
        """See State.present. Raises Unavailable when Redis does not answer."""
        return await self._ask(lambda: self._meeting.present(self._link.client))

    async def find(self, id: str) -> bytes | None:
        """See State.find. Raises Unavailable when Redis does not answer and the record is not here."""
        return self._outbox.find(id) or await self._ask(lambda: self._find(id))

    async def recent(self, limit: int) -> Sequence[bytes]:
        """See State.recent. Raises Unavailable when Redis does not answer."""
        return await self._ask(lambda: self._recent(limit))

    async def used(self, days: Sequence[int]) -> AsyncIterator[Page]:
        """See State.used. Raises Unavailable when Redis does not answer."""
        pages = self._telling.read(self._link.client, days)
        while (page := await self._ask(lambda: anext(pages, None))) is not None:
            yield page

    def key(self, id: str) -> bytes | None:
        """See State.key."""
        return self._keyring.find(id)

    async def find_key(self, id: str) -> bytes | None:
        """See State.find_key."""
        return await self._keyring.ask(id)

    async def keys(self) -> Mapping[str, bytes]:
        """See State.keys. Raises Unavailable when Redis does not answer."""
        return await self._ask(self._keyring.all)

    async def change_key(self, id: str, before: bytes | None, after: bytes | None) -> bytes | None:
        """See State.change_key. Raises Unavailable when Redis does not answer."""
        return await self._ask(lambda: self._keyring.change(id, before, after))

    async def sync(self, now: float) -> None:
        """See State.sync. Takes at most half a second, whatever Redis does."""
        self._now = now
        if self._heard_at is None:
            self._heard_at = now
        try:
            async with asyncio.timeout(SYNC_S), self._one_at_a_time:
                if await self._link.up(CONNECT_WAIT_S):
                    await self._exchange(now)
        except (RedisError, OSError) as error:
            self._link.failed(error)
        self._recollection.turn(now)
        self._asking.turn(now)
        if self.alone(now):
            self.leases.grant(now)

    def health(self) -> Health:
        """See State.health. A Redis that takes no records is not up, even where it still answers."""
        error = self._link.error or self._refused or self._telling.error
        dropped, known = self._outbox.dropped, self.remembered
        return Health("redis", error is None, self._refreshed_at, error, dropped, known.lost, known.kept, known.found)

    async def aclose(self) -> None:
        """See State.aclose."""
        self.leases.let_all_go()
        self._telling.hasten()
        await self.sync(self._now)
        while (self._outbox or self._telling.untold) and self.health().up:
            self._telling.hasten()
            await self.sync(self._now)
        if self.health().up:
            await self._recollection.finish()
            with contextlib.suppress(RedisError, OSError):
                await self._meeting.leave(self._link.client)
        await self._keyring.aclose()
        await self._asking.aclose()
        await self._link.aclose()

    async def _from_others(self, names: Sequence[str]) -> Mapping[str, bytes]:
        self.count_awaited("turn")
        return await self._recollection.ask(names)

    async def _exchange(self, now: float) -> None:
        give_over_at = asyncio.get_running_loop().time() + SEND_S
        more = await self._send(now, self._meeting)
        await self._keyring.catch_up()
        while more and asyncio.get_running_loop().time() < give_over_at:
            more = await self._send(now, None)
        if not 0 <= now - self._judged_at < JUDGE_S:
            await self._link.judge()
            self._judged_at = now

    async def _send(self, now: float, meeting: Meeting | None) -> bool:
        """One round trip, with a batch and all else there is to say. Whether there may be another batch."""
        pipeline = self._link.client.pipeline(transaction=False)
        batch = self._due(now)
        if batch is not None:
            keys, args = self._delivery(batch)
            pipeline.eval(DELIVER, len(keys), *keys, *args)
        feeds: list[Feed] = []
        if meeting is not None:
            feeds += meeting.render(pipeline, now)
            feeds += self._telling.render(pipeline, now)
            feeds += self._keyring.render(pipeline)
        replies = await pipeline.execute(raise_on_error=False)
        more = batch is not None and self._delivered(batch, replies.pop(0), now)
        if meeting is not None:
            self._heard(feeds, replies, now)
        return more

    def _due(self, now: float) -> Batch | None:
        """The batch to send now: not one that was refused a moment ago."""
        refused = self._refused is not None and 0 <= now - self._refused_at < REFUSED_S
        return None if refused else self._outbox.batch()

    def _delivered(self, batch: Batch, reply: ResponseError | Sequence[Any], now: float) -> bool:
        """Take what DELIVER answered. Whether there may be another batch."""
        if isinstance(reply, ResponseError):
            self._refused, self._refused_at = str(reply), now
            return False
        lost, why = reply
        self._outbox.delivered(lost)
        self._refused = f"{lost} records could not be written: {why.decode()}" if lost else None
        return len(batch.records) == BATCH

    def _heard(self, feeds: Sequence[Feed], replies: Sequence[object], now: float) -> None:
        """Each answer counts for itself. Raises the first that is an error."""
        for feed, reply in zip(feeds, replies, strict=True):
            if not isinstance(reply, ResponseError):
                feed(reply)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        self._refreshed_at = self._heard_at = now
        self._link.answered()

    def _delivery(self, batch: Batch) -> tuple[list[str], list[str | bytes | int]]:
        keys = [self._sent, self._log, self._ids, f"{self._prefix}:decisions:count"]
        args: list[str | bytes | int] = [batch.number, self._kept]
        for entry in _entries(batch):
            args += (len(entry), "\n".join(id for id, _ in entry), b"\n".join(record for _, record in entry))
        return keys, args

    async def _at_once(self, answer: Callable[[], Awaitable[Answer_]]) -> Answer_:
        """An answer that a request may wait for: over a connection that is there, within the time of one command."""
        try:
            if not await self._link.up():
                raise ConnectionError(self._link.error)
            return await answer()
        except (RedisError, OSError) as error:
            self._link.failed(error)
            raise _unavailable(error) from error

    async def _ask(self, answer: Callable[[], Awaitable[Answer_]]) -> Answer_:
        try:
            async with asyncio.timeout(ASK_S):
                if not await self._link.up(CONNECT_WAIT_S):
                    raise ConnectionError(self._link.error)
                return await answer()
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

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


def _unavailable(error: Exception) -> Unavailable:
    said = str(error).rstrip(".") or "no answer in time"
    return Unavailable(
        f"The shared state did not answer: {said}. Try again when Redis is back.", code="state_unavailable"
    )


def _entries(batch: Batch) -> Iterator[tuple[tuple[str, bytes], ...]]:
    for start in range(0, len(batch.records), ENTRY):
        yield batch.records[start : start + ENTRY]


def _lines(entry: Entry) -> list[bytes]:
    return entry[1][b"records"].split(b"\n")
