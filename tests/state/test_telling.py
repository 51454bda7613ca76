"""What replicas used, as Redis has it: told again until it is certain to stay, and never counted twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final, cast
from urllib.parse import quote

import pytest

from gateway.state import telling
from gateway.state.over_redis import Redis
from gateway.usage.sums import iso
from tests.redis_server import RedisServer
from tests.state.test_failover import Deployed, address, deployed
from tests.state.used import DAY, micros, used
from tests.telemetry.exchanges import plain

__all__ = ["deployed"]

COST: Final = 5_210


@pytest.fixture
async def state(redis_server: RedisServer) -> AsyncIterator[Redis]:
    made = Redis(redis_server.url, command_s=2.0)
    yield made
    await made.aclose()


@pytest.fixture
async def other(redis_server: RedisServer) -> AsyncIterator[Redis]:
    made = Redis(redis_server.url, command_s=2.0)
    yield made
    await made.aclose()


async def commands(state: Redis) -> int:
    return int((await state._link.client.info("commandstats"))["cmdstat_hset"]["calls"])


async def test_each_replica_tells_sums_of_its_own_and_all_read_the_sum_of_them(state: Redis, other: Redis) -> None:
    for now in (0.0, 1.0):
        for replica in (state, other):
            replica.count(plain())
            await replica.sync(now)
    assert await micros(state) == await micros(other) == {"team-a": 4 * COST}
    tellers = await state._link.client.smembers(f"gw:usage:{iso(DAY)}")
    assert len(tellers) == 2
    kept = await state._link.client.ttl(f"gw:usage:{iso(DAY)}")
    assert 399 * 86_400 < kept <= 400 * 86_400


async def test_what_has_not_changed_is_not_sent_and_after_a_while_nothing_is(state: Redis) -> None:
    for n in range(1000):
        state.count(plain(user=f"user-{n}"))
    await state.sync(0.0)
    await state.sync(0.1)
    assert not state._telling.untold
    told = await commands(state)
    state.count(plain(user="user-7"))
    await state.sync(0.2)
    assert (state._telling.untold, await commands(state)) == (True, told)
    for now in range(1, 30):
        await state.sync(float(now))
    # The one sum, and that it is still there for as long as a failover may lose it.
    assert await commands(state) - told == 1 + telling.WATCHED_S
    assert (await micros(state), state._telling.untold) == ({"team-a": 1001 * COST}, False)


@pytest.mark.parametrize("lost", ["all", "the last turn", "a hash"])
async def test_what_redis_loses_a_moment_later_is_told_again(
    state: Redis, other: Redis, redis_server: RedisServer, lost: str
) -> None:
    state.count(plain(user="ann"))
    await state.sync(0.0)
    (name,) = await state._link.client.keys("gw:usage:*:*")
    before = await state._link.client.hgetall(name)
    state.count(plain(user="ann"))
    state.count(plain(user="bob"))
    await state.sync(1.0)
    assert await micros(other) == {"team-a": 3 * COST}
    if lost == "all":
        redis_server.ask("FLUSHALL")
    await state._link.client.delete(name)
    if lost == "the last turn":
        await state._link.client.hset(name, mapping=cast(Any, before))
    await other.sync(1.0)
    assert await micros(other) == ({"team-a": COST} if lost == "the last turn" else {})
    await state.sync(2.0)
    await state.sync(2.1)
    assert await micros(other) == {"team-a": 3 * COST}
    assert {dims[4] for dims in await used(other, DAY)} == {"ann", "bob"}


async def test_a_turn_that_comes_after_a_later_one_changes_nothing(state: Redis) -> None:
    await state.sync(0.0)
    sent: list[tuple[object, ...]] = []

    class Pipe:
        def eval(self, *args: object) -> None:
            sent.append(args)

    for now in (10.0, 11.0):
        state.count(plain())
        state._telling.render(Pipe(), now)
    for args in (sent[1], sent[0]):
        answer = await state._link.client.eval(*args)  # type: ignore[arg-type]
    assert answer == [2, b""]
    (name,) = await state._link.client.keys("gw:usage:*:*")
    assert sorted(await state._link.client.hvals(name)) == [b"2", b"[2,0,2,2400,680,2048,0,128,10420,0,0,0,0]"]


async def test_a_day_that_was_let_go_of_and_comes_back_adds_to_what_was_told(state: Redis, other: Redis) -> None:
    for day in range(4):
        state.count(plain(at=(DAY + day) * 86_400.0))
    for now in range(30):
        await state.sync(float(now))
    assert list(state.tally.days) == [DAY + 2, DAY + 3]
    state.count(plain())
    await state.sync(30.0)
    assert await micros(other) == await micros(state) == {"team-a": 2 * COST}


async def test_closing_tells_what_is_left(redis_server: RedisServer, other: Redis) -> None:
    state = Redis(redis_server.url, command_s=2.0)
    await state.sync(0.0)
    for n in range(1200):
        state.count(plain(user=f"user-{n}"))
    await state.aclose()
    assert await micros(other) == {"team-a": 1200 * COST}


async def test_what_another_wrote_there_is_told_and_stops_nothing_else(
    state: Redis, other: Redis, redis_server: RedisServer
) -> None:
    redis_server.ask("SET", f"gw:usage:{iso(DAY)}", "not a set")
    state.count(plain())
    state.append(b"x", "x")
    await state.sync(0.0)
    assert "WRONGTYPE" in (state.health().error or "")
    assert (await other.recent(1), state.alone(0.0)) == ([b"x"], False)
    redis_server.ask("DEL", f"gw:usage:{iso(DAY)}")
    await state.sync(1.0)
    await state._link.client.hset((await state._link.client.keys("gw:usage:*:*"))[0], "nonsense", "nonsense")
    assert (state.health().up, await micros(other)) == (True, {"team-a": COST})


@pytest.mark.parametrize("trouble", ["kill", "freeze"])
async def test_a_failover_that_loses_its_last_seconds_loses_nothing_of_what_was_used(
    deployed: Deployed, trouble: str
) -> None:
    main, spare, sentinel = deployed
    state = Redis(address(sentinel, main.password))

    async def synced(until: float) -> None:
        while time.monotonic() < until:
            await state.sync(time.monotonic())
            await asyncio.sleep(0.05)

    state.count(plain())
    await synced(time.monotonic() + 1.2)
    # From now on the spare hears nothing any more of what the main Redis takes and confirms.
    spare.freeze()
    main.ask("CLIENT", "KILL", "TYPE", "replica")
    for _ in range(9):
        state.count(plain())
    await synced(time.monotonic() + 1.2)
    assert (state._telling.untold, state.health().up) == (False, True)
    getattr(main, trouble)()
    spare.thaw()
    login = f":{quote(spare.password, safe='')}@" if spare.password else ""
    reader = Redis(spare.url.replace("redis://", f"redis://{login}"), command_s=2.0)
    assert await micros(reader) == {"team-a": COST}
    async with asyncio.timeout(15):
        while await micros(reader) != {"team-a": 10 * COST}:
            await synced(time.monotonic() + 0.1)
    for one in (state, reader):
        await one.aclose()
