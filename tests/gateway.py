"""A whole gateway for tests: the real App on real sockets, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
from msgspec import Struct

from gateway.api.serve import bind
from gateway.app import App
from gateway.config.load import load_text
from gateway.policy.explain import explain
from gateway.telemetry.log import Log
from gateway.testing.server import SimulatedProvider
from gateway.types import Exchange, World

__all__ = ["Running", "against", "serving"]

BODY: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]}


class Running(Struct, frozen=True, eq=False):
    """A gateway that serves. ``said`` holds the lines of its log."""

    app: App
    url: str
    admin: str
    said: list[bytes]
    http: httpx2.AsyncClient

    def sdk(self, key: str = "none", **options: object) -> openai.AsyncOpenAI:
        """An OpenAI client whose base URL is this gateway. It does not retry, so that a test sees each answer."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, **options)  # type: ignore[arg-type]

    async def chat(self, body: object = BODY, **headers: str) -> httpx2.Response:
        """One chat request by hand."""
        return await self.http.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)

    def records(self) -> Sequence[Exchange]:
        """All closed exchanges, oldest first."""
        return self.app.recent(1000, None, None, None)[::-1]

    async def settled(self, n: int) -> Sequence[Exchange]:
        """The records, once there are ``n``: a record is written after the client has its last byte."""
        async with asyncio.timeout(5):
            while len(self.records()) < n:
                await asyncio.sleep(0.005)
        return self.records()

    def story(self) -> str:
        """What the newest record says."""
        return "\n".join(explain(self.records()[-1]))


@asynccontextmanager
async def serving(world: World, load: Callable[[], World] | None = None) -> AsyncIterator[Running]:
    """A gateway with this World, until the block is left."""
    said: list[bytes] = []

    def hear(lines: Sequence[bytes]) -> int:
        said.extend(lines)
        return 0

    log = Log(hear)
    app = App(world, load=load or (lambda: world), log=log)
    public, admin = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
    url, admin_url = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in (public, admin))
    stop = asyncio.Event()
    running = asyncio.create_task(app.run(public, admin, stop))
    # There is nothing to verify: to read all certificates would take longer than most tests.
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        try:
            while not running.done() and not app.listening:
                await asyncio.sleep(0.002)
            yield Running(app, url, admin_url, said, http)
        finally:
            stop.set()
            await running
            log.close()


@asynccontextmanager
async def against(config: str = "", **environ: str) -> AsyncIterator[tuple[Running, SimulatedProvider]]:
    """A gateway before one simulated provider named ``sim``, with deployments ``a`` and ``b`` in that order.

    ``config`` is YAML beside that: routes, keys and so on.
    """
    async with SimulatedProvider() as provider:
        text = (
            "providers:\n"
            f"  sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true, api_key: ${{SIM}}}}\n"
            "deployments:\n"
            "  a: {provider: sim, model: a, price: {input: 1, output: 2}}\n"
            "  b: {provider: sim, model: b, price: {input: 3, output: 4}}\n"
            f"{config}\n"
        )
        variables = {"SIM": "sk-provider-secret", **environ}
        async with serving(load_text(text, variables), lambda: load_text(text, variables)) as gateway:
            yield gateway, provider
