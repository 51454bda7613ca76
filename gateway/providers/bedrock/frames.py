"""AWS's binary frames, cut anywhere by the network, back in one piece and with both checksums checked.

Read next: reading.py, which reads what the frames carry. Source: "Event stream encoding" in the AWS documentation
(application/vnd.amazon.eventstream): a frame is its length, the length of its headers and a CRC-32 of these two, then
the headers, the payload, and a CRC-32 of all that came before it. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final
from zlib import crc32

from msgspec import Struct

__all__ = ["MAX_HEADERS", "MAX_PAYLOAD", "Frame", "Frames", "Garbled", "Value", "framed"]

#: What AWS allows at most, in bytes.
MAX_HEADERS: Final = 128 * 1024
MAX_PAYLOAD: Final = 24 * 1024 * 1024

PRELUDE: Final = struct.Struct(">III")
CHECKSUM: Final = struct.Struct(">I")
LENGTH: Final = struct.Struct(">H")
#: The bytes of a frame that are neither headers nor payload.
AROUND: Final = PRELUDE.size + CHECKSUM.size

TRUE: Final = 0
FALSE: Final = 1
BYTES: Final = 6
TEXT: Final = 7
UUID: Final = 9
#: Byte, short, integer, long, and a timestamp in milliseconds since 1970.
NUMBERS: Final = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
NUMBERS[8] = NUMBERS[5]

Value = bool | int | str | bytes


class Frame(Struct, frozen=True):
    """One message: its headers by name, and the bytes that it carries."""

    headers: Mapping[str, Value]
    payload: bytes

    def said(self, name: str) -> str:
        """The header of this name where it is a text, else nothing."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class Garbled(Exception):
    """The bytes are no frames: a checksum is wrong, or a length or header makes no sense."""


class Frames:
    """Takes the bytes of a stream as they come and gives every frame that is complete."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def __repr__(self) -> str:
        return f"{len(self._rest)} bytes that are not yet a frame"

    @property
    def rest(self) -> int:
        """How many bytes have come since the last complete frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete. Raises Garbled where one is damaged, after all that came before it."""
        rest = self._rest
        rest += data
        while len(rest) >= PRELUDE.size:
            total, size = measured(rest)
            if len(rest) < total:
                return
            whole = bytes(rest[:total])
            del rest[:total]
            yield frame_of(whole, size)


def measured(data: bytearray) -> tuple[int, int]:
    """The length of the frame that begins here and that of its headers. Raises Garbled."""
    total, size, checksum = PRELUDE.unpack_from(data)
    if crc32(data[:8]) != checksum:
        raise Garbled("the checksum of a frame's lengths is wrong")
    if size > MAX_HEADERS or not 0 <= total - size - AROUND <= MAX_PAYLOAD:
        raise Garbled(f"a frame of {total} bytes, {size} of them headers, is outside what AWS allows")
    return total, size


def frame_of(data: bytes, size: int) -> Frame:
    """A whole frame with ``size`` bytes of headers. Raises Garbled."""
    end = len(data) - CHECKSUM.size
    if crc32(data[:end]) != CHECKSUM.unpack_from(data, end)[0]:
        raise Garbled("the checksum of a frame is wrong")
    start = PRELUDE.size + size
    return Frame(headers_of(data[PRELUDE.size : start]), data[start:end])


# Nearly every frame of a stream has the same headers.
@lru_cache(maxsize=32)
def headers_of(data: bytes) -> Mapping[str, Value]:
    """The headers in a frame. Raises Garbled."""
    found: dict[str, Value] = {}
    at = 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            name = data[at + 1 : end].decode()
            if name in found:
                raise Garbled(f"a frame has the header {name!r} twice")
            found[name], at = value_at(data, end)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise Garbled(f"the headers of a frame cannot be read: {error}") from error
    return found


def value_at(data: bytes, at: int) -> tuple[Value, int]:
    """The value whose type stands at ``at``, and where it ends. Raises Garbled, IndexError and struct.error."""
    kind = data[at]
    at += 1
    if kind in (TRUE, FALSE):
        return kind == TRUE, at
    if kind in NUMBERS:
        (number,) = NUMBERS[kind].unpack_from(data, at)
        return int(number), at + NUMBERS[kind].size
    if kind in (BYTES, TEXT):
        (size,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size
    elif kind == UUID:
        size = 16
    else:
        raise Garbled(f"a header of a frame has the type {kind}, which is none")
    value = data[at : at + size]
    if len(value) < size:
        raise Garbled("a header of a frame is longer than the frame says")
    return value.decode() if kind == TEXT else value, at + size


def framed(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A frame with these headers, all of them texts: the way back, for tests and simulated providers."""
    block = b"".join(
        bytes([len(name.encode())]) + name.encode() + bytes([TEXT]) + LENGTH.pack(len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack(">II", AROUND + len(block) + len(payload), len(block))
    before = lengths + CHECKSUM.pack(crc32(lengths)) + block + payload
    return before + CHECKSUM.pack(crc32(before))
