"""What is remembered for callers: each caller's own, bounded, for a day, and shared as soon as it is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.state import recollection
from gateway.state.memory import Memory
from gateway.state.over_redis import Redis
from gateway.state.remembered import BESIDE, LARGEST, REMEMBERED_S, Remembered, name_of
from gateway.state.verbs import State
from tests.redis_server import TROUBLES, RedisServer, Trouble


@pytest.fixture
async def fleet(redis_server: RedisServer) -> AsyncIterator[tuple[Redis, Redis]]:
    """Two replicas that have met."""
    replicas = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, command_s=2.0)
    for replica in replicas:
        await replica.sync(1.0)
    yield replicas
    for replica in replicas:
        await replica.aclose()


async def told(state: Redis) -> None:
    """Once all that it had to say is said."""
    async with asyncio.timeout(5):
        while state.remembered.untold:
            await asyncio.sleep(0.001)


def test_no_two_pairs_of_caller_and_key_have_one_name() -> None:
    pairs = [("a", "b:c"), ("a:b", "c"), ("", "a:b:c"), ("1:a", "b"), ("a", ""), ("", "a")]
    assert len({name_of(*pair) for pair in pairs}) == len(pairs)


def test_the_least_recently_used_is_forgotten_first_and_no_longer_to_be_told() -> None:
    known = Remembered(most=2 * (BESIDE + 10))
    known.remember("me", {"a": b"a" * 10, "b": b"b" * 10})
    assert known.find(name_of("me", "a")) == b"a" * 10
    known.remember("me", {"c": b"c" * 10})
    assert known.take(10_000) == {name_of("me", "a"): b"a" * 10, name_of("me", "c"): b"c" * 10}
    assert (known.find(name_of("me", "b")), len(known)) == (None, 2)


def test_what_is_too_large_is_lost_and_counted() -> None:
    known = Remembered()
    known.remember("me", {"a": b"x" * (LARGEST + 1), "b": b"x" * LARGEST})
    assert (len(known), known.lost) == (1, 1)


def test_after_a_day_it_is_gone() -> None:
    known = Remembered()
    known.turn(100.0)
    known.remember("me", {"a": b"x"})
    known.turn(100.0 + REMEMBERED_S)
    assert known.find(name_of("me", "a")) == b"x"
    known.turn(100.1 + REMEMBERED_S)
    assert (known.find(name_of("me", "a")), len(known), known.untold) == (None, 0, False)


async def test_another_replica_recalls_it_without_a_sync(fleet: tuple[Redis, Redis]) -> None:
    one, other = fleet
    one.remember("me", {"a": b"1", "b": b"2"})
    await told(one)
    assert await other.recall("me", ["a", "x", "b"]) == {"a": b"1", "b": b"2"}
    assert await other.recall("you", ["a", "b"]) == {}


async def test_what_was_recalled_once_is_known_here(fleet: tuple[Redis, Redis], redis_server: RedisServer) -> None:
    one, other = fleet
    one.remember("me", {"a": b"1"})
    await told(one)
    assert await other.recall("me", ["a"]) == {"a": b"1"}
    redis_server.kill()
    assert await other.recall("me", ["a"]) == {"a": b"1"}
    assert (other.remembered.untold, other.health().forgotten) == (False, 0)


async def test_the_store_forgets_after_a_day_and_has_no_key_in_words(
    fleet: tuple[Redis, Redis], redis_server: RedisServer
) -> None:
    fleet[0].remember("team-a", {"call:secret": b"1"})
    await told(fleet[0])
    name = f"gw:kept:{name_of('team-a', 'call:secret')}"
    assert redis_server.ask("KEYS", "*kept*") == [name.encode()]
    ttl = redis_server.ask("TTL", name)
    assert isinstance(ttl, int)
    assert 86_000 < ttl <= 86_400


async def test_the_store_holds_only_its_share_of_all_replicas(
    fleet: tuple[Redis, Redis], monkeypatch: pytest.MonkeyPatch
) -> None:
    for replica in fleet:
        monkeypatch.setattr(replica._recollection, "_shared", 2.5 * (BESIDE + 1000))
    one, other = fleet
    one.remember("me", {"a": b"a" * 1000, "b": b"b" * 1000, "c": b"c" * 1000})
    await told(one)
    assert one.health().forgotten == 1
    await one.sync(2.0)
    other.level(recollection.BUCKET, 2.0)
    await other.sync(2.0)
    other.remember("me", {"d": b"d" * 1000})
    await told(other)
    assert other.health().forgotten == 1
    assert await other.recall("me", ["a", "b", "c", "d"]) == {
        "a": b"a" * 1000,
        "b": b"b" * 1000,
        "d": b"d" * 1000,
    }


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_in_trouble_what_is_known_here_is_recalled_and_nobody_waits_for_the_rest(
    redis_server: RedisServer, trouble: Trouble
) -> None:
    state, patient = Redis(redis_server.url), Redis(redis_server.url, command_s=2.0)
    await state.sync(1.0)
    trouble.begin(redis_server)
    longest = 0.0
    for n in range(30):
        state.remember("me", {str(n): b"%d" % n})
        began = time.monotonic()
        assert await state.recall("me", [str(n), "unknown"]) == {str(n): b"%d" % n}
        longest = max(longest, time.monotonic() - began)
        await state.sync(2.0 + n)
    assert longest < 0.2

    trouble.end(redis_server)
    async with asyncio.timeout(10):
        while not state.health().up or state.remembered.untold:
            await state.sync(100.0)
            await asyncio.sleep(0.02)
    await patient.sync(100.0)
    refused = trouble.says in ("maxmemory", "read only")
    recalled = await patient.recall("me", [str(n) for n in range(30)])
    assert recalled == ({} if refused else {str(n): b"%d" % n for n in range(30)})
    assert state.health().forgotten >= (30 if refused else 1)
    for replica in (state, patient):
        await replica.aclose()


async def test_what_is_not_yet_told_goes_out_at_the_end(redis_server: RedisServer) -> None:
    state, other = Redis(redis_server.url, command_s=2.0), Redis(redis_server.url, command_s=2.0)
    state.remember("me", {"a": b"1"})
    await state.aclose()
    await other.sync(1.0)
    assert await other.recall("me", ["a"]) == {"a": b"1"}
    await other.aclose()


async def test_one_process_remembers_by_itself() -> None:
    state: State = Memory()
    state.remember("me", {"a": b"1"})
    await state.sync(1.0)
    assert await state.recall("me", ["a", "b"]) == {"a": b"1"}
    assert await state.recall("you", ["a"]) == {}
