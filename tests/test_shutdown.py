"""How a process ends: after its requests, without them when told twice or out of patience, always with its journal.

Read next: test_command_line.py, how it is started; bench/rolling.py, where replicas end in turn behind a load balancer.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec import Struct

from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from tests.gateway import BODY
from tests.redis_server import RedisServer, redis_server
from tests.test_command_line import Process, running

__all__ = ["redis_server"]


class Stage(Struct, frozen=True, eq=False):
    """A gateway process with a journal, before a provider whose models ``stuck`` and ``slow`` never come to an end.

    A stream of ``steady`` takes two and a half seconds.
    """

    gateway: Process
    provider: SimulatedProvider
    journal: Path

    @property
    def port(self) -> int:
        """The port of the public listener."""
        return int(self.gateway.addresses[0].rpartition(":")[2])

    async def ask(self, model: str, *, stream: bool) -> httpx2.Response:
        """One chat request."""
        url = f"{self.gateway.addresses[0]}/v1/chat/completions"
        return await self.gateway.http.post(url, json={**BODY, "model": model, "stream": stream})

    async def under_way(self, model: str, n: int) -> None:
        """Wait until ``n`` streams of that model have begun."""
        async with asyncio.timeout(20):
            while sum(r.sent > 0 for r in self.provider.asked(model)) < n:
                await asyncio.sleep(0.01)

    def written(self) -> list[tuple[str, str]]:
        """Model and outcome of every line of the journal, in alphabetical order."""
        records = map(json.loads, self.journal.read_bytes().splitlines())
        return sorted((record["model"], record["outcome"]) for record in records)


@asynccontextmanager
async def stage(
    tmp_path: Path, more: str = "", *arguments: str, delay: str = "0s", drain: str = "60s"
) -> AsyncIterator[Stage]:
    async with SimulatedProvider() as provider:
        provider.script("stuck", Script(fault="silence"))
        provider.script("slow", Script(words=100_000, pace=Pace(0, 0.01)))
        provider.script("steady", Script(words=25, pace=Pace(0, 0.1)))
        journal, config = tmp_path / "journal", tmp_path / "gateway.yaml"
        config.write_text(
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true}}}}\n"
            "deployments: {quick: {provider: sim, model: quick}, stuck: {provider: sim, model: stuck},"
            " slow: {provider: sim, model: slow}, steady: {provider: sim, model: steady}}\n"
            f"server: {{port: 0, admin_port: 0, drain_delay: {delay}, drain: {drain}}}\n"
            f"journal: {{path: {journal}}}\n{more}"
        )
        async with running("run", "--config", str(config), *arguments) as gateway:
            for address in gateway.addresses:
                await gateway.up(address)
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


TOLD = {
    "out of patience": ([signal.SIGINT], "60s", "1s"),
    "twice": ([signal.SIGINT, signal.SIGINT], "60s", "60s"),
    "twice, the first in turn": ([signal.SIGTERM, signal.SIGINT], "60s", "60s"),
}


@pytest.mark.parametrize(("signals", "delay", "drain"), TOLD.values(), ids=TOLD)
async def test_requests_that_cannot_be_waited_for_are_told_so_and_recorded(
    tmp_path: Path, signals: list[int], delay: str, drain: str
) -> None:
    async with stage(tmp_path, delay=delay, drain=drain) as on:
        tasks = await asking(on)
        for number in signals:
            on.gateway.process.send_signal(number)
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
        idle = [await asyncio.open_connection("127.0.0.1", on.port) for _ in range(20)]
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


async def test_nobody_is_refused_or_cut_off_while_load_balancers_have_not_noticed(tmp_path: Path) -> None:
    """R19: fifty streams under way and twenty new requests a second, each on a connection of its own."""
    async with stage(tmp_path, delay="1s") as on:
        streams = [asyncio.create_task(on.ask("steady", stream=True)) for _ in range(50)]
        await on.under_way("steady", 50)
        on.gateway.process.send_signal(signal.SIGTERM)
        told_at, asking = time.monotonic(), []
        while time.monotonic() < told_at + 0.8:
            asking.append(asyncio.create_task(alone(on.port)))
            await asyncio.sleep(0.05)
        answers = await asyncio.gather(*asking)
        texts = [stream.text for stream in await asyncio.gather(*streams)]
        async with asyncio.timeout(10):
            assert await on.gateway.process.wait() == 0
    assert Counter(answers) == {(200, b"close"): len(asking)}
    assert [text for text in texts if not text.endswith("data: [DONE]\n\n")] == []
    assert Counter(on.written()) == {("steady", "ok"): 50, ("quick", "ok"): len(asking)}


async def alone(port: int) -> tuple[int, bytes | None]:
    """A request on a connection of its own: the status, and what the answer says of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(posted({**BODY, "model": "quick"}))
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert len(rest) == int(lines[b"content-length"])
    return int(head[9:12]), lines.get(b"connection")


