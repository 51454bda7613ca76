"""Reload when the file changes: a good one takes over, a bad one is reported and changes nothing. Read next: load.py.

Editors and Kubernetes replace a file rather than write to it, by a rename or by turning a symbolic link; and a copy
may be seen half written. So what is watched is the identity of what the path leads to, and a change counts when it
has stood still for a moment.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from gateway.errors import ConfigError, Problem
from gateway.types import World

__all__ = ["Watcher", "identity"]

#: Seconds a change must stand still before it is read, and seconds between two looks at the file.
DEBOUNCE_S: Final = 0.5
INTERVAL_S: Final = 1.0

Identity = tuple[str | int, ...]


def identity(path: str) -> Identity:
    """What changes when the file is written, replaced, or the link to it turned; when it is gone, why."""
    try:
        real = os.path.realpath(path)
        state = os.stat(real)
    except OSError as error:
        return ("gone", error.errno or 0)
    return (real, state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size, state.st_mode)


class Watcher:
    """Watches one configuration file.

    ``load`` gives a World or raises ConfigError; ``on_world`` is given each World that was loaded, ``on_problem``
    the problems of a file that was not. ``look`` and ``clock`` are the outside: a file's identity, and seconds.
    """

    def __init__(
        self,
        path: str,
        load: Callable[[], World],
        on_world: Callable[[World], None],
        on_problem: Callable[[Sequence[Problem]], None],
        *,
        look: Callable[[str], Identity] = identity,
        clock: Callable[[], float] = time.monotonic,
        debounce_s: float = DEBOUNCE_S,
    ) -> None:
        self._path = path
        self._load = load
        self._on_world = on_world
        self._on_problem = on_problem
        self._look = look
        self._clock = clock
        self._debounce_s = debounce_s
        self._loaded = self._seen = look(path)
        self._seen_at = clock()

    def __repr__(self) -> str:
        state = "unchanged" if self._seen == self._loaded else "changed, to be read when it stands still"
        return f"<Watcher of {self._path}: {state}>"

    def due(self) -> bool:
        """Whether the file has changed since it was last read, and has stood still since then."""
        now, seen = self._clock(), self._look(self._path)
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return self._seen != self._loaded and now - self._seen_at >= self._debounce_s

    def poll(self) -> bool:
        """Read the file if that is due; True when it was read, well or not."""
        due = self.due()
        if due:
            self.reload()
        return due

    def reload(self) -> None:
        """Read the file now, changed or not, as on SIGHUP."""
        self._mark()
        self._tell(self._read())

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Poll until cancelled. Reading happens in a thread, so that requests do not wait for it."""
        while True:
            await asyncio.sleep(interval_s)
            if self.due():
                self._mark()
                self._tell(await asyncio.to_thread(self._read))

    def _mark(self) -> None:
        """Taken before reading: a change in the meantime is a change again."""
        self._loaded = self._seen = self._look(self._path)

    def _read(self) -> World | tuple[Problem, ...]:
        try:
            return self._load()
        except ConfigError as error:
            return error.problems

    def _tell(self, result: World | tuple[Problem, ...]) -> None:
        if isinstance(result, World):
            self._on_world(result)
        else:
            self._on_problem(result)
