"""A Redis that evicts what it holds is refused at start, and not used when it turns out to evict later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway import against
from tests.redis_server import RedisServer
from tests.test_command_line import SIMULATED, signalbox

SAID = "Redis evicts what it holds when it is full (maxmemory-policy allkeys-lru)"


@pytest.fixture
def evicting() -> Iterator[RedisServer]:
    server = RedisServer("--maxmemory-policy", "allkeys-lru")
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_gateway_does_not_start_with_a_redis_that_evicts(evicting: RedisServer, tmp_path: Path, workers: str) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(f"{SIMULATED}state: {evicting.url}\n")
    status, said, why = signalbox("run", "--config", str(config), "--workers", workers)
    assert (status, said) == (1, "")
    assert why.startswith(f"{config}: error: state: {SAID}")
    assert "CONFIG SET maxmemory-policy noeviction" in why


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.02)


async def test_a_redis_that_turns_out_to_evict_is_not_used_until_it_does_not(redis_server: RedisServer) -> None:
    redis_server.kill()
    async with against(f"state: {redis_server.url}") as (gateway, _):
        assert (await gateway.chat()).status_code == 200
        await asyncio.to_thread(redis_server.start)
        redis_server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        await until(lambda: "volatile-ttl" in (gateway.app.state().error or ""))
        assert (await gateway.chat()).status_code == 200
        await asyncio.sleep(0.3)
        assert (gateway.app.state().up, redis_server.ask("DBSIZE")) == (False, 0)
        metrics = (await gateway.http.get(f"{gateway.admin}/metrics")).text
        assert "gateway_redis_up 0.0" in metrics

        redis_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await until(lambda: gateway.app.state().up)
        await until(lambda: redis_server.ask("GET", "gw:decisions:count") == b"2")
        await until(lambda: any(b'"event":"state.back"' in line for line in gateway.said))
        assert any(b'"level":"error","event":"state.lost"' in line for line in gateway.said)


async def test_a_redis_that_begins_to_evict_under_way_is_given_up(redis_server: RedisServer) -> None:
    async with against(f"state: {redis_server.url}") as (gateway, _):
        await until(lambda: gateway.app.state().up)
        redis_server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await until(lambda: SAID in (gateway.app.state().error or ""))
        await until(lambda: any(SAID.encode() in line for line in gateway.said))
