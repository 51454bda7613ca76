"""Ways to send many requests: at a rate whatever becomes of them, or so many at once, one after the other.

Read next: ground.py, before what they are sent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["at_once", "at_rate"]

T = TypeVar("T")


async def at_rate(rate: float, seconds: float, ask: Callable[[int], Awaitable[T]], *, seed: int | None = 7) -> list[T]:
    """``rate`` a second for so long, at random moments (``seed`` None: evenly). Waits for all of them."""
    dice = random.Random(seed) if seed is not None else None
    now = asyncio.get_running_loop().time
    began_at, at, asked = now(), 0.0, list[asyncio.Future[T]]()
    while at < seconds:
        await asyncio.sleep(began_at + at - now())
        asked.append(asyncio.ensure_future(ask(len(asked))))
        at += dice.expovariate(rate) if dice is not None else 1 / rate
    return list(await asyncio.gather(*asked))


async def at_once(clients: int, requests: int, ask: Callable[[int], Awaitable[T]]) -> list[T]:
    """``requests`` in all by so many clients, each of which asks when its last request has ended."""
    numbers, ended = iter(range(requests)), list[T]()

    async def client() -> None:
        ended.extend([await ask(n) for n in numbers])

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return ended
