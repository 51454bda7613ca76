"""Keys made at run time, as one replica of a fleet knows them. Read next: lookup.py; scripts.py, CHANGE.

Under ``prefix``: ``keys`` is a hash of documents by id, ``keys:changes`` a stream of the ids that were changed, whose
entries Redis numbers by its clock. Each sync reads what has come behind the last entry that was seen; what has changed
of it is read again at once. Where that entry is not there any more, Redis has lost something, or there were too many:
then everything that is known here is read again, and what this replica itself changed a moment ago is told again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast

from redis.exceptions import RedisError

from gateway.errors import Unavailable
from gateway.state.link import Link
from gateway.state.lookup import Lookup
from gateway.state.scripts import CHANGE

__all__ = ["Keyring"]

#: How long a request waits for a key that is not known here, in seconds.
ASK_S: Final = 0.05
#: What a client is told to wait when that is not found out, in seconds.
RETRY_S: Final = 1.0
#: Keys that are known here, and ids that are known to be nobody's.
MOST: Final = 10_000
MOST_MISSES: Final = 10_000
#: How long after the last sync it still counts that an id was nobody's, in seconds.
FRESH_S: Final = 1.0
#: Entries of the stream that are read in one sync, and that Redis keeps.
PAGE: Final = 256
KEPT: Final = 4096
#: Documents that are read again in one command, and how many are listed at a time.
STEP: Final = 256
#: For how long a change of one's own may still be lost in a failover, in seconds.
YOUNG_S: Final = 5.0
#: Before the first entry.
START: Final = b"0-0"


class Keyring:
    """Documents by id: the most recently used of those that there are. ``awaited`` is told of who waits for Redis."""

    def __init__(self, link: Link, prefix: str, *, awaited: Callable[[str], None] = lambda reason: None) -> None:
        self._link = link
        self._awaited = awaited
        self._keys = f"{prefix}:keys"
        self._changes = f"{prefix}:keys:changes"
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._misses: OrderedDict[str, None] = OrderedDict()
        self._lookup = Lookup(self._read)
        self._seen: bytes | None = None
        self._heard_at = 0.0
        self._to_read: set[str] = set()
        self._own: deque[tuple[float, str, bytes | None, bytes | None]] = deque(maxlen=100)
        self._to_tell = False
        #: Counts what was heard and done: an answer to what was asked before that may be too old to keep.
        self._turn = 0

    def __repr__(self) -> str:
        return f"{len(self._known)} keys made at run time known here, {len(self._misses)} ids known to be nobody's"

    # --- what requests ask --------------------------------------------------------------------------------------

    def find(self, id: str) -> bytes | None:
        """The document of a key, as far as it is known here."""
        document = self._known.get(id)
        if document is not None:
            self._known.move_to_end(id)
        return document

    async def ask(self, id: str) -> bytes | None:
        """The document of a key, from Redis where it is not known here. Raises Unavailable where Redis is gone."""
        if (document := self.find(id)) is not None:
            return document
        if id in self._misses and _time() - self._heard_at < FRESH_S:
            return None
        self._awaited("key")
        try:
            async with asyncio.timeout(ASK_S):
                return await self._lookup.find(id)
        except OSError as error:
            raise Unavailable(
                "The shared state did not answer, and this key is not known here yet: try again shortly.",
                code="state_unavailable",
                retry_after_s=RETRY_S,
            ) from error

    # --- what operators do --------------------------------------------------------------------------------------

    async def all(self) -> Mapping[str, bytes]:
        """The documents of all keys. Raises what redis-py raises."""
        found: dict[str, bytes] = {}
        async for id, document in self._link.client.hscan_iter(self._keys, count=STEP):
            found[id.decode()] = document
        return found

    async def change(self, id: str, before: bytes | None, after: bytes | None) -> bytes | None:
        """See State.change_key. Counts here at once. Raises what redis-py raises."""
        found = await self._tell(id, before, after)
        self._turn += 1
        self._learn(id, found)
        if found == after:
            self._own.append((_time(), id, before, after))
        return found

    # --- syncs --------------------------------------------------------------------------------------------------

    def render(self, pipe: Any) -> list[Callable[[Any], None]]:
        """Add what is to be asked; each of what is returned takes the answer to one command, in order."""
        if self._seen is None:
            pipe.xrevrange(self._changes, "+", "-", 1)
            return [self._begin]
        pipe.xrange(self._changes, self._seen, "+", PAGE)
        return [self._hear]

    async def catch_up(self) -> None:
        """Tell again what may be lost, and read again what has changed. Raises what redis-py raises."""
        if self._to_tell:
            for at, id, before, after in list(self._own):
                if _time() - at < YOUNG_S:
                    await self._tell(id, before, after)
            self._to_tell = False
        while self._to_read:
            ids = list(islice(self._to_read, STEP))
            turn = self._turn
            documents = await self._get(ids)
            if turn == self._turn:
                for id, document in zip(ids, documents, strict=True):
                    self._learn(id, document)
                self._to_read.difference_update(ids)

    async def aclose(self) -> None:
        """Ask no more."""
        await self._lookup.aclose()

    def _begin(self, newest: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
        """Nothing is known of what has changed up to here."""
        self._seen = newest[0][0] if newest else START
        self._heard_at = _time()
        self._turn += 1
        self._misses.clear()
        self._to_read.update(self._known)

    def _hear(self, entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
        if self._seen != START:
            if not entries or entries[0][0] != self._seen:
                self._seen, self._to_tell = None, True
                return
            entries = entries[1:]
        self._heard_at = _time()
        for at, fields in entries:
            self._seen = at
            self._turn += 1
            id = fields[b"id"].decode()
            self._misses.pop(id, None)
            if id in self._known or len(self._known) < MOST:
                self._to_read.add(id)

    # --- what both need -----------------------------------------------------------------------------------------

    async def _read(self, ids: Sequence[str]) -> Sequence[bytes | None]:
        """What Redis has of these. Raises OSError where it does not answer."""
        turn = self._turn
        try:
            if not await self._link.up(ASK_S):
                raise ConnectionError(self._link.error)
            documents = await self._get(ids)
        except RedisError as error:
            self._link.failed(error)
            raise ConnectionError(str(error)) from error
        if turn == self._turn:
            for id, document in zip(ids, documents, strict=True):
                self._learn(id, document)
        return documents

    async def _get(self, ids: Sequence[str]) -> list[bytes | None]:
        return cast("list[bytes | None]", await self._link.client.hmget(self._keys, list(ids)))

    async def _tell(self, id: str, before: bytes | None, after: bytes | None) -> bytes | None:
        found: bytes = await self._link.client.eval(
            CHANGE, 2, self._keys, self._changes, id, before or b"", after or b"", KEPT
        )
        return found or None

    def _learn(self, id: str, document: bytes | None) -> None:
        if document is None:
            self._known.pop(id, None)
            _put(self._misses, id, None, MOST_MISSES)
            return
        self._misses.pop(id, None)
        _put(self._known, id, document, MOST)


def _put(into: OrderedDict[str, Any], id: str, value: Any, most: int) -> None:
    into[id] = value
    into.move_to_end(id)
    if len(into) > most:
        into.popitem(last=False)


def _time() -> float:
    return asyncio.get_running_loop().time()
