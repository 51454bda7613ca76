"""Lines handed to a thread that writes them, so that a slow disk or a full pipe delays no request.

Read next: journal.py and log.py, which say where to.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

__all__ = ["Write", "Writer"]

#: Writes lines (without newlines) and answers with how many of them were lost. Never raises.
Write = Callable[[Sequence[bytes]], int]


class Writer:
    """Gathers lines and has them written every ``every_s`` seconds. Beyond ``bound`` waiting lines, new ones are lost.

    ``dropped`` counts all that were lost, here or while writing.
    """

    def __init__(self, write: Write, *, bound: int = 10_000, every_s: float = 0.1) -> None:
        self.dropped = 0
        self._write = write
        self._bound = bound
        self._every_s = every_s
        self._lines: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._counting = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="signalbox-writer", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Take a line. Returns at once."""
        if len(self._lines) < self._bound and not self._closed.is_set():
            self._lines.append(line)
        else:
            self._lost(1)

    def flush(self) -> None:
        """Write what is waiting now, in the caller's thread. Called with nothing waiting too: a file may need care."""
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            lost = self._write(lines)
        if lost:
            self._lost(lost)

    def close(self) -> None:
        """Write what is waiting, and end the thread. Lines put afterwards are lost."""
        self._closed.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            self.flush()

    def _lost(self, lines: int) -> None:
        with self._counting:
            self.dropped += lines
