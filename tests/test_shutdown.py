"""How a process ends: after its requests, without them when told twice or out of patience, always with its journal."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from msgspec import Struct

from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from tests.gateway import BODY
from tests.test_command_line import Process, running


class Stage(Struct, frozen=True, eq=False):
    """A gateway process with a journal, before a provider whose models ``stuck`` and ``slow`` never come to an end."""

    gateway: Process
    provider: SimulatedProvider
    journal: Path

    async def ask(self, model: str, *, stream: bool) -> httpx2.Response:
        """One chat request."""
        url = f"{self.gateway.addresses[0]}/v1/chat/completions"
        return await self.gateway.http.post(url, json={**BODY, "model": model, "stream": stream})

    def written(self) -> list[tuple[str, str]]:
        """Model and outcome of every line of the journal, in alphabetical order."""
        records = map(json.loads, self.journal.read_bytes().splitlines())
        return sorted((record["model"], record["outcome"]) for record in records)


@asynccontextmanager
async def stage(tmp_path: Path, more: str = "", drain: str = "60s") -> AsyncIterator[Stage]:
    async with SimulatedProvider() as provider:
        provider.script("stuck", Script(fault="silence"))
        provider.script("slow", Script(words=100_000, pace=Pace(0, 0.01)))
        journal, config = tmp_path / "journal", tmp_path / "gateway.yaml"
        config.write_text(
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true}}}}\n"
            "deployments: {quick: {provider: sim, model: quick}, stuck: {provider: sim, model: stuck},"
            " slow: {provider: sim, model: slow}}\n"
            f"server: {{port: 0, admin_port: 0, drain: {drain}}}\n"
            f"journal: {{path: {journal}}}\n{more}"
        )
        async with running("run", "--config", str(config)) as gateway:
            yield Stage(gateway, provider, journal)


async def asking(on: Stage) -> list[asyncio.Task[httpx2.Response]]:
    """A request that was answered, and three that are under way: two without a byte of an answer, one in its stream."""
    assert (await on.ask("quick", stream=False)).status_code == 200
    ways = (("stuck", False), ("stuck", True), ("slow", True))
    tasks = [asyncio.create_task(on.ask(model, stream=stream)) for model, stream in ways]
    async with asyncio.timeout(10):
        while on.provider.count < 4 or not any(r.model == "slow" and r.sent for r in on.provider.requests):
            await asyncio.sleep(0.01)
    return tasks


ALL = [("quick", "ok"), ("slow", "cancelled"), ("stuck", "cancelled"), ("stuck", "cancelled")]


@pytest.mark.parametrize("signals", [1, 2])
async def test_requests_that_cannot_be_waited_for_are_told_so_and_recorded(tmp_path: Path, signals: int) -> None:
    async with stage(tmp_path, drain="1s" if signals == 1 else "60s") as on:
        tasks = await asking(on)
        for _ in range(signals):
            on.gateway.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.3)
        async with asyncio.timeout(10):
            json_stuck, stream_stuck, slow = await asyncio.gather(*tasks)
            log = await on.gateway.log()
            assert await on.gateway.process.wait() == 0
    for refused in (json_stuck, stream_stuck):
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
    assert slow.text.endswith("\n\n")
    assert json.loads(slow.text.split("\n\n")[-2].removeprefix("data: "))["error"]["code"] == "shutting_down"
    assert on.written() == ALL
    assert "Traceback" not in log


async def test_idle_connections_do_not_hold_the_end_up(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        port = int(on.gateway.addresses[0].rpartition(":")[2])
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        assert (await on.ask("quick", stream=False)).status_code == 200
        on.gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await on.gateway.process.wait() == 0
        for reader, writer in idle:
            assert await reader.read() == b""
            writer.close()
    assert on.written() == [("quick", "ok")]


async def test_a_configuration_that_discovers_is_read_again_on_a_signal(tmp_path: Path) -> None:
    async with stage(tmp_path, "discover: true\n") as on:
        admin = on.gateway.addresses[1]
        config = tmp_path / "gateway.yaml"
        config.write_text(config.read_text().replace("quick:", "other:"))
        on.gateway.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while "other" not in (await on.gateway.http.get(f"{admin}/admin/config")).json()["deployments"]:
                await asyncio.sleep(0.02)
        on.gateway.process.send_signal(signal.SIGTERM)
        assert "Traceback" not in await on.gateway.log()
