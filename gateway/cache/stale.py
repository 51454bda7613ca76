"""The last good answer to a request, for when nothing else can serve it. Read next: ../pipeline.py, which asks for it.

Only routes that say ``degrade`` keep any. An answer is kept for its caller alone and for the very same request: the
same members, whatever their order and whether it was asked for as a stream.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec

from gateway.providers.protocol import Answer
from gateway.types import Call, Caller

__all__ = ["Stale", "key_of"]

#: What all kept answers may take together, in bytes.
MOST: Final = 64 * 1024 * 1024
#: Members that change how an answer is delivered, or who is counted for it, but not what it says.
ASIDE: Final = frozenset({"stream", "stream_options", "user", "metadata", "store"})


def key_of(call: Call, caller: Caller) -> bytes:
    """What answers are kept by."""
    # What the client said in its own words is more than what canonical ones say of it.
    said = call.fields if call.native is None else call.native.fields
    fields = {name: value for name, value in said.items() if name not in ASIDE}
    key = [caller.id, call.operation, call.dialect, fields]
    return hashlib.sha256(msgspec.json.encode(key, order="deterministic")).digest()


class Stale:
    """Whole answers, the least recently used forgotten first. Times are monotonic seconds."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, tuple[float, Answer]] = OrderedDict()
        self._size = 0

    def __repr__(self) -> str:
        return f"{len(self._kept)} answers kept, {self._size} of {self._most} bytes"

    def keep(self, key: bytes, answer: Answer, now: float) -> None:
        """Keep an answer in place of an earlier one."""
        self._forget(key)
        self._kept[key] = (now, answer)
        self._size += len(answer.body)
        while self._size > self._most:
            self._forget(next(iter(self._kept)))

    def find(self, key: bytes, max_age_s: float, now: float) -> tuple[float, Answer] | None:
        """How old the answer is in seconds, and it; None when there is none, or it is too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        if now - found[0] > max_age_s:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return now - found[0], found[1]

    def _forget(self, key: bytes) -> None:
        if (known := self._kept.pop(key, None)) is not None:
            self._size -= len(known[1].body)