async def answered(port: int) -> bool:
    """Whether anybody serves there. Waits as long as a client would that is let in and then not served."""
    try:
        await alone(port)
    except ConnectionError:
        return False
    return True


def posted(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


async def test_while_it_still_serves_it_says_that_it_is_not_ready_and_lets_connections_move(tmp_path: Path) -> None:
    async with stage(tmp_path, delay="60s") as on:
        public = on.gateway.addresses[0]
        ready = await on.gateway.http.get(f"{public}/readyz")
        assert (ready.status_code, ready.headers.get("connection")) == (200, None)
        waiting = asyncio.create_task(on.ask("steady", stream=False))
        while not on.provider.asked("steady"):
            await asyncio.sleep(0.01)
        on.gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while (answer := await on.gateway.http.get(f"{public}/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
        assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
        assert (await on.gateway.http.get(f"{public}/healthz")).status_code == 200
        served = await waiting
        assert (served.status_code, served.headers["connection"]) == (200, "close"), "its head was not sent yet"
        on.gateway.process.send_signal(signal.SIGINT)  # or this would take a minute
        async with asyncio.timeout(5):
            assert await on.gateway.process.wait() == 0
    assert on.written() == [("steady", "ok")]


async def test_a_person_at_the_keyboard_does_not_wait_for_load_balancers(tmp_path: Path) -> None:
    async with stage(tmp_path, delay="60s") as on:
        stream = asyncio.create_task(on.ask("steady", stream=True))
        await on.under_way("steady", 1)
        on.gateway.process.send_signal(signal.SIGINT)
        assert (await stream).text.endswith("data: [DONE]\n\n")
        async with asyncio.timeout(5):
            assert await on.gateway.process.wait() == 0


async def test_who_has_just_connected_is_still_served(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        new = await asyncio.open_connection("127.0.0.1", on.port)
        half = await asyncio.open_connection("127.0.0.1", on.port)
        request = posted({**BODY, "model": "quick"})
        half[1].write(request[:20])
        await on.gateway.up(on.gateway.addresses[0])  # and so both are taken in
        on.gateway.process.send_signal(signal.SIGTERM)
        while True:
            try:
                _, tried = await asyncio.open_connection("127.0.0.1", on.port)
            except ConnectionError:
                break
            tried.close()
            await asyncio.sleep(0.01)
        new[1].write(request)
        half[1].write(request[20:])
        async with asyncio.timeout(5):
            for reader, writer in (new, half):
                assert (await reader.read()).startswith(b"HTTP/1.1 200")
                writer.close()
            assert await on.gateway.process.wait() == 0


async def test_workers_drain_together_and_then_let_nobody_in(tmp_path: Path, redis_server: RedisServer) -> None:
    async with stage(tmp_path, f"state: {redis_server.url}\n", "--workers", "2", delay="1s") as on:
        streams = [asyncio.create_task(on.ask("steady", stream=True)) for _ in range(10)]
        await on.under_way("steady", 10)
        on.gateway.process.send_signal(signal.SIGTERM)
        told_at, asking = time.monotonic(), []
        while time.monotonic() < told_at + 0.8:
            asking.append(asyncio.create_task(alone(on.port)))
            await asyncio.sleep(0.05)
        assert {status for status, _ in await asyncio.gather(*asking)} == {200}
        async with asyncio.timeout(5):
            while await answered(on.port):
                await asyncio.sleep(0.02)
        assert not any(stream.done() for stream in streams), "the streams are still under way"
        texts = [stream.text for stream in await asyncio.gather(*streams)]
        assert all(text.endswith("data: [DONE]\n\n") for text in texts)
        async with asyncio.timeout(10):
            assert await on.gateway.process.wait() == 0


async def test_a_worker_does_not_outlive_its_parent(tmp_path: Path, redis_server: RedisServer) -> None:
    async with stage(tmp_path, f"state: {redis_server.url}\n", "--workers", "2", delay="60s") as on:
        stream = asyncio.create_task(on.ask("steady", stream=True))
        await on.under_way("steady", 1)
        on.gateway.process.kill()
        assert (await stream).text.endswith("data: [DONE]\n\n")
        async with asyncio.timeout(10):
            assert "server.stopped" in await on.gateway.log(), "the log ends with the last process that writes it"
