"""The script in Redis and its model in Python answer the same turns alike. Of a store that is new in charge, only Redis
is asked: that is a matter of its own time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from redis.asyncio import Redis as Client

from gateway.budgets.account import Row
from gateway.budgets.fleet import Answer, Ask, Fleet, Turn
from gateway.state.accounts import read_rows, take_turn
from tests.redis_server import RedisServer

MICROS = st.integers(0, 1_000) | st.sampled_from([0, 2**31, 2**32 + 1, 2**51])
NAMES = st.sampled_from(["r1", "r2", "r3"])
ACCOUNTS = st.sampled_from(["team:a/2026-11", "user:team/a/jörg b/2026-11"])
ROWS = st.builds(Row, st.integers(0, 9) | st.just(2**52), MICROS, MICROS, MICROS)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """What one replica says of one account; what it needs is never less than what it has spent."""
    row = draw(ROWS)
    need = max(row.settled + row.lost, draw(MICROS))
    known = draw(st.lists(st.tuples(NAMES.map(str.encode), ROWS.map(Row.render)), max_size=2))
    return Ask(draw(ACCOUNTS), draw(MICROS), 60, row, need, max(need, draw(MICROS)), tuple(known))


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    """A turn asks once for each account at most."""
    said = draw(st.lists(asks(), max_size=2, unique_by=lambda ask: ask.account))
    return Turn(draw(NAMES), tuple(said), tuple(draw(st.lists(ACCOUNTS, max_size=2))))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    made = RedisServer()
    made.start()
    yield made
    made.kill()


def in_order(answer: Answer) -> Answer:
    """A hash has no order."""
    told = [replace(one, rows=tuple(sorted(one.rows))) for one in answer.told]
    return replace(answer, told=tuple(told), epoch="", short=tuple(sorted(set(answer.short))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(turns(), max_size=8), replicas=st.integers(1, 3))
async def test_the_script_and_its_model_answer_alike(server: RedisServer, script: list[Turn], replicas: int) -> None:
    async with Client(port=server.port, protocol=2) as client:
        await client.flushall()
        now = time.time() * 1000
        await client.zadd("gw:replicas", {f"there-{n}": now for n in range(replicas)})
        fleet, short = Fleet(), set[str]()
        for turn in script:
            expected = fleet.turn(turn, replicas)
            # In Redis others hear of it, for a while.
            short |= set(expected.short)
            answer = await take_turn(client, "gw", turn, "first", barred_ms=0)
            assert in_order(answer) == in_order(replace(expected, short=tuple(short)))
            assert answer.epoch.startswith("first")  # and then says which server it is
        accounts = ["team:a/2026-11", "user:team/a/jörg b/2026-11"]
        assert await read_rows(client, "gw", accounts) == {name: fleet.rows(name) for name in accounts}


ROW = Row(1, 0, 0)
ASK = Turn("r1", (Ask("a", 100, 60, ROW, 50, 50),))


async def granted(client: Client, barred_ms: int = 300) -> tuple[bool, str, int]:
    answer = await take_turn(client, "gw", ASK, "new", barred_ms=barred_ms)
    # What follows says which server it is.
    return answer.barred, answer.epoch[:3], answer.told[0].allowance


async def test_a_store_that_is_new_in_charge_grants_nothing_for_a_while(redis_server: RedisServer) -> None:
    async with Client(port=redis_server.port, protocol=2) as client:
        assert await granted(client) == (True, "new", 0)
        await client.hset("gw:accounts", "epoch", "old")
        assert [await granted(client), await granted(client, 0)] == [(True, "old", 0), (False, "old", 50)]
        # As after a failover: what is there was written by another server.
        await client.hset("gw:accounts", "server", "another")
        assert await granted(client) == (True, "old", 0)
        async with asyncio.timeout(5):
            while (await granted(client))[0]:
                await asyncio.sleep(0.02)
        assert await granted(client) == (False, "old", 50)
        await client.flushall()
        assert await granted(client) == (True, "new", 0)


async def test_rows_that_nobody_can_read_count_nothing(redis_server: RedisServer) -> None:
    async with Client(port=redis_server.port, protocol=2) as client:
        await client.hset("gw:account:a", mapping={"r2": "nonsense", "r1": "", "r3": "1 -5 0 0"})
        assert await granted(client, 0) == (False, "new", 50)
