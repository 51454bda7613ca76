"""The command as people type it: a process of its own, its output, its exit status, its signals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest
from msgspec import Struct

from gateway.config.load import load_text
from gateway.errors import Unauthorized
from gateway.keys.bunch import Bunch
from gateway.keys.porter import Porter
from gateway.state.memory import Memory
from gateway.types import Caller
from tests.gateway import BODY
from tests.keys.guest import Guest
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]

ROOT = Path(__file__).parent.parent
SIMULATED = """
providers: {sim: {kind: simulated}}
deployments:
  small: {provider: sim, model: small, price: {input: 0.15, output: 0.6}, quality: {default: 0.7, code: 0.4}}
  large: {provider: sim, model: large, price: {input: 2.5, output: 10}, quality: {default: 0.9}}
intents: {billing: {keywords: [refund, invoice]}}
routes:
  - {name: billing, when: {intent: billing}, policy: {pool: [large]}}
  - {name: default, policy: {strategy: {cost: {floor: 0.5}}, pool: [small, large]}}
server: {port: 0, admin_port: 0, drain_delay: 0s}
"""


def signalbox(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(SIMULATED)
    return path


class Process(Struct, eq=False):
    """A gateway in a process of its own. ``said`` is what it printed when it was about to serve."""

    process: asyncio.subprocess.Process
    said: str
    http: httpx2.AsyncClient

    @property
    def addresses(self) -> list[str]:
        """Those that it printed, in their order, each once."""
        return list(dict.fromkeys(re.findall(r"http://[\d.]+:\d+", self.said)))

    async def log(self) -> str:
        """All that it logged; waits for its end."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def up(self, url: str) -> None:
        """Wait until it answers there."""
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.http.get(f"{url}/healthz")
                except httpx2.TransportError:
                    await asyncio.sleep(0.02)
                else:
                    return


