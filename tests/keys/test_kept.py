"""Documents of keys, in a ledger and in a Redis that several replicas share: told once, known everywhere."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import Unavailable
from gateway.state.keyring import MOST, Keyring
from gateway.state.ledger import Ledger
from gateway.state.lookup import BATCH, Lookup
from gateway.state.lookup import MOST as MOST_WAIT
from gateway.state.memory import Memory
from gateway.state.over_redis import Redis
from gateway.state.verbs import State
from tests.redis_server import TROUBLES, RedisServer


@asynccontextmanager
async def fleet(server: RedisServer, size: int) -> AsyncIterator[tuple[Redis, ...]]:
    """So many replicas, each of which has been in sync once."""
    replicas = tuple(Redis(server.url) for _ in range(size))
    try:
        await synced(*replicas)
        yield replicas
    finally:
        for replica in replicas:
            await replica.aclose()


async def synced(*replicas: Redis) -> None:
    """One sync of each, in this order; the first may have to wait for a connection."""
    for replica in replicas:
        async with asyncio.timeout(5):
            await replica.sync(0.0)
            while not replica.health().up:
                await replica.sync(0.0)


async def asked(server: RedisServer) -> int:
    """How many commands for documents the server has had."""
    said = await asyncio.to_thread(server.ask, "INFO", "commandstats")
    assert isinstance(said, dict)
    return sum(said.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("hget", "hmget"))


@pytest.fixture(params=["memory", "redis"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[State]:
    if request.param == "memory":
        yield Memory()
        return
    async with fleet(request.getfixturevalue("redis_server"), 1) as (replica,):
        yield replica


async def test_a_key_is_put_changed_listed_and_taken_out(state: State) -> None:
    assert (state.key("a"), await state.find_key("a")) == (None, None)
    assert await state.change_key("a", None, b"1") == b"1"
    assert (state.key("a"), await state.find_key("a"), await state.keys()) == (b"1", b"1", {"a": b"1"})
    assert await state.change_key("a", b"1", b"2") == b"2"
    assert await state.change_key("b", None, b"3") == b"3"
    assert await state.keys() == {"a": b"2", "b": b"3"}
    assert await state.change_key("a", b"2", None) is None
    assert (state.key("a"), await state.find_key("a"), await state.keys()) == (None, None, {"b": b"3"})


async def test_who_was_slower_is_told_what_is_there_and_changes_nothing(state: State) -> None:
    await state.change_key("a", None, b"1")
    assert await state.change_key("a", None, b"2") == b"1"
    assert await state.change_key("a", b"0", None) == b"1"
    assert await state.keys() == {"a": b"1"}
    assert await state.change_key("b", b"0", b"1") is None


# --- a ledger ---------------------------------------------------------------------------------------------------


def opened(path: Path) -> tuple[Memory, Ledger]:
    memory = Memory()
    ledger = Ledger(str(path), [memory.keybook])
    memory.keybook.open = lambda: ledger
    return memory, ledger


async def test_keys_in_a_ledger_survive_a_restart_and_its_being_written_anew(tmp_path: Path) -> None:
    memory, ledger = opened(tmp_path / "ledger")
    for id, before, after in (("a", None, b'"1"'), ("b", None, b"2"), ("a", b'"1"', b"3"), ("b", b"2", None)):
        await memory.change_key(id, before, after)
    ledger.close()
    for _ in range(2):
        memory, ledger = opened(tmp_path / "ledger")
        assert await memory.keys() == {"a": b"3"}
        ledger.compact()
        ledger.close()


async def test_what_a_ledger_does_not_take_has_not_happened(tmp_path: Path) -> None:
    memory, ledger = opened(tmp_path / "ledger")
    await memory.change_key("a", None, b"1")
    fd, ledger._fd = ledger._fd, os.open(tmp_path / "ledger", os.O_RDONLY)
    with pytest.raises(Unavailable):
        await memory.change_key("a", b"1", b"2")
    with pytest.raises(Unavailable):
        await memory.change_key("b", None, b"3")
    os.close(ledger._fd)
    ledger._fd = fd
    await memory.change_key("c", None, b"4")
    ledger.close()
    assert await memory.keys() == {"a": b"1", "c": b"4"}
    again, ledger = opened(tmp_path / "ledger")
    assert await again.keys() == {"a": b"1", "c": b"4"}
    ledger.close()


async def test_where_there_is_no_ledger_to_be_had_no_key_is_made(tmp_path: Path) -> None:
    memory = Memory()
    memory.keybook.open = lambda: Ledger(str(tmp_path), [memory.keybook])
    with pytest.raises(Unavailable) as refused:
        await memory.change_key("a", None, b"1")
    assert refused.value.code == "ledger_unavailable"
    assert await memory.keys() == {}


def test_lines_that_are_none_are_passed_over() -> None:
    memory = Memory()
    for value in (None, [], ["a"], [1, "x"], ["a", 2], {"a": "b"}):
        memory.keybook.read(value)
    assert memory.keybook.all() == {}


# --- a fleet ----------------------------------------------------------------------------------------------------


async def test_a_change_is_known_to_every_replica_after_its_next_sync(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        await one.change_key("a", None, b"1")
        assert await other.find_key("a") == b"1"
        await one.change_key("a", b"1", b"2")
        assert (one.key("a"), other.key("a")) == (b"2", b"1")
        await synced(other)
        assert other.key("a") == b"2"
        await one.change_key("a", b"2", None)
        assert (one.key("a"), other.key("a")) == (None, b"2")
        await synced(other)
        assert (other.key("a"), await other.find_key("a")) == (None, None)


async def test_a_new_key_is_known_before_anybody_asks_for_it_even_where_it_was_known_not_to_be(
    redis_server: RedisServer,
) -> None:
    async with fleet(redis_server, 2) as (one, other):
        assert await other.find_key("a") is None
        await one.change_key("a", None, b"1")
        await synced(other)
        assert other.key("a") == b"1"


async def test_a_sync_reads_only_what_has_changed(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        for n in range(50):
            await one.change_key(f"k{n}", None, b"1")
        await synced(other)
        before = await asked(redis_server)
        await synced(other)
        assert await asked(redis_server) == before
        await one.change_key("k7", b"1", b"2")
        own = await asked(redis_server)
        await synced(other)
        assert (await asked(redis_server) - own, other.key("k7")) == (1, b"2")


async def test_an_id_that_nobody_has_is_asked_for_once(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 1) as (replica,):
        before = await asked(redis_server)
        for _ in range(100):
            assert await replica.find_key("nobody") is None
        assert await asked(redis_server) - before == 1


async def test_a_flood_of_ids_that_nobody_has_is_few_commands(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 1) as (replica,):
        before = await asked(redis_server)
        found = await asyncio.gather(*(replica.find_key(f"n{n}") for n in range(1000)), return_exceptions=True)
        # Where this machine is too busy to do all in 50 ms, some are told so; nobody is told something else.
        assert {type(one) for one in found} <= {type(None), Unavailable}
        assert await asked(redis_server) - before <= 1000 / BATCH + 2


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
async def test_without_redis_a_key_that_is_not_known_here_is_never_nobodys(
    redis_server: RedisServer, trouble: str
) -> None:
    async with fleet(redis_server, 1) as (replica,):
        await replica.change_key("a", None, b"1")
        assert await replica.find_key("nobody") is None
        await asyncio.to_thread(TROUBLES[trouble].begin, redis_server)
        assert await replica.find_key("a") == b"1"
        took = []
        for _ in range(5):
            began = time.monotonic()
            with pytest.raises(Unavailable) as refused:
                await replica.find_key("b")
            took.append(time.monotonic() - began)
            assert (refused.value.code, refused.value.retry_after_s) == ("state_unavailable", 1.0)
        assert max(took) < 0.5
        await asyncio.sleep(1.1)  # by now somebody may have made that key
        with pytest.raises(Unavailable):
            await replica.find_key("nobody")
        await asyncio.to_thread(TROUBLES[trouble].end, redis_server)


async def test_what_redis_has_lost_is_forgotten_and_what_was_revoked_a_moment_ago_stays_revoked(
    redis_server: RedisServer,
) -> None:
    async with fleet(redis_server, 2) as (one, other):
        for id in ("a", "b", "c"):
            await one.change_key(id, None, b"1")
        await synced(one, other)
        one._keyring._own.clear()  # that was long ago
        await one.change_key("a", b"1", None)
        await synced(one, other)
        # A replica took over that had not heard of the last second.
        await asyncio.to_thread(redis_server.ask, "FLUSHALL")
        await asyncio.to_thread(redis_server.ask, "HSET", "gw:keys", "a", "1", "b", "1")
        await asyncio.to_thread(redis_server.ask, "XADD", "gw:keys:changes", "*", "id", "b")
        for _ in range(3):
            await synced(one, other)
        assert [await replica.find_key("a") for replica in (one, other)] == [None, None]
        assert [await replica.find_key("b") for replica in (one, other)] == [b"1", b"1"]
        assert [replica.key("c") for replica in (one, other)] == [None, None]
        assert await one.keys() == {"b": b"1"}


async def test_an_answer_that_was_overtaken_by_a_change_is_not_kept(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        await one.change_key("a", None, b"1")
        ring = other._keyring
        get = ring._get

        async def slow(ids: Sequence[str]) -> list[bytes | None]:
            documents = await get(ids)
            if ids == ["a"]:
                await one.change_key("a", b"1", None)
                ring._get = get  # type: ignore[method-assign]
                await synced(other)
            return documents

        ring._get = slow  # type: ignore[method-assign]
        assert await other.find_key("a") == b"1"
        assert (other.key("a"), await other.find_key("a")) == (None, None)


async def test_only_so_many_are_known_at_a_time(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 1) as (replica,):
        ring: Keyring = replica._keyring
        for n in range(MOST + 1):
            ring._learn(f"k{n}", b"1")
            assert ring.find("k0") == b"1"
        assert (ring.find("k1"), len(ring._known)) == (None, MOST)


# --- one question at a time -------------------------------------------------------------------------------------


async def test_whoever_asks_for_the_same_at_the_same_time_gets_the_same_answer() -> None:
    asked_for: list[list[str]] = []

    async def ask(names: Sequence[str]) -> Sequence[bytes | None]:
        asked_for.append(list(names))
        await asyncio.sleep(0)
        return [name.encode() for name in names]

    lookup = Lookup(ask)
    assert await asyncio.gather(*(lookup.find(name) for name in "aab")) == [b"a", b"a", b"b"]
    assert asked_for == [["a", "b"]]


async def test_who_leaves_does_not_take_the_answer_with_him() -> None:
    async def ask(names: Sequence[str]) -> Sequence[bytes | None]:
        await asyncio.sleep(0.01)
        return [b"x"] * len(names)

    lookup = Lookup(ask)
    leaving = asyncio.create_task(lookup.find("a"))
    staying = asyncio.create_task(lookup.find("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"x"


async def test_when_there_is_no_answer_or_too_many_wait_all_are_told() -> None:
    gate = asyncio.Event()

    async def ask(names: Sequence[str]) -> Sequence[bytes | None]:
        await gate.wait()
        raise ConnectionError("gone")

    lookup = Lookup(ask)
    waiting = [asyncio.create_task(lookup.find(f"n{n}")) for n in range(MOST_WAIT)]
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError):
        await lookup.find("one too many")
    gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {str(answer) for answer in answers} == {"gone"}
