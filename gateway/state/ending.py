"""The end of a task that talks to Redis. Read next: link.py, which has one."""

from __future__ import annotations

import asyncio
from typing import Any, Final

__all__ = ["end"]

#: How long a cancellation may take before it counts as lost, in seconds.
PATIENCE_S: Final = 0.1


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended.

    Once is not always enough: before Python 3.12 a cancellation is lost that comes just when what ``asyncio.wait_for``
    waits for is done (bpo-37658), and redis-py sends every command with it. What repeats itself would go on for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE_S)
