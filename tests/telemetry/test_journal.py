"""The journal: what was told is read back, whatever the disk did in between."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.telemetry.journal import Journal, JournalFile, read_journal
from gateway.telemetry.record import encode
from gateway.types import Exchange
from tests.telemetry.exchanges import plain

BIG = 1 << 30


def records(*ids: str) -> list[bytes]:
    return [encode(plain(id=id)) for id in ids]


def ids(path: Path) -> list[str]:
    return [exchange.id for exchange in read_journal(str(path))]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files cannot grow over this size, as on a disk that is full: the write that would is cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "decisions.jsonl"


def test_what_a_journal_was_told_is_read_back_in_order(path: Path) -> None:
    journal = Journal(str(path), BIG)
    told = [plain(id=str(n)) for n in range(100)]
    for one in told:
        journal(one, encode(one))
    journal.close()
    assert [encode(exchange) for exchange in read_journal(str(path))] == [encode(one) for one in told]
    assert (journal.dropped, journal.error) == (0, None)


def test_only_the_owner_may_read_it(path: Path) -> None:
    file = JournalFile(str(path), BIG)
    file.write(records("a"))
    file.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_that_is_not_there_is_empty(path: Path) -> None:
    assert ids(path) == []


def test_a_journal_goes_on_where_it_ended(path: Path) -> None:
    for id in "ab":
        file = JournalFile(str(path), BIG)
        file.write(records(id))
        file.close()
    assert ids(path) == ["a", "b"]


def test_half_a_line_left_by_a_crash_costs_only_itself(path: Path) -> None:
    file = JournalFile(str(path), BIG)
    file.write(records("a", "b"))
    file.close()
    os.truncate(path, path.stat().st_size - 100)
    assert ids(path) == ["a"]
    file = JournalFile(str(path), BIG)
    file.write(records("c"))
    file.close()
    assert ids(path) == ["a", "c"]


def test_a_journal_over_its_size_moves_aside_and_the_one_before_goes(path: Path) -> None:
    size = len(records("0")[0]) + 1
    file = JournalFile(str(path), max_bytes=3 * size)
    for n in range(8):
        assert file.write(records(str(n))) == 0
        assert path.stat().st_size <= 3 * size
    file.close()
    assert ids(path) == ["3", "4", "5", "6", "7"]
    assert sorted(p.name for p in path.parent.iterdir()) == ["decisions.jsonl", "decisions.jsonl.1"]


@pytest.mark.parametrize("rotate", [lambda path: path.rename(f"{path}.1"), Path.unlink])
def test_a_journal_that_was_moved_away_is_begun_anew(path: Path, rotate: object) -> None:
    file = JournalFile(str(path), BIG)
    file.write(records("a"))
    assert callable(rotate)
    rotate(path)
    file.write(records("b"))
    file.close()
    assert [exchange.id for exchange in read_journal(str(path))][-1] == "b"
    assert path.read_bytes().count(b"\n") == 1


def test_a_full_disk_loses_what_did_not_fit_and_says_how_many(path: Path) -> None:
    file = JournalFile(str(path), BIG)
    size = len(records("0")[0]) + 1
    with largest_file(2 * size + 10):
        assert file.write(records("0", "1", "2", "3")) == 2
        assert "make room" in repr(file)
        assert file.write(records("4")) == 1
    assert file.write(records("5")) == 0
    file.close()
    assert file.error is None
    assert ids(path) == ["0", "1", "5"]


def test_a_journal_without_a_place_to_be_drops_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(str(tmp_path / "file" / "decisions.jsonl"), BIG)
    journal(plain(), b"{}")
    journal.close()
    assert journal.dropped == 1
    assert "make room, or let the gateway write to" in (journal.error or "")


def test_records_reach_the_disk_once_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        synced.append(fd)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    now = [0.0]
    file = JournalFile(str(path), BIG, clock=lambda: now[0])
    for at in (0.0, 0.5, 0.9):
        now[0] = at
        file.write(records("a"))
    assert len(synced) == 0
    now[0] = 1.0
    file.write([])
    assert len(synced) == 1
    now[0] = 9.0
    file.write([])
    assert len(synced) == 1
    file.close()


def test_a_journal_reads_as_a_sentence(path: Path) -> None:
    file = JournalFile(str(path), BIG)
    assert repr(file) == f"journal {path}, 0 bytes"


def test_an_exchange_read_back_is_the_one_told(path: Path) -> None:
    file = JournalFile(str(path), BIG)
    bare = Exchange("x", 1.0, "chat", "anonymous", "client_error", 400, 0.001, 0.001)
    file.write([encode(bare)])
    file.close()
    assert list(read_journal(str(path))) == [bare]
