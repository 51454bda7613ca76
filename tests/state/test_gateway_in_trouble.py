"""A whole gateway under a light load while its Redis is in trouble: nobody notices."""

from __future__ import annotations

import asyncio
import time
from statistics import median

import pytest
from msgspec import Struct

from tests.gateway import Running, against
from tests.redis_server import TROUBLES, RedisServer, Trouble


class Load(Struct, frozen=True):
    """Statuses of the requests of a while, and how long each took in seconds."""

    statuses: list[int]
    took: list[float]


async def load(gateway: Running, for_s: float) -> Load:
    """Two clients, each with one request after the other and a pause between."""
    done = Load([], [])
    ended_at = time.monotonic() + for_s

    async def client() -> None:
        while time.monotonic() < ended_at:
            began = time.monotonic()
            done.statuses.append((await gateway.chat()).status_code)
            done.took.append(time.monotonic() - began)
            await asyncio.sleep(0.01)

    await asyncio.gather(client(), client())
    return done


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_redis_in_trouble_fails_no_request_and_slows_none_down(
    redis_server: RedisServer, trouble: Trouble
) -> None:
    async with against(f"state: {redis_server.url}") as (gateway, _):
        before = await load(gateway, 0.7)
        assert gateway.app.state().up
        await asyncio.to_thread(trouble.begin, redis_server)
        during = await load(gateway, 2.0)
        assert not gateway.app.state().up
        await asyncio.to_thread(trouble.end, redis_server)
        began = time.monotonic()
        async with asyncio.timeout(8):
            while not gateway.app.state().up:
                await asyncio.sleep(0.02)
        back_s = time.monotonic() - began
        after = await load(gateway, 0.3)
        requests = len(before.statuses) + len(during.statuses) + len(after.statuses)
        await gateway.settled(min(requests, 1000))
        await asyncio.sleep(0.3)
        counted = await asyncio.to_thread(redis_server.ask, "GET", "gw:decisions:count")
        assert isinstance(counted, bytes)
        print(
            f"median {1000 * median(before.took):.2f} ms before, {1000 * median(during.took):.2f} ms during,"
            f" longest {1000 * max(during.took):.1f} ms, {requests} requests; back after {back_s:.2f} s"
        )
        assert set(before.statuses + during.statuses + after.statuses) == {200}
        assert median(during.took) < 2 * median(before.took) + 0.005
        assert max(during.took) < 1.0
        assert back_s < 5
        assert gateway.app.state().dropped == 0
        # A Redis that was killed has lost what it had been told before, and nothing else.
        lost = len(before.statuses) if trouble.forgets else 0
        assert requests - lost - 2 <= int(counted) <= requests
