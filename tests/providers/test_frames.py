"""AWS's binary frames, however they are cut, and what a damaged one does. Read next: test_bedrock.py."""

from __future__ import annotations

import importlib
import importlib.util
import struct
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.bedrock.frames import MAX_PAYLOAD, Frame, Frames, Garbled, framed

#: botocore is not among our packages: where it is there, it is the judge.
JUDGE: Any = importlib.import_module("botocore.eventstream") if importlib.util.find_spec("botocore") else None

NAMES = st.text(min_size=1, max_size=20)


def sized(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


KINDS = st.one_of(
    st.booleans().map(lambda value: (value, bytes([0 if value else 1]))),
    st.integers(-(2**7), 2**7 - 1).map(lambda value: (value, b"\2" + struct.pack(">b", value))),
    st.integers(-(2**15), 2**15 - 1).map(lambda value: (value, b"\3" + struct.pack(">h", value))),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: (value, b"\4" + struct.pack(">i", value))),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: (value, b"\5" + struct.pack(">q", value))),
    st.binary(max_size=40).map(lambda value: (value, b"\6" + sized(value))),
    st.text(max_size=40).map(lambda value: (value, b"\7" + sized(value.encode()))),
    st.integers(0, 2**62).map(lambda value: (value, b"\x08" + struct.pack(">q", value))),
    st.binary(min_size=16, max_size=16).map(lambda value: (value, b"\x09" + value)),
)


def packed(block: bytes, payload: bytes) -> bytes:
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    before = lengths + struct.pack(">I", crc32(lengths)) + block + payload
    return before + struct.pack(">I", crc32(before))


@st.composite
def messages(draw: st.DrawFn) -> tuple[Frame, bytes]:
    """A frame with headers of any type, and its bytes."""
    headers = draw(st.dictionaries(NAMES, KINDS, max_size=5))
    payload = draw(st.binary(max_size=60))
    block = b"".join(bytes([len(n.encode())]) + n.encode() + data for n, (_, data) in headers.items())
    return Frame({name: value for name, (value, _) in headers.items()}, payload), packed(block, payload)


STREAMS = st.lists(messages(), max_size=4)


def read(data: bytes, *cuts: int) -> tuple[list[Frame], str | None]:
    """The frames in these bytes, cut at these places, and what was wrong with the next one."""
    frames = Frames()
    found: list[Frame] = []
    try:
        for start, end in pairwise([0, *cuts, len(data)]):
            found.extend(frames.feed(data[start:end]))
    except Garbled as error:
        return found, str(error)
    return found, None


@given(STREAMS, st.data())
def test_what_was_framed_comes_back_whatever_the_cuts(sent: list[tuple[Frame, bytes]], data: st.DataObject) -> None:
    stream = b"".join(raw for _, raw in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    assert read(stream, *cuts) == ([frame for frame, _ in sent], None)


@pytest.mark.skipif(JUDGE is None, reason="botocore, the judge, is not installed")
@given(STREAMS)
def test_botocore_reads_the_same(sent: list[tuple[Frame, bytes]]) -> None:
    judge = JUDGE.EventStreamBuffer()
    judge.add_data(b"".join(raw for _, raw in sent))
    said = [Frame(dict(message.headers), message.payload) for message in judge]
    assert [frame for frame, _ in sent] == said


@given(messages(), st.data())
def test_a_flipped_bit_is_always_noticed(sent: tuple[Frame, bytes], data: st.DataObject) -> None:
    raw = bytearray(sent[1])
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << at % 8
    frames, wrong = read(bytes(raw))
    assert frames == []
    assert wrong is not None


@given(messages(), messages())
def test_a_damaged_frame_does_not_take_along_what_came_before_it(
    good: tuple[Frame, bytes], bad: tuple[Frame, bytes]
) -> None:
    assert read(good[1] + bad[1][:-1] + bytes([bad[1][-1] ^ 1])) == ([good[0]], "the checksum of a frame is wrong")


def test_every_cut_gives_the_same_frames() -> None:
    headers = {":event-type": "messageStop", ":message-type": "event"}
    stream = framed(headers, b'{"stopReason":"end_turn"}') + framed(headers, b"") + framed({}, b"x")
    whole = [Frame(headers, b'{"stopReason":"end_turn"}'), Frame(headers, b""), Frame({}, b"x")]
    for cut in range(len(stream)):
        assert read(stream, cut) == (whole, None), cut
    assert read(stream, *range(1, len(stream))) == (whole, None)


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (b"HTTP/1.1 502 Bad Gateway", "the checksum of a frame's lengths is wrong"),
        (packed(b"\x05:", b""), "the headers of a frame cannot be read: index out of range"),
        (packed(b"\x01a\x0a", b""), "a header of a frame has the type 10, which is none"),
        (packed(b"\x01a\x07\x00\x05abc", b""), "a header of a frame is longer than the frame says"),
        (packed(b"\x01a\x00\x01a\x01", b""), "a frame has the header 'a' twice"),
        (
            packed(b"\x01\xff\x00", b""),
            "the headers of a frame cannot be read: 'utf-8' codec can't decode byte 0xff in position 0:"
            " invalid start byte",
        ),
    ],
)
def test_what_is_no_frame_is_refused(raw: bytes, wrong: str) -> None:
    assert read(raw) == ([], wrong)


@pytest.mark.parametrize(
    ("total", "size"), [(15, 0), (16, 1), (200_000, 128 * 1024 + 1), (MAX_PAYLOAD + 17, 0), (2**32 - 1, 2**32 - 1)]
)
def test_a_length_that_makes_no_sense_is_refused_before_anything_is_kept(total: int, size: int) -> None:
    lengths = struct.pack(">II", total, size)
    raw = lengths + struct.pack(">I", crc32(lengths))
    assert read(raw) == ([], f"a frame of {total} bytes, {size} of them headers, is outside what AWS allows")
    assert read(raw[:11]) == ([], None)


def test_what_is_not_yet_a_frame_is_counted() -> None:
    frames = Frames()
    assert list(frames.feed(framed({}, b"hello")[:-1])) == []
    assert (frames.rest, repr(frames)) == (20, "20 bytes that are not yet a frame")