@asynccontextmanager
async def running(*arguments: str, lines: int = 3, **environ: str) -> AsyncIterator[Process]:
    """A ``signalbox`` that serves, ended by SIGTERM. It sees no environment but PATH and ``environ``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", *arguments),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30), httpx2.AsyncClient(trust_env=False, timeout=10) as http:
            said = b"".join([await process.stdout.readline() for _ in range(lines)]).decode()
            started = Process(process, said, http)
            await started.up(started.addresses[0])
            yield started
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await process.communicate()


async def test_it_serves_until_sigterm_and_then_ends_well(config: Path) -> None:
    async with running("run", "--config", str(config)) as gateway:
        public, admin = gateway.addresses
        answer = await gateway.http.post(f"{public}/v1/chat/completions", json=BODY)
        assert (answer.status_code, answer.headers["x-gateway-routed-model"]) == (200, "small")
        scraped = (await gateway.http.get(f"{admin}/metrics")).text
        assert 'gateway_requests_total{model="auto",outcome="ok",route="default",stream="false"} 1.0' in scraped
        gateway.process.send_signal(signal.SIGTERM)
        log = await gateway.log()
        assert await gateway.process.wait() == 0
        (line,) = [json.loads(line) for line in log.splitlines() if '"request"' in line]
        assert (line["outcome"], line["deployment"]) == ("ok", "small")


async def test_requests_in_flight_end_before_the_process_does(config: Path) -> None:
    async with running("run", "--config", str(config)) as gateway:
        asking = asyncio.create_task(
            gateway.http.post(f"{gateway.addresses[0]}/v1/chat/completions", json={**BODY, "stream": True})
        )
        await asyncio.sleep(0.1)
        gateway.process.send_signal(signal.SIGTERM)
        assert (await asking).text.endswith("data: [DONE]\n\n")
        assert await gateway.process.wait() == 0


async def test_a_changed_file_takes_over_and_a_bad_one_does_not(config: Path) -> None:
    async with running("run", "--config", str(config)) as gateway:
        public, admin = gateway.addresses

        async def served() -> str:
            answer = await gateway.http.post(f"{public}/v1/chat/completions", json=BODY)
            return str(answer.headers["x-gateway-routed-model"])

        async def until(version: str, problems: bool) -> dict[str, Any]:
            while True:
                state: dict[str, Any] = (await gateway.http.get(f"{admin}/admin/config")).json()
                if (state["version"] != version or version == "") and bool(state["problems"]) == problems:
                    return state
                await asyncio.sleep(0.05)

        first = (await gateway.http.get(f"{admin}/admin/config")).json()["version"]
        assert await served() == "small"
        config.write_text(SIMULATED.replace("floor: 0.5", "floor: 0.8"))
        gateway.process.send_signal(signal.SIGHUP)
        second = (await until(first, problems=False))["version"]
        assert await served() == "large"
        config.write_text(SIMULATED.replace("pool: [large]", "pool: [larg]"))
        gateway.process.send_signal(signal.SIGHUP)
        state = await until("", problems=True)
        assert state["version"] == second
        assert "did you mean 'large'" in state["problems"][0]
        assert await served() == "large"
        scraped = (await gateway.http.get(f"{admin}/metrics")).text
        assert "gateway_config_last_reload_successful 0.0" in scraped
        config.write_text(SIMULATED)
        await until(second, problems=False)  # seen by watching, without a signal
        assert await served() == "small"


async def test_the_demonstration_serves_simulated_models_when_there_is_nothing_else(tmp_path: Path) -> None:
    config = tmp_path / "minimal.yaml"
    config.write_text(
        (ROOT / "config/minimal.yaml").read_text() + "server: {port: 0, admin_port: 0, drain_delay: 0s}\n"
    )
    async with running("demo", "--config", str(config), lines=5) as gateway:
        assert "using simulated models" in gateway.said
        answer = await gateway.http.post(f"{gateway.addresses[0]}/v1/chat/completions", json=BODY)
        assert answer.headers["x-gateway-simulated"] == "true"


async def test_several_workers_share_one_address_through_redis(config: Path, redis_server: RedisServer) -> None:
    config.write_text(f"state: {redis_server.url}\n{SIMULATED}")
    async with running("run", "--config", str(config), "--workers", "2") as gateway:
        public, *admins = gateway.addresses
        assert len(admins) == 2
        for admin in admins:
            await gateway.up(admin)
        answer = await gateway.http.post(f"{public}/v1/chat/completions", json=BODY)
        id = answer.headers["x-gateway-decision-id"]
        for admin in admins:
            while (await gateway.http.get(f"{admin}/admin/decisions/{id}")).status_code == 404:
                await asyncio.sleep(0.05)


def test_several_workers_without_redis_are_refused_with_the_reason(config: Path) -> None:
    status, _, said = signalbox("run", "--config", str(config), "--workers", "2")
    assert status == 1
    assert "--workers 2 needs `state:` with a Redis address" in said


def test_an_address_that_is_taken_is_named(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(SIMULATED.replace("port: 0, admin", f"port: {port}, admin"))
        status, _, said = signalbox("run", "--config", str(config))
    assert (status, said) == (1, f"cannot listen on 127.0.0.1:{port}: Address already in use\n")


def test_check_says_what_is_wrong_and_where(config: Path) -> None:
    assert signalbox("check", "--config", str(config))[:2] == (0, f"{config}: ok\n")
    config.write_text(SIMULATED.replace("pool: [large]", "pool: [larg]"))
    status, said, _ = signalbox("check", "--config", str(config))
    assert status == 1
    assert said.startswith(f"{config}:8:")
    assert "did you mean 'large'" in said
    assert signalbox("run", "--config", str(config))[0] == 1


def test_explain_tells_where_a_request_would_go_and_why(config: Path) -> None:
    status, said, _ = signalbox("explain", "--config", str(config), "My invoice is wrong")
    assert status == 0
    assert "Its intent is billing (confidence 1.00, by rule)." in said
    assert "Chosen: large, because the request's intent selected the route (billing). Plan: large, large." in said
    body = json.dumps({**BODY, "messages": [{"role": "user", "content": "```py\nx\n```"}]}).encode()
    said = signalbox("explain", "--config", str(config), "--request", "-", stdin=body)[1]
    assert "small: its expected quality 0.4 is below the floor 0.5" in said
    status, said, _ = signalbox("explain", "--config", str(config), "--budget-used", "90%")
    assert (status, said.splitlines()[-1]) == (0, "anonymous has no budget.")
    status, _, said = signalbox("explain", "--config", str(config), "--budget-used", "2")
    assert (status, "'2' is no share of a budget, as 0.9 or 90%" in said) == (2, True)
    status, _, said = signalbox("explain", "--config", str(config), "--model", "nope")
    assert status == 1
    assert "'nope' does not exist here" in said


def test_the_schema_is_one_that_editors_take() -> None:
    status, said, _ = signalbox("schema")
    assert status == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(said))


def test_a_new_key_opens_the_gateway_that_its_snippet_is_pasted_into() -> None:
    status, said, _ = signalbox("keys", "new", "team-a")
    key, snippet = said.split("\n")[0], said[said.index("keys:") :]
    world = load_text(SIMULATED + snippet, {})
    assert status == 0
    porter = Porter(Bunch(Memory()), wall=lambda: 0.0)
    assert porter.known(Guest(key), world) == Caller("team-a")
    with pytest.raises(Unauthorized):
        porter.known(Guest(key[:-1] + ("a" if key[-1] != "a" else "b")), world)
    assert signalbox("keys", "new", "Team A")[0] == 2


def test_who_reads_only_the_first_lines_gets_no_traceback() -> None:
    writer = subprocess.Popen(
        [sys.executable, "-m", "gateway", "schema"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.close()
    assert writer.stderr is not None
    with writer.stderr as said:
        assert (said.read(), writer.wait()) == (b"", 1)


def test_a_term_without_its_equals_sign_takes_nothing_out() -> None:
    status, _, said = signalbox("keys", "set", "bot", "team")
    assert (status, said) == (2, "team: error: write NAME=VALUE (team= for none)\n")
