"""Providers that a login opens, in traffic: what is sent, what a refused login comes to, and what outlives a reload."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.config.load import load_text
from gateway.errors import Failure
from gateway.health.probe import probe
from gateway.testing.server import SimulatedProvider
from gateway.types import Attempt, Usage, World
from gateway.upstream.http1 import Http1
from gateway.upstream.targets import make_ready
from tests.credentials.cloud import Cloud, cloud
from tests.gateway import BODY, Running, serving
from tests.test_messages_native import Upstream

ENTRA = "POST /contoso/oauth2/v2.0/token"
SECRET = "entra-client-secret"
TOKEN = "eyJ0.the-token"
LOGIN = "{azure_ad: {tenant: contoso, client_id: app, client_secret: ${SECRET}, authority: %s}}"


def configured(login: str, provider: SimulatedProvider, more: str = "") -> World:
    """``a`` is opened by a login, ``b`` by a key."""
    text = f"""
providers:
  cloud: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true, auth: {login}{more}}}
  other: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true, api_key: ${{KEY}}}}
deployments:
  a: {{provider: cloud, model: a}}
  b: {{provider: other, model: b}}
"""
    environ = {"SECRET": SECRET, "KEY": "sk-of-the-other", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": SECRET}
    return load_text(text, {**environ, "AWS_REGION": "eu-west-1"})


@asynccontextmanager
async def opened(more: str = "") -> AsyncIterator[tuple[Running, SimulatedProvider, Cloud]]:
    with cloud() as there:
        there.token(ENTRA, TOKEN)
        async with SimulatedProvider() as provider:
            world = configured(LOGIN % there.url, provider, more)
            async with serving(world, lambda: configured(LOGIN % there.url, provider, more)) as gateway:
                yield gateway, provider, there


def told(gateway: Running) -> str:
    """Everything that anybody is told afterwards."""
    return repr(gateway.records()) + b"".join(gateway.said).decode() + gateway.story() + repr(gateway.app.pipeline.live)


def failures(attempts: tuple[Attempt, ...]) -> list[tuple[str, str | None]]:
    return [(one.deployment, one.failure.kind if one.failure is not None else None) for one in attempts]


async def test_every_request_carries_the_token_that_was_fetched_once() -> None:
    async with opened() as (gateway, provider, there):
        answers = await asyncio.gather(*(gateway.chat({**BODY, "stream": n % 2 == 0}) for n in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert [r.headers["authorization"] for r in provider.asked("a")] == [f"Bearer {TOKEN}"] * 8
        assert len(there.asked) == 1


async def test_a_refused_login_is_a_failure_of_the_account_and_another_serves() -> None:
    async with opened() as (gateway, provider, there):
        there.answers[ENTRA] = (401, {"error": "invalid_client", "error_description": f"not {SECRET}"})
        answers = [await gateway.chat() for _ in range(3)]
        assert [answer.headers["x-gateway-routed-model"] for answer in answers] == ["b", "b", "b"]
        first, *later = await gateway.settled(3)
        assert failures(first.attempts) == [("a", "auth"), ("b", None)]
        assert [failures(record.attempts) for record in later] == [[("b", None)]] * 2, "it is left alone for a while"
        assert first.attempts[0].failure is not None
        assert "answered 401, invalid_client: not …" in first.attempts[0].failure.message
        assert (len(there.asked), provider.asked("a")) == (1, [])
        assert (SECRET in told(gateway), TOKEN in told(gateway)) == (False, False)


async def test_a_login_that_cannot_be_reached_is_no_connection_and_another_serves() -> None:
    async with opened() as (gateway, _, there):
        there.answers[ENTRA] = (503, "busy")
        assert (await gateway.chat()).headers["x-gateway-routed-model"] == "b"
        (record,) = await gateway.settled(1)
        assert failures(record.attempts) == [("a", "connect"), ("a", "connect"), ("b", None)]
        assert len(there.asked) == 1, "what has just failed is not asked again at once"


async def test_a_login_may_not_take_longer_than_the_try() -> None:
    async with opened(", timeouts: {total: 200ms, connect: 100ms, first_byte: 200ms, stall: 100ms}") as (g, _, there):
        there.go.clear()
        began = time.monotonic()
        assert (await g.chat()).headers["x-gateway-routed-model"] == "b"
        assert time.monotonic() - began < 4.0
        there.go.set()
        (record,) = await g.settled(1)
        assert failures(record.attempts)[0] == ("a", "connect")


async def test_a_token_that_the_provider_refuses_is_not_used_again() -> None:
    async with opened() as (gateway, provider, _):
        provider.scripts.keys[TOKEN] = "unauthorized"
        assert (await gateway.chat()).headers["x-gateway-routed-model"] == "b"
        credential = gateway.app.pipeline.live.targets["a"].credential
        assert "nothing at hand" in repr(credential)
        assert TOKEN not in told(gateway)


async def test_a_token_outlives_a_reload() -> None:
    async with opened() as (gateway, provider, there):
        await gateway.chat()
        assert await gateway.app.reload()
        await gateway.chat()
        assert [r.headers["authorization"] for r in provider.asked("a")] == [f"Bearer {TOKEN}"] * 2
        assert len(there.asked) == 1


async def test_a_key_of_aws_in_the_environment_signs_each_request() -> None:
    async with SimulatedProvider() as provider, serving(configured("aws", provider)) as gateway:
        assert (await gateway.chat()).status_code == 200
        (asked,) = provider.asked("a")
        assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
        assert (
            "/eu-west-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
            in (asked.headers["authorization"])
        )
        assert SECRET not in told(gateway)


class Told:
    """A leave that remembers what it was told."""

    key = 0

    def __init__(self) -> None:
        self.failures: list[Failure | None] = []

    def answered(self, headers: object, now: float) -> None: ...

    def content(self, now: float) -> None: ...

    def ended(self, failure: Failure | None, usage: Usage | None, now: float) -> None:
        self.failures.append(failure)

    def left(self, now: float) -> None: ...


async def test_a_probe_carries_the_login_too() -> None:
    with cloud() as there:
        there.token(ENTRA, TOKEN)
        async with SimulatedProvider() as provider:
            world, transport, leave = configured(LOGIN % there.url, provider), Http1(), Told()
            await probe(make_ready(world, {"http1": transport})["a"], leave, time.monotonic)
            (asked,) = provider.requests
            assert (asked.path, asked.headers["authorization"]) == ("/v1/models", f"Bearer {TOKEN}")
            there.answers[ENTRA] = (400, {"error": "unauthorized_client"})
            await probe(make_ready(world, {"http1": transport})["a"], leave, time.monotonic)
            await transport.aclose()
        assert [failure.kind if failure is not None else None for failure in leave.failures] == [None, "auth"]


async def test_tokens_are_counted_by_a_provider_that_a_login_opens() -> None:
    upstream = Upstream()
    with cloud() as there:
        there.token(ENTRA, TOKEN)
        async with await asyncio.start_server(upstream.serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            text = (
                f"providers: {{up: {{kind: azure_anthropic, base_url: '{url}', allow_private: true,"
                f" auth: {LOGIN % there.url}}}}}\n"
                "deployments: {claude: {provider: up, model: claude-x}}\n"
            )
            async with serving(load_text(text, {"SECRET": SECRET})) as gateway:
                asked = {"model": "claude", "messages": [{"role": "user", "content": "Hi"}]}
                answer = await gateway.http.post(f"{gateway.url}/v1/messages/count_tokens", json=asked)
    assert answer.json() == {"input_tokens": 77}
    assert [headers["authorization"] for _, headers, _ in upstream.seen] == [f"Bearer {TOKEN}".lower()]
