"""Server-sent events, however they are cut and framed. Read next: test_stream.py."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.sse import MAX_EVENT, EventTooLarge, Splitter

STREAM = (
    'data: {"a": 1}\n\n: note\n\nevent: x\ndata: two\ndata:three\nid: 7\n\ndata\n\nretry: 3\n\ndata: é€\U0001f600\n\n'
)
EVENTS = [b'{"a": 1}', b"two\nthree", b"", "é€\U0001f600".encode()]


def split(data: bytes, *cuts: int) -> list[bytes]:
    splitter = Splitter()
    places = [0, *cuts, len(data)]
    events = [event for a, b in pairwise(places) for event in splitter.feed(data[a:b])]
    return events + splitter.close()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_cut_gives_the_same_events(end: str, mark: str) -> None:
    data = (mark + STREAM.replace("\n", end)).encode()
    assert split(data) == EVENTS
    for cut in range(len(data)):
        assert split(data, cut) == EVENTS, cut
    assert split(data, *range(1, len(data))) == EVENTS


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=9), max_size=6), st.data())
def test_what_is_framed_comes_back_whatever_the_cuts(texts: list[str], data: st.DataObject) -> None:
    framed = "".join(f"data: {text}\n\n" for text in texts).encode()
    cuts = data.draw(st.lists(st.integers(0, len(framed)), max_size=5).map(sorted))
    assert split(framed, *cuts) == [text.encode() for text in texts]


def test_mixed_line_ends_and_empty_lines_end_an_event_once() -> None:
    assert split(b"data: a\r\n\n\r\rdata: b\r\r\n\n\ndata: c\n\r\n") == [b"a", b"b", b"c"]


def test_an_event_without_its_blank_line_comes_at_the_end() -> None:
    assert split(b"data: a\n\ndata: b") == [b"a", b"b"]
    assert split(b"data: a\n\ndata: b\n") == [b"a", b"b"]


def test_a_mark_that_is_never_finished_is_not_lost_bytes_of_an_event() -> None:
    assert split(b"\xef\xbbdata: a\n\ndata: b\n\n") == [b"b"]


def test_an_event_that_never_ends_is_refused() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: " + b"x" * (MAX_EVENT - 6)) == []
    with pytest.raises(EventTooLarge, match=str(MAX_EVENT)):
        splitter.feed(b"x")


def test_a_complete_event_that_is_too_large_is_refused() -> None:
    with pytest.raises(EventTooLarge):
        Splitter().feed(b"data: " + b"x" * MAX_EVENT + b"\n\n")


def test_many_events_at_once_are_no_large_event() -> None:
    assert len(Splitter().feed(b"data: x\n\n" * 200_000)) == 200_000
