"""A Redis behind Sentinels: when another takes over, everything goes there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.state.over_redis import Redis
from gateway.types import Cooling
from tests.redis_server import RedisServer, Sentinel

Deployed = tuple[RedisServer, RedisServer, Sentinel]


@pytest.fixture(params=["", "p@ss/w:rd"], ids=["open", "with a password"])
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployed]:
    """A main Redis, a replica of it, and a Sentinel that knows both."""
    password: str = request.param
    main = RedisServer("--repl-diskless-sync-delay", "0", password=password)
    spare = RedisServer("--replicaof", f"127.0.0.1 {main.port}", password=password)
    sentinel = Sentinel(tmp_path, main)
    servers = (main, spare, sentinel)
    try:
        for server in servers:
            server.start()
        give_up_at = time.monotonic() + 20
        while not sentinel.sees_replica() or "up" not in str(spare.ask("INFO", "replication")):
            assert time.monotonic() < give_up_at, "the Sentinel found no replica within 20 s"
            time.sleep(0.1)
        yield servers
    finally:
        for server in servers:
            server.kill()


def address(sentinel: Sentinel, password: str) -> str:
    """As an operator writes it; the first Sentinel of the two is not there."""
    login = f":{quote(password, safe='')}@" if password else ""
    return f"redis+sentinel://{login}127.0.0.1:1,127.0.0.1:{sentinel.port}/main/0"


async def written(state: Redis, server: RedisServer, id: str) -> float:
    """Syncs as the gateway does until a record has arrived at a server. How long it took, in seconds."""
    began = time.monotonic()
    state.append(id.encode(), id)
    async with asyncio.timeout(15):
        while not state.health().up or len(state._outbox):
            await state.sync(time.monotonic())
            await asyncio.sleep(0.05)
    entries = await asyncio.to_thread(server.ask, "XREVRANGE", "gw:decisions", "+", "-", "COUNT", "1")
    assert isinstance(entries, list)
    assert entries[0][1][b"records"].split(b"\n")[-1] == id.encode()
    return time.monotonic() - began


@pytest.mark.parametrize("trouble", ["kill", "freeze"])
async def test_after_a_failover_writes_are_back_within_five_seconds_at_the_one_that_took_over(
    deployed: Deployed, trouble: str
) -> None:
    main, spare, sentinel = deployed
    state = Redis(address(sentinel, main.password))
    state.cool("breaker:a", Cooling(time.monotonic() + 60.0, "open"))
    await written(state, main, "before")
    getattr(main, trouble)()
    took = await written(state, spare, "during")
    print(f"writes were back {took:.2f} s after the main Redis was gone ({trouble})")
    assert took < 5
    assert state.cooling(time.monotonic()).keys() == {"breaker:a"}
    assert (await state.recent(9), state.health().dropped) == ([b"during", b"before"], 0)
    if trouble == "freeze":
        main.thaw()
        await written(state, spare, "afterwards")
    await state.aclose()


async def test_sentinels_that_are_gone_or_know_nothing_are_told_as_an_error(tmp_path: Path) -> None:
    state = Redis("redis+sentinel://:hunter2@127.0.0.1:1/main/0")
    await state.sync(0.0)
    said = state.health().error or ""
    assert "No master found for 'main'" in said
    assert "hunter2" not in said
    await state.aclose()
