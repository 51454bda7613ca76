"""The decision records of this machine, appended to a file. Read next: ../../docs/decision-record.md.

What the disk does not take is counted and dropped: a full disk or a wrong permission fails no request.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.telemetry.record import UnreadableRecord, decode
from gateway.telemetry.writer import Writer
from gateway.types import Exchange

__all__ = ["Journal", "JournalFile", "read_journal"]

SYNC_EVERY_S: Final = 1.0


class Journal:
    """A sink that appends each record as a line: handed to the file every 100 ms, to the disk every second.

    When the file would grow over ``max_bytes`` it becomes ``<path>.1``, in the place of an older one.
    """

    def __init__(self, path: str, max_bytes: int) -> None:
        self._file = JournalFile(path, max_bytes)
        self._writer = Writer(self._file.write)

    def __call__(self, exchange: Exchange, record: bytes) -> None:
        """Append one record."""
        self._writer.put(record)

    def __repr__(self) -> str:
        return f"{self._file!r}; {self.dropped} records dropped"

    @property
    def dropped(self) -> int:
        """Records that could not be kept so far."""
        return self._writer.dropped

    @property
    def error(self) -> str | None:
        """What the disk said last, if it did not take the last records."""
        return self._file.error

    def flush(self) -> None:
        """Write what is waiting. Blocks: not for the event loop."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is waiting and close the file. Blocks until the disk has it."""
        self._writer.close()
        self._file.close()


class JournalFile:
    """The file itself: opened when needed, found again when it was renamed or removed, never in the way of a reader."""

    def __init__(self, path: str, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.error: str | None = None
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._fd: int | None = None
        self._identity = (0, 0)
        self._size = 0
        self._torn = False
        self._unsynced_since: float | None = None

    def __repr__(self) -> str:
        state = f"not taking records: {self.error}" if self.error else f"{self._size} bytes"
        return f"journal {self._path}, {state}"

    def write(self, lines: Sequence[bytes]) -> int:
        """Append these lines, sync when a second has passed, and answer with how many lines were lost."""
        data = b"".join([line + b"\n" for line in lines])
        written = 0
        try:
            if data:
                for count in self._append(data):
                    written += count
                self.error = None
            self._sync_if_due()
        except OSError as error:
            self.error = f"{error.strerror or error}: make room, or let the gateway write to {self._path}"
            self._let_go()
        return data.count(b"\n", written)

    def close(self) -> None:
        """Sync and close."""
        try:
            self._sync()
        except OSError as error:
            self.error = str(error.strerror or error)
        self._let_go()

    def _append(self, data: bytes) -> Iterator[int]:
        fd = self._opened(len(data))
        if self._torn:
            self._size += os.write(fd, b"\n")
            self._torn = False
        if self._unsynced_since is None:
            self._unsynced_since = self._clock()
        left = memoryview(data)
        while left:
            count = os.write(fd, left)
            self._size += count
            left = left[count:]
            yield count

    def _opened(self, more: int) -> int:
        if self._fd is not None and self._moved():
            self._let_go()
        fd = self._fd if self._fd is not None else self._open()
        if self._size and self._size + more > self._max_bytes:
            self._sync()
            self._let_go()
            os.replace(self._path, f"{self._path}.1")
            fd = self._open()
        return fd

    def _open(self) -> int:
        os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        self._fd = fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        status = os.fstat(fd)
        self._identity = (status.st_dev, status.st_ino)
        self._size = status.st_size
        # A crash or a full disk may have left half a line: what follows begins on a new one.
        self._torn = self._size > 0 and os.pread(fd, 1, self._size - 1) != b"\n"
        return fd

    def _moved(self) -> bool:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return True
        return (status.st_dev, status.st_ino) != self._identity

    def _sync_if_due(self) -> None:
        if self._unsynced_since is not None and self._clock() - self._unsynced_since >= SYNC_EVERY_S:
            self._sync()

    def _sync(self) -> None:
        if self._fd is not None and self._unsynced_since is not None:
            self._unsynced_since = None
            os.fsync(self._fd)

    def _let_go(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = self._unsynced_since = None


def read_journal(path: str) -> Iterator[Exchange]:
    """The exchanges of a journal, oldest first, those of ``<path>.1`` before those of ``path``.

    Lines that are no record are passed over: a crash leaves half of one. Raises OSError when a file is there but
    cannot be read.
    """
    for file in (Path(f"{path}.1"), Path(path)):
        if file.exists():
            with file.open("rb") as lines:
                yield from _readable(lines)


def _readable(lines: Iterator[bytes]) -> Iterator[Exchange]:
    for line in lines:
        try:
            yield decode(line)
        except UnreadableRecord:
            continue
