"""Several replicas on one Redis."""

from __future__ import annotations

import pytest

from gateway.state.over_redis import Redis
from gateway.types import Cooling
from tests.redis_server import RedisServer


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


async def test_a_cooling_without_end_can_be_shared(redis_server: RedisServer) -> None:
    state = Redis(redis_server.url, command_s=2.0)
    state.cool("gpt", Cooling(float("inf"), "auth"))
    await state.sync(0.0)
    assert state.health().up
    assert state.cooling(1e9) == {"gpt": Cooling(float("inf"), "auth")}
    await state.aclose()


async def test_replicas_add_to_the_same_sums_and_read_the_same_log(redis_server: RedisServer) -> None:
    one, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, command_s=2.0)
    for state, name in ((one, "one"), (other, "other")):
        state.spent("team-a", "gpt", 10)
        state.append(name.encode(), name)
        await state.sync(0.0)
    assert await one.spend("team-a") == await other.spend("team-a") == {"gpt": 20}
    assert await one.recent(9) == await other.recent(9) == [b"other", b"one"]
    assert await one.find("other") == b"other"
    await one.aclose()
    await other.aclose()


async def test_fleets_with_another_prefix_do_not_see_each_other(redis_server: RedisServer) -> None:
    one, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, prefix="b", command_s=2.0)
    one.spent("team-a", "gpt", 10)
    one.append(b"x", "x")
    await one.sync(0.0)
    assert (await other.spend("team-a"), await other.find("x"), await other.recent(9)) == ({}, None, [])
    await one.aclose()
    await other.aclose()


async def test_closing_sends_what_is_left(redis_server: RedisServer) -> None:
    one, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, command_s=2.0)
    for n in range(1200):
        one.append(b"%d" % n, str(n))
    await one.aclose()
    assert len(await other.recent(5000)) == 1200
    await other.aclose()
