"""Server-sent events, cut anywhere by the network, back in one piece.

Read next: stream.py, which reads what the events carry. Source: the WHATWG HTML standard, section 9.2.6.
"""

from __future__ import annotations

import codecs
from typing import Final

__all__ = ["LARGE_EVENT", "MAX_EVENT", "EventTooLarge", "Splitter"]

#: Bytes of one event. No honest one of text comes near.
MAX_EVENT: Final = 1024 * 1024
#: The same where a picture or a document may stand in one.
LARGE_EVENT: Final = 32 * 1024 * 1024

PREFIX: Final = b"data: "
CRLF: Final = b"\r\n"
FIELDS: Final = (b"data:", b"error:")


class EventTooLarge(Exception):
    """An event is larger than MAX_EVENT, or never ends."""


class Splitter:
    """Takes the bytes of a stream as they come and gives the data of each event that is complete.

    Comments and all fields but ``data`` are left out; the lines of one event are joined by LF. LF, CRLF and CR all
    end a line. ``limit`` is the most bytes of one event.
    """

    __slots__ = ("_after_cr", "_fresh", "_limit", "_rest", "_searched")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._searched = 0
        self._after_cr = False
        self._fresh = True

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that these bytes complete. Raises EventTooLarge."""
        if not (self._rest or self._fresh or self._after_cr):
            if data.endswith(b"\n\n") and b"\r" not in data:
                if data.count(b"\n") == 2 and data.startswith(PREFIX) and len(data) <= self._limit:
                    return [data[6:-2]]
                return events_of(data, self._limit)
            if is_one_with_crlf(data) and len(data) <= self._limit:
                return [data[6:-4]]
        if self._fresh:
            data = self._without_mark(data)
        if self._after_cr or b"\r" in data:
            data = self._with_lf(data)
        if self._rest:
            data = self._joined(data)
        elif not data.endswith(b"\n\n"):
            data = self._kept(data)
        return events_of(data, self._limit)

    @property
    def rest(self) -> bytes:
        """What has come since the last complete event."""
        return bytes(self._rest)

    def close(self) -> list[bytes]:
        """The stream has ended: what an event without its blank line held."""
        event = event_of(self.rest, self._limit) if self._rest else None
        return [] if event is None else [event]

    def _without_mark(self, data: bytes) -> bytes:
        """The bytes without a byte order mark at the very start, however it is cut."""
        data = bytes(self._rest) + data
        self._rest.clear()
        if len(data) < len(codecs.BOM_UTF8) and codecs.BOM_UTF8.startswith(data):
            self._rest += data
            return b""
        self._fresh = False
        return data.removeprefix(codecs.BOM_UTF8)

    def _with_lf(self, data: bytes) -> bytes:
        """The bytes with LF for every line end, also where a CRLF is cut in two."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _joined(self, data: bytes) -> bytes:
        """The complete events among what was left and what has come; the rest is left."""
        if self._fresh:
            return data
        rest = self._rest
        rest += data
        end = rest.rfind(b"\n\n", self._searched)
        self._searched = max(len(rest) - 1, 0)
        if end < 0:
            self._bound()
            return b""
        whole = bytes(rest[: end + 2])
        del rest[: end + 2]
        self._searched = max(len(rest) - 1, 0)
        self._bound()
        return whole

    def _kept(self, data: bytes) -> bytes:
        end = data.rfind(b"\n\n")
        cut = end + 2 if end >= 0 else 0
        self._rest += data[cut:]
        self._searched = max(len(self._rest) - 1, 0)
        self._bound()
        return data[:cut]

    def _bound(self) -> None:
        if len(self._rest) > self._limit:
            raise EventTooLarge(f"an event of the stream is larger than {self._limit} bytes")


def is_one_with_crlf(data: bytes) -> bool:
    """Whether these bytes are one event of one line, as Google sends them."""
    return data.endswith(CRLF + CRLF) and data.startswith(PREFIX) and data.count(b"\n") == 2 == data.count(b"\r")


def events_of(blocks: bytes, limit: int = MAX_EVENT) -> list[bytes]:
    return [event for block in blocks.split(b"\n\n") if block and (event := event_of(block, limit)) is not None]


def event_of(block: bytes, limit: int = MAX_EVENT) -> bytes | None:
    """The data of one event's lines; None when it has none."""
    if len(block) > limit:
        raise EventTooLarge(f"an event of the stream is larger than {limit} bytes")
    if block.startswith(PREFIX) and b"\n" not in block:
        return block[6:]
    if block.startswith(b"event:"):
        # Many name each event before its one line of data: read without looking at every line.
        _, _, data = block.partition(b"\n")
        if data.startswith(PREFIX) and b"\n" not in data:
            return data[6:]
    lines = [value for line in block.split(b"\n") if (value := value_of(line)) is not None]
    return b"\n".join(lines) if lines else None


def value_of(line: bytes) -> bytes | None:
    """What a line of ``data`` holds; also of ``error``, a field that llama.cpp's server has made up."""
    for field in FIELDS:
        if line.startswith(field):
            return line[len(field) :].removeprefix(b" ")
    return b"" if line == b"data" else None
