"""A task that talks to Redis ends though a cancellation was lost; so does the gateway that waits for it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from gateway.state.ending import end
from gateway.state.link import Link
from tests.gateway import against
from tests.redis_server import RedisServer


async def deaf(times: int) -> None:
    """Goes on after so many cancellations, as what redis-py does in Python 3.11 may."""
    for _ in range(times):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    await asyncio.sleep(60)


async def test_a_task_that_loses_cancellations_is_cancelled_again() -> None:
    for times in (0, 1, 3):
        task = asyncio.create_task(deaf(times))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await end(task)
        assert task.cancelled()


async def test_a_task_that_has_ended_is_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0, "done"))
    await task
    await end(task)
    assert task.result() == "done"


async def test_a_gateway_ends_though_its_last_sync_did_not_hear_that_it_should(redis_server: RedisServer) -> None:
    async with against(f"state: {redis_server.url}") as (gateway, _):
        sync, lost = gateway.app._state.sync, False

        async def deaf_once(now: float) -> None:
            nonlocal lost
            try:
                await sync(now)
                await asyncio.sleep(0.0 if lost else 60.0)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost = True

        gateway.app._state.sync = deaf_once  # type: ignore[method-assign]
        await asyncio.sleep(0.3)
        began = time.monotonic()
    assert (lost, time.monotonic() - began < 5) == (True, True)


async def test_a_link_that_is_looking_for_its_redis_ends_too() -> None:
    link = Link("redis://127.0.0.1:1/0", command_s=0.05, connect_s=1.0)
    link._connecting = task = asyncio.create_task(deaf(2))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await link.aclose()
    assert task.cancelled()
