"""Redis dead, frozen and back: requests never wait, nothing is lost below the bound, nothing counts twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.errors import Unavailable
from gateway.state.over_redis import Redis
from gateway.types import Cooling
from tests.redis_server import RedisServer


@pytest.fixture
async def state(redis_server: RedisServer) -> AsyncIterator[Redis]:
    made = Redis(redis_server.url)
    yield made
    await made.aclose()


@pytest.fixture
async def patient(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """Another replica, that gives Redis time: to look at what has arrived on a machine that is busy."""
    made = Redis(redis_server.url, command_s=2.0)
    yield made
    await made.aclose()


async def longest_sync(state: Redis, times: int = 5) -> float:
    """The seconds that the slowest of some syncs took."""
    longest = 0.0
    for _ in range(times):
        began = time.monotonic()
        await state.sync(0.0)
        longest = max(longest, time.monotonic() - began)
    return longest


async def recovered(state: Redis) -> None:
    """Syncs as the gateway does until the store answers and nothing is left to send."""
    async with asyncio.timeout(8):
        await state.sync(0.0)
        while not state.health().up or len(state._outbox):
            await asyncio.sleep(0.02)
            await state.sync(0.0)


async def test_a_redis_that_was_never_there_costs_nothing_but_the_news() -> None:
    state = Redis("redis://127.0.0.1:1/0")
    state.append(b"x", "x")
    assert await longest_sync(state) < 0.5
    health = state.health()
    assert (health.up, health.dropped) == (False, 0)
    assert "127.0.0.1:1" in (health.error or "")
    await state.aclose()


async def test_a_killed_redis_loses_nothing_that_was_said_meanwhile(
    state: Redis, patient: Redis, redis_server: RedisServer
) -> None:
    await recovered(state)
    redis_server.kill()
    for n in range(2000):
        state.append(b"%d" % n, str(n))
    state.spent("team-a", "gpt", 40)
    state.cool("gpt", Cooling(60.0, "rate"))
    assert await longest_sync(state) < 0.5
    assert not state.health().up
    assert state.cooling(0.0) == {"gpt": Cooling(60.0, "rate")}
    redis_server.start()
    await recovered(state)
    await patient.sync(0.0)
    assert await patient.recent(5000) == [b"%d" % n for n in reversed(range(2000))]
    assert await patient.spend("team-a") == {"gpt": 40}
    assert patient.cooling(0.0)["gpt"].kind == "rate"


async def test_a_frozen_redis_delays_no_sync_by_half_a_second(
    state: Redis, patient: Redis, redis_server: RedisServer
) -> None:
    await recovered(state)
    redis_server.freeze()
    state.append(b"x", "x")
    assert await longest_sync(state) < 0.5
    assert not state.health().up
    assert state.health().error
    redis_server.thaw()
    await recovered(state)
    assert await patient.find("x") == b"x"


async def test_what_a_frozen_redis_did_get_counts_once(state: Redis, patient: Redis, redis_server: RedisServer) -> None:
    await recovered(state)
    for n in range(5):
        redis_server.freeze()
        state.spent("team-a", "gpt", 10)
        state.append(b"%d" % n, str(n))
        await state.sync(0.0)
        assert not state.health().up
        redis_server.thaw()
        await recovered(state)
    assert await patient.spend("team-a") == {"gpt": 50}
    assert await patient.recent(100) == [b"4", b"3", b"2", b"1", b"0"]


async def test_beyond_the_bound_the_oldest_records_go_and_are_counted() -> None:
    state = Redis("redis://127.0.0.1:1/0", buffered=10)
    for n in range(25):
        state.append(b"%d" % n, str(n))
    await state.sync(0.0)
    assert state.health().dropped == 15
    assert (await state.find("24"), state._outbox.find("14")) == (b"24", None)
    await state.aclose()


async def test_who_asks_while_redis_is_gone_is_told_so_and_not_that_there_is_nothing() -> None:
    state = Redis("redis://user:hunter2@127.0.0.1:1/0")
    for asked in (state.find("x"), state.recent(5), state.spend("team-a")):
        with pytest.raises(Unavailable, match="shared state did not answer") as refused:
            await asked
        assert refused.value.code == "state_unavailable"
        assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(state)
    assert "hunter2" not in (state.health().error or "")
    await state.aclose()


async def test_a_redis_that_refuses_to_write_is_reported_and_the_records_wait(patient: Redis) -> None:
    await recovered(patient)
    await patient._link.client.config_set("maxmemory", "1")
    patient.append(b"x", "x")
    await patient.sync(0.0)
    assert not patient.health().up
    assert "maxmemory" in (patient.health().error or "")
    await patient._link.client.config_set("maxmemory", "0")
    await recovered(patient)
    assert await patient.recent(9) == [b"x"]


async def test_closing_while_redis_is_frozen_takes_no_time(redis_server: RedisServer) -> None:
    state = Redis(redis_server.url)
    await recovered(state)
    redis_server.freeze()
    state.append(b"x", "x")
    began = time.monotonic()
    await state.aclose()
    assert time.monotonic() - began < 1.0
    redis_server.thaw()
