"""What every kind of state promises: one suite, run against memory and against a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from gateway.state.memory import Memory
from gateway.state.over_redis import Redis
from gateway.state.verbs import State
from gateway.types import Cooling
from gateway.usage.sums import Sums
from tests.redis_server import RedisServer
from tests.state.used import DAY, DIMS, used
from tests.telemetry.exchanges import FAILED, plain


@pytest.fixture(params=["memory", "redis"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[State]:
    if request.param == "memory":
        made: State = Memory()
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        made = Redis(server.url, command_s=2.0)
    yield made
    await made.aclose()


async def test_a_record_is_found_by_its_id_before_and_after_it_is_sent(state: State) -> None:
    state.append(b'{"id":"a"}', "a")
    assert await state.find("a") == b'{"id":"a"}'
    await state.sync(1.0)
    assert await state.find("a") == b'{"id":"a"}'
    assert await state.find("b") is None


async def test_every_one_of_many_records_is_found(state: State) -> None:
    for n in range(1500):
        state.append(b"record %d" % n, f"id-{n}")
    await state.sync(1.0)
    assert [await state.find(f"id-{n}") for n in (0, 63, 64, 511, 512, 1499)] == [
        b"record 0",
        b"record 63",
        b"record 64",
        b"record 511",
        b"record 512",
        b"record 1499",
    ]


async def test_the_newest_records_come_first_sent_or_not(state: State) -> None:
    for n in range(70):
        state.append(b"%d" % n, str(n))
    await state.sync(1.0)
    state.append(b"last", "last")
    assert await state.recent(3) == [b"last", b"69", b"68"]
    assert await state.recent(1000) == [b"last", *(b"%d" % n for n in reversed(range(70)))]


async def test_what_is_used_adds_up_sent_or_not(state: State) -> None:
    state.count(plain(baseline=6_000))
    state.count(plain(at=DAY * 86_400.0 - 1))
    state.count(plain(user="ann"))
    await state.sync(1.0)
    state.count(plain(outcome="upstream_error", attempts=(FAILED,), deployment=None, cost=None))
    once = Sums(1, 0, 1, 1200, 340, 1024, 0, 64, 5_210)
    expected = {
        (DAY - 1, *DIMS): once,
        (DAY, *DIMS): replace(once, compared=1, baseline=6_000, saving=790),
        (DAY, *DIMS[:3], "ann", *DIMS[4:]): once,
        (DAY, *DIMS[:4], "sonnet", *DIMS[5:]): Sums(1, 1, 1),
    }
    assert await used(state, DAY - 1, DAY) == expected
    await state.sync(3.0)
    assert await used(state, DAY - 1, DAY) == expected
    assert await used(state, DAY + 1) == {}


async def test_a_cooling_deployment_is_left_alone_from_the_moment_it_is_said(state: State) -> None:
    state.cool("gpt", Cooling(10.0, "rate"))
    assert state.cooling(9.0) == {"gpt": Cooling(10.0, "rate")}
    assert state.cooling(10.0) == {}


async def test_a_later_end_of_cooling_wins(state: State) -> None:
    state.cool("gpt", Cooling(100.0, "auth"))
    state.cool("gpt", Cooling(10.0, "rate"))
    await state.sync(1.0)
    kept = state.cooling(50.0)["gpt"]
    assert kept.kind == "auth"
    assert kept.until_at == pytest.approx(100.0, abs=0.5)


async def test_a_state_that_answers_says_so(state: State) -> None:
    await state.sync(12.5)
    health = state.health()
    assert (health.up, health.error, health.refreshed_at, health.dropped) == (True, None, 12.5, 0)


async def test_a_store_that_keeps_few_records_keeps_the_newest(redis_server: RedisServer) -> None:
    for state in (Memory(kept=100), Redis(redis_server.url, kept=100, command_s=2.0)):
        for n in range(1000):
            state.append(b"%d" % n, str(n))
            if n % 50 == 0:
                await state.sync(1.0)
        await state.sync(1.0)
        kept = await state.recent(10_000)
        assert kept[:100] == [b"%d" % n for n in range(999, 899, -1)]
        assert len(kept) <= 150
        assert await state.find("0") is None
        await state.aclose()


async def test_what_is_warmed_is_used_again_at_once_and_stays_so(state: State) -> None:
    state.cool("breaker:a", Cooling(100.0, "open"))
    await state.sync(1.0)
    state.warm("breaker:a")
    assert state.cooling(1.0) == {}
    await state.sync(2.0)
    await state.sync(3.0)
    assert state.cooling(3.0) == {}
    state.cool("breaker:a", Cooling(50.0, "open"))
    await state.sync(4.0)
    assert state.cooling(4.0)["breaker:a"].until_at == pytest.approx(50.0, abs=0.5)


async def test_a_lease_is_had_from_the_next_sync_until_it_ends(state: State) -> None:
    state.want("probe", 5.0)
    assert not state.holds("probe", 1.0)
    await state.sync(1.0)
    assert (state.holds("probe", 1.0), state.holds("probe", 5.9), state.holds("probe", 6.0)) == (True, True, False)


async def test_a_lease_is_prolonged_by_its_holder_and_ends_when_it_is_let_go(state: State) -> None:
    state.want("probe", 5.0)
    await state.sync(1.0)
    state.want("probe", 9.0)
    await state.sync(2.0)
    assert state.holds("probe", 10.9)
    state.let_go("probe")
    assert not state.holds("probe", 2.0)
    await state.sync(3.0)
    assert not state.holds("probe", 3.0)
    state.want("probe", 1.0)
    await state.sync(4.0)
    assert state.holds("probe", 4.9)


async def test_a_bucket_fills_at_once_and_drains_at_its_rate(state: State) -> None:
    await state.sync(1.0)
    state.draw("rpm", 10, 0.001, 60)
    assert state.level("rpm", 1.0) == 10
    state.draw("rpm", -4, 0.001, 60)
    await state.sync(1.0)
    assert state.level("rpm", 1.0) == pytest.approx(6.0, abs=0.1)
    assert state.level("rpm", 1001.0) == pytest.approx(5.0, abs=0.1)
    state.draw("rpm", -100, 0.001, 60)
    await state.sync(1.0)
    assert (state.level("rpm", 1.0), state.level("tpm", 1.0)) == (0.0, 0.0)


async def test_a_state_that_answers_is_not_alone_and_counts_itself(state: State) -> None:
    assert not state.alone(1.0)
    await state.sync(1.0)
    assert (state.alone(2.0), state.replicas()) == (False, 1)


async def test_what_is_remembered_is_recalled_by_its_caller_alone(state: State) -> None:
    await state.sync(1.0)
    state.remember("team-a", {"one": b"1", "two": b"\x00" * 1000})
    assert await state.recall("team-a", ["two", "three", "one"]) == {"two": b"\x00" * 1000, "one": b"1"}
    assert await state.recall("team-b", ["one", "two"]) == {}
    state.remember("team-b", {"one": b"another"})
    await state.sync(2.0)
    assert await state.recall("team-a", ["one"]) == {"one": b"1"}
    assert await state.recall("team-b", ["one"]) == {"one": b"another"}
    assert await state.recall("team-a", []) == {}
    assert state.health().forgotten == 0


async def test_what_is_remembered_is_forgotten_after_a_day(state: State) -> None:
    await state.sync(1.0)
    state.remember("team-a", {"one": b"1"})
    await state.sync(86_401.0)
    assert await state.recall("team-a", ["one"]) == {"one": b"1"}
