"""A gateway, simulated providers, Redis and a real Prometheus, all of them running, and traffic of every kind.

Read next: test_panels.py, which asks what the dashboard asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml
from msgspec import Struct

from gateway.keys.form import mint
from gateway.testing.faults import Cut, refusal
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from tests.redis_server import RedisServer

__all__ = ["Live", "live"]

ROOT = Path(__file__).parents[2]
KEY, HASH = mint("dashboard")
TOKEN = "token-for-the-dashboard"


class Live(Struct, frozen=True):
    """What runs: the client of the gateway, and the one of Prometheus."""

    gateway: httpx2.AsyncClient
    prometheus: httpx2.AsyncClient

    async def ask(self, expr: str) -> list[dict[str, Any]]:
        """What Prometheus answers now: one entry for each series."""
        answer = await self.prometheus.get("/api/v1/query", params={"query": expr})
        found = answer.json()
        assert found["status"] == "success", f"{expr}: {found}"
        result: list[dict[str, Any]] = found["data"]["result"]
        return result


@asynccontextmanager
async def live(folder: Path) -> AsyncIterator[Live]:
    """All of it, with traffic until the end."""
    redis = RedisServer()
    redis.start()
    try:
        async with SimulatedProvider(Script(words=12, pace=Pace(0.005, 0.001))) as provider:
            behave(provider)
            with serving(folder, provider.url, redis.url) as (gateway_url, prometheus_url):
                async with clients(gateway_url, prometheus_url) as running, traffic(running.gateway):
                    yield running
    finally:
        redis.kill()


def behave(provider: SimulatedProvider) -> None:
    """One model fails every other time, one always, one refuses what it is asked, one is slow, one breaks off."""
    well, ill = Script(times=1), Script(fault="overloaded", times=1)
    provider.script("shaky", *[well, ill] * 5000)
    provider.script("doomed", Script(fault="server_error"))
    provider.script("picky", Script(fault=refusal(400, "invalid_request_error", None, "No.")))
    provider.script("frail", *[well, Script(fault=Cut(6), times=1)] * 5000)
    provider.script("slow", Script(pace=Pace(0.01, 0.2)))


def configuration(provider_url: str, redis_url: str, public: int, admin: int) -> dict[str, Any]:
    """Three routes over models of companies that share one simulated provider."""
    provider = {"kind": "openai_compatible", "base_url": provider_url, "allow_private": True}
    names = ("shaky", "steady", "doomed", "picky", "slow", "frail")
    price = {"input": 150.0, "output": 600.0}
    return {
        "providers": {f"{name}-inc": {**provider, "company": name} for name in names},
        "deployments": {
            name: {"provider": f"{name}-inc", "model": name, "price": price, "prefill": name == "steady"}
            for name in names
        },
        "routes": [
            {
                "name": "rescued",
                "when": {"tags": {"ask": "rescued"}},
                "policy": {"pool": ["frail"], "fallback": ["steady"]},
            },
            {"name": "code", "when": {"intent": "code"}, "policy": {"pool": ["steady"]}},
            {"name": "default", "policy": {"pool": ["shaky", "steady"], "retry": {"same_target": 0}}},
        ],
        "keys": [{"id": "dashboard", "secret_hash": HASH}],
        "server": {"port": public, "admin_port": admin, "admin_token": TOKEN, "drain_delay": "0s", "drain": "1s"},
        "state": redis_url,
    }


@contextmanager
def serving(folder: Path, provider_url: str, redis_url: str) -> Iterator[tuple[str, str]]:
    """The gateway and Prometheus as processes; Prometheus with the container's own configuration."""
    public, admin, listen = free_ports(3)
    config = folder / "gateway.yaml"
    # YAML takes JSON, and JSON has no anchors.
    config.write_text(json.dumps(configuration(provider_url, redis_url, public, admin)), encoding="utf-8")
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    scraping = folder / "prometheus.yml"
    scraping.write_text(yaml.safe_dump(scrapes(folder / "token", admin)), encoding="utf-8")
    prometheus = [
        "prometheus",
        f"--config.file={scraping}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{listen}",
        "--log.level=error",
    ]
    with (
        process([sys.executable, "-m", "gateway", "run", "--config", str(config)], folder / "gateway.log"),
        process(prometheus, folder / "prometheus.log"),
    ):
        yield f"http://127.0.0.1:{public}", f"http://127.0.0.1:{listen}"


def scrapes(token: Path, admin: int) -> dict[str, Any]:
    """docker/prometheus.yml, pointed at this gateway and in more of a hurry."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{admin}"]}]
    job["authorization"]["credentials_file"] = str(token)
    return config


@contextmanager
def process(command: list[str], log: Path) -> Iterator[None]:
    """A process that is ended, and whose words are shown when something went wrong."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT) as started:
        try:
            yield
        except BaseException:
            print(f"--- {command[0]} said:", log.read_text(encoding="utf-8", errors="replace")[-3000:], sep="\n")
            raise
        finally:
            started.terminate()
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as open_:
        probes = [open_.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@asynccontextmanager
async def clients(gateway_url: str, prometheus_url: str) -> AsyncIterator[Live]:
    """Clients of both, once both are ready."""
    bearer = {"authorization": f"Bearer {KEY}"}
    async with (
        httpx2.AsyncClient(base_url=gateway_url, headers=bearer, trust_env=False, timeout=10) as gateway,
        httpx2.AsyncClient(base_url=prometheus_url, trust_env=False, timeout=10) as prometheus,
    ):
        await answers(gateway, "/readyz")
        await answers(prometheus, "/-/ready")
        yield Live(gateway, prometheus)


async def answers(client: httpx2.AsyncClient, path: str) -> None:
    """Wait until an address answers 200. Raises TimeoutError after 20 seconds."""
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        with contextlib.suppress(httpx2.TransportError):
            if (await client.get(path)).status_code == 200:
                return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{client.base_url}{path} did not answer 200 within 20 s")


@asynccontextmanager
async def traffic(client: httpx2.AsyncClient) -> AsyncIterator[None]:
    """Requests of every kind, one round after the other, until the end."""

    async def rounds() -> None:
        while True:
            await asyncio.gather(*kinds(client))

    task = asyncio.create_task(rounds())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def kinds(client: httpx2.AsyncClient) -> list[Any]:
    """One round."""
    return [
        ask(client, "auto", "Good morning!", stream=True),
        ask(client, "auto", "Good morning!"),
        ask(client, "auto", "Fix this function:\n```python\ndef f(x):\n    return x +\n```", stream=True),
        ask(client, "steady", "Good morning!", stream=True),
        ask(client, "rescued", "Good morning!", stream=True),
        ask(client, "doomed", "Good morning!"),
        ask(client, "picky", "Good morning!"),
        leave(client, "slow"),
        ask(client, "auto", "Who am I?", headers={"authorization": "Bearer sk-sb-nobody"}),
    ]


async def ask(client: httpx2.AsyncClient, model: str, text: str, *, headers: Any = None, **more: Any) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    answer = await client.post("/v1/chat/completions", json=body, headers=headers)
    return answer.status_code


async def leave(client: httpx2.AsyncClient, model: str) -> None:
    """Ask for a stream and leave after its first bytes."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Take your time."}]}
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        async for _ in answer.aiter_raw():
            break
