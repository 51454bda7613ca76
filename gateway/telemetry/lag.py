"""How late the event loop is: the one number that shows that something blocks it. Read next: metrics.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["LoopLag"]


class LoopLag:
    """Sets a timer every ``every_s`` seconds and tells how late it was woken, in seconds."""

    def __init__(self, tell: Callable[[float], None], *, every_s: float = 0.1) -> None:
        self._tell = tell
        self._every_s = every_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        loop = asyncio.get_running_loop()
        self._set(loop, loop.time() + self._every_s)

    def stop(self) -> None:
        """End. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._timer = loop.call_at(due, self._wake, loop, due)

    def _wake(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._tell(max(0.0, now - due))
        self._set(loop, now + self._every_s)
