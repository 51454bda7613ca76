"""Several replicas on one Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.state.over_redis import Redis
from gateway.types import Cooling
from tests.redis_server import RedisServer
from tests.state.used import micros
from tests.telemetry.exchanges import plain

OPEN = Cooling(60.0, "open")


@asynccontextmanager
async def fleet(server: RedisServer, size: int) -> AsyncIterator[tuple[Redis, ...]]:
    """So many replicas that give Redis time: this is not about its troubles."""
    replicas = tuple(Redis(server.url, command_s=2.0) for _ in range(size))
    try:
        yield replicas
    finally:
        for replica in replicas:
            await replica.aclose()


async def synced(*replicas: Redis) -> None:
    """One sync of each, in this order."""
    for replica in replicas:
        await replica.sync(0.0)


async def evals(state: Redis) -> int:
    """How many scripts the server has run in all."""
    return int((await state._link.client.info("commandstats"))["cmdstat_eval"]["calls"])


async def test_what_one_replica_cools_all_leave_alone_whatever_their_clocks_say(redis_server: RedisServer) -> None:
    one, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, command_s=2.0)
    one.cool("gpt", Cooling(1_030.0, "rate"))
    await one.sync(1_000.0)
    await other.sync(5.0)
    cooling = other.cooling(5.0)["gpt"]
    assert cooling.kind == "rate"
    assert cooling.until_at == pytest.approx(35.0, abs=0.5)
    assert other.cooling(36.0) == {}
    await one.aclose()
    await other.aclose()


async def test_a_shorter_cooling_of_another_replica_changes_nothing(redis_server: RedisServer) -> None:
    one, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, command_s=2.0)
    one.cool("gpt", Cooling(60.0, "auth"))
    await one.sync(0.0)
    other.cool("gpt", Cooling(5.0, "rate"))
    await other.sync(0.0)
    assert other.cooling(30.0)["gpt"].kind == "auth"
    await one.aclose()
    await other.aclose()


async def test_a_cooling_that_is_over_leaves_nothing_behind(redis_server: RedisServer) -> None:
    state = Redis(redis_server.url, command_s=2.0)
    state.cool("gpt", Cooling(10.0, "rate"))
    await state.sync(20.0)
    await state.sync(20.0)
    assert await state._link.client.hgetall("gw:cooling") == {}
    await state.aclose()


async def test_a_cooling_without_end_is_shared_for_a_year(redis_server: RedisServer) -> None:
    state = Redis(redis_server.url, command_s=2.0)
    state.cool("gpt", Cooling(float("inf"), "auth"))
    await state.sync(0.0)
    assert state.health().up
    assert state.cooling(364 * 86_400.0)["gpt"].kind == "auth"
    assert state.cooling(366 * 86_400.0) == {}
    await state.aclose()


async def test_what_replicas_used_adds_up_and_they_read_the_same_log(redis_server: RedisServer) -> None:
    one, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, command_s=2.0)
    for state, name in ((one, "one"), (other, "other")):
        state.count(plain())
        state.append(name.encode(), name)
        await state.sync(0.0)
    assert await micros(one) == await micros(other) == {"team-a": 10_420}
    assert await one.recent(9) == await other.recent(9) == [b"other", b"one"]
    assert await one.find("other") == b"other"
    await one.aclose()
    await other.aclose()


async def test_fleets_with_another_prefix_do_not_see_each_other(redis_server: RedisServer) -> None:
    one, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, prefix="b", command_s=2.0)
    one.count(plain())
    one.append(b"x", "x")
    await one.sync(0.0)
    assert (await micros(other), await other.find("x"), await other.recent(9)) == ({}, None, [])
    await one.aclose()
    await other.aclose()


async def test_closing_sends_what_is_left(redis_server: RedisServer) -> None:
    one, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, command_s=2.0)
    for n in range(1200):
        one.append(b"%d" % n, str(n))
    await one.aclose()
    assert len(await other.recent(5000)) == 1200
    await other.aclose()


async def test_what_one_replica_warms_is_warm_for_all_at_their_next_sync(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        one.cool("breaker:a", OPEN)
        await synced(one, other)
        assert other.cooling(0.0)["breaker:a"].kind == "open"
        other.warm("breaker:a")
        assert (set(other.cooling(0.0)), set(one.cooling(0.0))) == (set(), {"breaker:a"})
        await synced(other, one)
        assert (other.cooling(0.0), one.cooling(0.0)) == ({}, {})


async def test_of_a_cooling_and_a_warm_of_two_replicas_the_later_arrival_counts(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        one.cool("breaker:a", OPEN)
        other.warm("breaker:a")
        await synced(other, one, other)
        assert one.cooling(0.0).keys() == other.cooling(0.0).keys() == {"breaker:a"}
        one.cool("breaker:b", OPEN)
        other.warm("breaker:b")
        await synced(one, other, one)
        assert one.cooling(0.0).keys() == other.cooling(0.0).keys() == {"breaker:a"}


async def test_a_replica_that_was_cut_off_does_not_cool_what_others_have_warmed_since(
    redis_server: RedisServer,
) -> None:
    async with fleet(redis_server, 2) as (one, other):
        one.cool("breaker:a", Cooling(1000.0, "open"))
        one.cooled.take(100.0)
        other.warm("breaker:a")
        await other.sync(0.0)
        await one.sync(105.0)
        await other.sync(0.1)
        assert (one.cooling(105.0), other.cooling(0.1)) == ({}, {})
        one.cool("breaker:a", Cooling(1000.0, "open"))
        await one.sync(106.0)
        assert one.cooling(106.0).keys() == {"breaker:a"}


async def test_a_replica_that_was_cut_off_does_not_warm_what_others_have_cooled_since(
    redis_server: RedisServer,
) -> None:
    async with fleet(redis_server, 2) as (one, other):
        one.warm("breaker:a")
        one.cooled.take(100.0)
        other.cool("breaker:a", OPEN)
        await other.sync(0.0)
        await one.sync(105.0)
        await other.sync(0.1)
        assert set(one.cooling(105.0)) == set(other.cooling(0.1)) == {"breaker:a"}


async def test_of_four_replicas_that_want_a_lease_all_the_time_exactly_one_has_it(redis_server: RedisServer) -> None:
    ended_at = time.monotonic() + 1.0
    seen: list[int] = []
    async with fleet(redis_server, 4) as replicas:

        async def asking(replica: Redis) -> None:
            while time.monotonic() < ended_at:
                for _ in range(50):
                    replica.want("probe", 30.0)
                await replica.sync(time.monotonic())
                seen.append(sum(r.holds("probe", time.monotonic()) for r in replicas))

        await asyncio.gather(*map(asking, replicas))
    # Until the first is connected nobody has it.
    assert set(seen[seen.index(1) :]) == {1}
    assert len(seen) > 40


async def test_a_lease_goes_to_another_when_it_has_ended_or_was_let_go(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 3) as (one, other, third):
        one.want("probe", 0.05)
        await one.sync(0.0)
        await asyncio.sleep(0.06)
        other.want("probe", 60.0)
        await other.sync(0.0)
        assert (one.holds("probe", 0.06), other.holds("probe", 0.0)) == (False, True)
        other.let_go("probe")
        third.want("probe", 60.0)
        await synced(other, third)
        assert third.holds("probe", 0.0)


async def test_a_replica_that_closes_gives_back_its_leases_and_counts_no_more(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        one.want("probe", 60.0)
        await synced(one, other)
        assert other.replicas() == 2
        await one.aclose()
        other.want("probe", 60.0)
        await other.sync(0.0)
        assert (other.replicas(), other.holds("probe", 0.0)) == (1, True)


async def test_what_all_draw_adds_up_whatever_their_clocks_say(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 3) as replicas:
        for n, replica in enumerate(replicas):
            replica.draw("rpm", 10, 0.001, 60)
            await replica.sync(1000.0 * n)
        for n, replica in enumerate(replicas):
            await replica.sync(1000.0 * n)
            replica.draw("rpm", 1, 0.001, 60)
            assert replica.level("rpm", 1000.0 * n) == pytest.approx(31.0, abs=0.1)


async def test_a_bucket_that_has_drained_leaves_nothing_behind(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 1) as (one,):
        one.draw("rpm", 1, 100.0, 3)
        await one.sync(0.0)
        assert await one._link.client.pttl("gw:bucket:rpm") in range(1, 31)
        await asyncio.sleep(0.04)
        assert await one._link.client.exists("gw:bucket:rpm") == 0
        await one.sync(0.04)
        assert one.level("rpm", 0.04) == 0


async def test_an_idle_sync_is_two_commands(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 1) as (one,):
        await one.sync(0.0)
        before = await evals(one)
        for _ in range(10):
            await one.sync(0.0)
        assert await evals(one) - before == 20
