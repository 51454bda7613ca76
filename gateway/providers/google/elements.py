"""The objects of a JSON array that comes in pieces: a stream of a server that does not do server-sent events.

Read next: reading.py. A single object, not in an array, is read as well: an error comes so.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.providers.sse import EventTooLarge

__all__ = ["Elements"]

#: The bytes that change where in the JSON we are. What a backslash escapes does not.
TURNS: Final = re.compile(rb'["\\{}]')


class Elements:
    """Takes the bytes as they come and gives the outermost objects that are whole."""

    __slots__ = ("_at", "_deep", "_limit", "_rest", "_start", "_text")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._at = 0  # where to look on
        self._start = 0  # of the object that is open
        self._deep = 0
        self._text = False

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that these bytes complete. Raises EventTooLarge."""
        self._rest += data
        found: list[bytes] = []
        while (turn := TURNS.search(self._rest, self._at)) is not None:
            at = turn.start()
            self._at = at + 1
            match self._rest[at]:
                case 0x22:  # a quotation mark
                    self._text = not self._text
                case 0x5C:  # a backslash: the next byte says nothing of itself
                    self._at += 1
                case _ if not self._text:
                    found += self._brace(at, opens=self._rest[at] == 0x7B)
        self._at = max(self._at, len(self._rest))
        self._forget()
        return found

    def _brace(self, at: int, *, opens: bool) -> list[bytes]:
        if opens:
            if self._deep == 0:
                self._start = at
            self._deep += 1
            return []
        if self._deep == 0:
            return []
        self._deep -= 1
        return [bytes(self._rest[self._start : at + 1])] if self._deep == 0 else []

    def _forget(self) -> None:
        """Only an open object is kept."""
        cut = self._start if self._deep else min(self._at, len(self._rest))
        del self._rest[:cut]
        self._at -= cut
        self._start = 0
        if len(self._rest) > self._limit:
            raise EventTooLarge(f"an element of the stream is larger than {self._limit} bytes")

    def close(self) -> list[bytes]:
        """The stream has ended: an object that is not whole is none."""
        return []
