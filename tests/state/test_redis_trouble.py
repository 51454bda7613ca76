"""Redis dead, frozen, full, read-only, emptied, and back: requests never wait, nothing below the bound is lost, nothing
counts twice. Read next: test_failover.py, test_gateway_in_trouble.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.errors import Unavailable
from gateway.state.over_redis import Redis
from gateway.types import Cooling
from tests.redis_server import TROUBLES, RedisServer, Trouble
from tests.state.used import micros
from tests.telemetry.exchanges import plain


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
        await state.sync(began)
        longest = max(longest, time.monotonic() - began)
    return longest


async def recovered(state: Redis) -> float:
    """Syncs as the gateway does until the store answers and nothing is left to send. How long it took, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(8):
        await state.sync(began)
        while not state.health().up or len(state._outbox) or state._telling.untold:
            await asyncio.sleep(0.02)
            state._telling.hasten()
            await state.sync(time.monotonic())
    return time.monotonic() - began


def say_everything(state: Redis, n: int) -> None:
    """All verbs of the request path, once."""
    now = time.monotonic()
    state.append(b"%d" % n, str(n))
    state.count(plain())
    state.cool("breaker:a", Cooling(now + 60.0, "open"))
    state.warm("breaker:b")
    state.want("probe", 5.0)
    state.let_go("other")
    state.draw("rpm", 1, 0.001, 60)
    assert state.cooling(now).keys() == {"breaker:a"}
    assert state.level("rpm", now) > 0
    assert state.replicas() == 1
    state.holds("probe", now)
    state.alone(now)
    state.health()


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_in_trouble_no_verb_waits_health_says_so_all_along_and_everything_arrives_once_afterwards(
    state: Redis, patient: Redis, redis_server: RedisServer, trouble: Trouble
) -> None:
    await recovered(state)
    trouble.begin(redis_server)
    slowest, healths = 0.0, []
    for n in range(600):
        began = time.monotonic()
        say_everything(state, n)
        slowest = max(slowest, time.monotonic() - began)
        if n % 20 == 0:
            took = await longest_sync(state, 1)
            assert took < 0.5
            healths.append(state.health())
            await asyncio.sleep(max(0.0, 0.1 - took))
    assert slowest < 0.05
    assert [health.up for health in healths] == [False] * 30
    assert trouble.says in (healths[-1].error or "")
    assert (state.alone(time.monotonic()), state.holds("probe", time.monotonic())) == (True, True)

    trouble.end(redis_server)
    assert await recovered(state) < 5
    await patient.sync(time.monotonic())
    assert await patient.recent(5000) == [b"%d" % n for n in reversed(range(600))]
    assert await micros(patient) == {"team-a": 600 * 5_210}
    assert patient.cooling(time.monotonic()).keys() == {"breaker:a"}
    assert patient.replicas() == 2
    assert (state.alone(time.monotonic()), state.health().dropped) == (False, 0)


async def test_a_redis_that_was_never_there_costs_nothing_but_the_news() -> None:
    state = Redis("redis://127.0.0.1:1/0")
    state.append(b"x", "x")
    assert await longest_sync(state) < 0.5
    health = state.health()
    assert (health.up, health.dropped) == (False, 0)
    assert "127.0.0.1:1" in (health.error or "")
    await state.aclose()


async def test_what_a_frozen_redis_did_get_counts_once(state: Redis, patient: Redis, redis_server: RedisServer) -> None:
    await recovered(state)
    for n in range(5):
        redis_server.freeze()
        state.count(plain())
        state._telling.hasten()
        state.append(b"%d" % n, str(n))
        state.draw("rpm", 10, 0.001, 60)
        await state.sync(time.monotonic())
        assert not state.health().up
        redis_server.thaw()
        await recovered(state)
    assert await micros(patient) == {"team-a": 5 * 5_210}
    assert await patient.recent(100) == [b"4", b"3", b"2", b"1", b"0"]
    assert patient.level("rpm", 0.0) == 0.0
    await patient.sync(0.0)
    assert patient.level("rpm", 0.0) == pytest.approx(50.0, abs=0.1)


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
    for asked in (state.find("x"), state.recent(5), micros(state)):
        with pytest.raises(Unavailable, match="shared state did not answer") as refused:
            await asked
        assert refused.value.code == "state_unavailable"
        assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(state)
    assert "hunter2" not in (state.health().error or "")
    await state.aclose()


