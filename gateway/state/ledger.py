"""A file of this machine that what must survive a crash is appended to. Read next: ../treasury.py, which writes most.

A ledger has chapters, each of lines of its own kind: ``["<chapter>", <value>]`` as JSON. What was written is read again
at the next start, in order. A line is in the file before ``write`` returns, so that it survives the end of the process;
the disk has it within a second. When the file has grown, it is written anew with what its chapters still need.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from gateway.errors import ConfigError, Problem

__all__ = ["Chapter", "Ledger"]

#: The size at which the file is written anew, in bytes, or twice what it had when it last was.
COMPACT: Final = 16 * 1024 * 1024
#: Lines that wait for room on the disk at most. Beyond that the file is written anew once there is.
WAITING: Final = 50_000

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[str, Any]).decode


class Chapter(Protocol):
    """A part of a ledger."""

    @property
    def name(self) -> str:
        """What its lines begin with."""
        ...

    def read(self, value: Any) -> None:
        """One of its lines, when the ledger is opened. What it cannot make sense of it passes over."""
        ...

    def whole(self) -> Iterable[Any]:
        """All that is still needed of it, as lines that ``read`` takes."""
        ...


class Ledger:
    """The file at ``path``, read into its chapters and locked.

    Raises ConfigError where it cannot be opened, or another process has it.
    """

    def __init__(
        self, path: str, chapters: Sequence[Chapter], *, compact: int = COMPACT, waiting: int = WAITING
    ) -> None:
        self.error: str | None = None
        self._path = Path(path)
        self._chapters = {chapter.name: chapter for chapter in chapters}
        self._compact = compact
        self._waiting = waiting
        self._later: list[bytes] = []
        self._anew = False
        self._unsynced = False
        try:
            self._fd = self._open()
        except OSError as error:
            said = error.strerror or str(error)
            hint = (
                "another gateway writes to it" if isinstance(error, BlockingIOError) else "let the gateway write there"
            )
            raise ConfigError([Problem(path, 0, 0, f"the ledger cannot be used: {said}", hint)]) from error
        self._size = os.fstat(self._fd).st_size
        self._torn = self._size > 0 and os.pread(self._fd, 1, self._size - 1) != b"\n"
        self._read()

    def __repr__(self) -> str:
        return f"ledger {self._path}, {self.error or f'{self._size} bytes'}"

    def write(self, name: str, value: Any) -> bool:
        """Append a line to a chapter, and all that was to come later; whether the file has taken it."""
        self.later(name, value)
        return not self._anew and self._append()

    def later(self, name: str, value: Any) -> None:
        """Append a line with the next that is written, or when ``flush`` is called."""
        if self._anew:
            return
        self._later.append(_encode((name, value)))
        if len(self._later) > self._waiting:
            # Too much to keep; what the chapters know by then is all of it.
            self._later.clear()
            self._anew = True

    def flush(self) -> bool:
        """Write what was to come later; whether the file has taken it. What it does not take is kept for the next.

        When the file has grown it is written anew: not by ``write``, whose chapter may only act on what is written.
        """
        if self._anew:
            self.compact()
            return not self._anew
        taken = self._append()
        if taken and self._size > self._compact:
            self.compact()
        return taken

    def _append(self) -> bool:
        if not self._later:
            return self.error is None
        data = b"\n".join([*((b"",) if self._torn else ()), *self._later, b""])
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            self.error = f"{error.strerror or error}: make room, or let the gateway write there"
            return False
        self._size += written
        self._unsynced = True
        if written < len(data):
            # Only what is not there yet is written again, on a new line: a sum that is told twice counts twice.
            del self._later[: max(0, data[:written].count(b"\n") - self._torn)]
            self._torn, self.error = True, "the disk is full: make room"
            return False
        self._later.clear()
        self._torn, self.error = False, None
        return True

    def sync(self) -> Callable[[], None]:
        """What lets the disk have all that was written so far. It blocks: call it in a thread."""
        unsynced, self._unsynced = self._unsynced, False
        # Of its own, since the file may be written anew meanwhile.
        fd = os.dup(self._fd) if unsynced else None

        def let_the_disk_have_it() -> None:
            if fd is None:
                return
            try:
                os.fsync(fd)
            except OSError as error:
                self.error = f"the disk did not take it: {error.strerror or error}"
            finally:
                os.close(fd)

        return let_the_disk_have_it

    def compact(self) -> None:
        """Write the file anew, with what the chapters still need. The old one stays until the new one is whole."""
        lines = [_encode((name, value)) for name, chapter in self._chapters.items() for value in chapter.whole()]
        beside = self._path.with_name(self._path.name + ".new")
        fd = -1
        try:
            fd = os.open(beside, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = b"\n".join([*lines, b""])
            if os.write(fd, data) < len(data):
                raise OSError("the disk is full")
            os.fsync(fd)
            os.replace(beside, self._path)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            self.error = f"it could not be written anew: {error.strerror or error}"
            self._compact = 2 * self._size
            return
        os.close(self._fd)
        # What was to come later is told by that, too.
        self._later.clear()
        self._fd, self._size, self._torn, self._anew, self.error = fd, len(data), False, False, None
        self._compact = max(self._compact, 2 * len(data))

    def close(self) -> None:
        """Write and sync what is left."""
        self.flush()
        self.sync()()
        os.close(self._fd)

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino != os.stat(self._path).st_ino:
                raise BlockingIOError(errno.EAGAIN, "it was just written anew")
        except OSError:
            os.close(fd)
            raise
        return fd

    def _read(self) -> None:
        with open(self._path, "rb") as lines:
            for line in lines:
                try:
                    name, value = _decode(line)
                except (msgspec.DecodeError, ValueError):
                    continue  # a crash leaves half a line
                if (chapter := self._chapters.get(name)) is not None:
                    chapter.read(value)