async def test_a_full_redis_is_offered_its_batch_now_and_then_and_takes_it_whole(
    state: Redis, patient: Redis, redis_server: RedisServer
) -> None:
    await recovered(state)
    redis_server.fill()
    redis_server.ask("CONFIG", "RESETSTAT")
    for n in range(100):
        state.append(b"x" * 1000, str(n))
    state.count(plain())
    for now in range(30):
        await state.sync(100.0 + now / 10)
    sent = redis_server.ask("INFO", "stats")
    assert isinstance(sent, dict)
    assert sent["total_net_input_bytes"] < 5 * 100_000
    assert (await micros(state), await state.find("99")) == ({"team-a": 5_210}, b"x" * 1000)
    redis_server.ask("CONFIG", "SET", "maxmemory", "0")
    await recovered(state)
    assert (len(await patient.recent(1000)), await micros(patient)) == (1, {"team-a": 5_210})
    assert await patient.find("0") == await patient.find("99") == b"x" * 1000


async def test_what_cannot_be_written_at_all_is_counted_and_told_and_the_rest_is_written_once(
    state: Redis, patient: Redis, redis_server: RedisServer
) -> None:
    await recovered(state)
    redis_server.ask("SET", "gw:decisions:ids", "not a stream")
    state.append(b"x", "x")
    await state.sync(time.monotonic())
    health = state.health()
    assert (health.up, health.dropped) == (False, 1)
    assert "1 records could not be written: WRONGTYPE" in (health.error or "")
    redis_server.ask("DEL", "gw:decisions:ids")
    state.append(b"y", "y")
    await asyncio.sleep(1.0)
    await recovered(state)
    assert await patient.recent(9) == [b"y"]


async def test_a_redis_that_forgets_everything_is_told_again_what_was_known(
    state: Redis, patient: Redis, redis_server: RedisServer
) -> None:
    state.cool("breaker:a", Cooling(time.monotonic() + 60.0, "open"))
    state.want("probe", 60.0)
    state.append(b"x", "x")
    await recovered(state)
    redis_server.ask("FLUSHALL")
    state.append(b"y", "y")
    for _ in range(2):
        await state.sync(time.monotonic())
    patient.want("probe", 60.0)
    await patient.sync(time.monotonic())
    assert state.cooling(time.monotonic()).keys() == patient.cooling(time.monotonic()).keys() == {"breaker:a"}
    assert (state.holds("probe", time.monotonic()), patient.holds("probe", time.monotonic())) == (True, False)
    assert await patient.recent(9) == [b"y"]


async def test_replicas_that_each_took_a_lease_alone_agree_on_one_when_redis_is_back(redis_server: RedisServer) -> None:
    replicas = [Redis(redis_server.url, command_s=2.0) for _ in range(3)]
    redis_server.kill()
    began = time.monotonic()
    for now in (began, began + 2.5):
        for replica in replicas:
            replica.want("probe", 600.0)
            await replica.sync(now)
    assert [replica.holds("probe", began + 2.5) for replica in replicas] == [True, True, True]
    redis_server.start()
    for replica in replicas:
        await recovered(replica)
    assert [replica.holds("probe", began + 2.5) for replica in replicas] == [True, False, False]
    for replica in replicas:
        await replica.aclose()


async def test_what_another_wrote_under_our_names_does_no_harm(state: Redis, redis_server: RedisServer) -> None:
    redis_server.ask("HSET", "gw:cooling", "breaker:a", "12345 rate", "breaker:b", "nonsense")
    redis_server.ask("SET", "gw:bucket:rpm", "nonsense")
    state.draw("rpm", 1, 0.001, 60)
    state.cool("breaker:a", Cooling(time.monotonic() + 60.0, "open"))
    await recovered(state)
    assert state.cooling(time.monotonic()).keys() == {"breaker:a"}
    assert state.level("rpm", time.monotonic()) == pytest.approx(1.0, abs=0.1)


async def test_closing_while_redis_is_frozen_takes_no_time(redis_server: RedisServer) -> None:
    state = Redis(redis_server.url)
    await recovered(state)
    redis_server.freeze()
    state.append(b"x", "x")
    began = time.monotonic()
    await state.aclose()
    assert time.monotonic() - began < 1.0
    redis_server.thaw()
