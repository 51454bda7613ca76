"""Tokens in traffic: a real gateway, a real server with the issuer's keys, and what anybody is told afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.errors import NOT_VALID
from gateway.keys.form import mint
from gateway.testing.server import SimulatedProvider
from tests.credentials.cloud import Cloud, cloud
from tests.gateway import Running, against
from tests.identity.issuing import by_hand, document, signer

KEY, KEY_HASH = mint("machine")
EMAIL = "ada@example.com"
KEYS = "GET /keys"


def token(one: Any = None, **claims: Any) -> str:
    now = time.time()
    usual = {"iss": "https://login.example/", "exp": now + 600, "iat": now, "sub": "ada-lovelace", "email": EMAIL}
    text: str = (one or signer()).token(**{**usual, **claims})
    return text


def configured(there: Cloud, more: str = "") -> str:
    return f"""
teams: {{support: {{tags: {{team: support}}}}, legal: {{}}}}
keys: [{{id: machine, secret_hash: {KEY_HASH}}}]
identity:
  - name: corp
    issuer: https://login.example/
    audience: signalbox
    jwks: {there.url}/keys
    allow_private: true
    team: groups
    models: [a]
    {more}
"""


@asynccontextmanager
async def running(more: str = "", *, up: bool = True) -> AsyncIterator[tuple[Running, SimulatedProvider, Cloud]]:
    with cloud() as there:
        if up:
            there.answers[KEYS] = (200, document(signer()))
        async with against(configured(there, more)) as (gateway, provider):
            yield gateway, provider, there


async def ask(gateway: Running, credential: str, **body: Any) -> tuple[int, str | None]:
    """The status, and the code of an error."""
    said = {"model": "a", "messages": [{"role": "user", "content": "Hello!"}], **body}
    answer = await gateway.chat(said, authorization=f"Bearer {credential}")
    return answer.status_code, answer.json().get("error", {}).get("code")


async def test_a_token_counts_as_a_key_does_and_both_do_at_once() -> None:
    async with running() as (gateway, _, there):
        asked = [token(), KEY, token(sub="bob"), token(groups=["legal"])]
        assert [await ask(gateway, one) for one in asked] == [(200, None)] * 4
        records = await gateway.settled(4)
        callers = [record.caller.rpartition(":")[0] for record in records]
        assert callers == ["jwt:corp", "", "jwt:corp", "jwt:corp"]
        assert [record.tags.get("team") for record in records] == ["support", None, "support", None]
        assert records[0].caller == records[3].caller != records[2].caller
        assert len(there.asked) == 1


async def test_a_token_may_be_put_where_sdks_put_a_key_and_asks_what_it_may_use() -> None:
    async with running() as (gateway, _, _):
        for name in ("x-api-key", "api-key"):
            assert (await gateway.chat(**{name: token()})).status_code == 200
        async with gateway.sdk(token()) as client:
            listed = await client.models.list()
        assert [model.id for model in listed.data] == ["auto", "default", "a"]
        assert await ask(gateway, token(), model="b") == (403, "model_not_allowed")


async def test_every_wrong_token_has_the_answer_of_a_wrong_key() -> None:
    async with running() as (gateway, _, _):
        wrong = [
            token(exp=time.time() - 31),
            token(aud="another"),
            token(signer("RS256", "stranger")),
            by_hand({"alg": "none"}),
            "a.b.c",
            "x" * 9000 + ".y.z",
            KEY[:-1],
        ]
        answers = [await gateway.chat(authorization=f"Bearer {one}") for one in wrong]
        assert {(answer.status_code, answer.text, answer.headers["www-authenticate"]) for answer in answers} == {
            (
                401,
                f'{{"error":{{"message":"{NOT_VALID}","type":"authentication_error",'
                '"param":null,"code":"invalid_api_key"}}',
                "Bearer",
            )
        }
        scrape = (await gateway.http.get(f"{gateway.admin}/metrics")).text
        counted = [line for line in scrape.splitlines() if line.startswith("gateway_auth_failures_total{")]
        assert sorted(counted) == [
            'gateway_auth_failures_total{reason="invalid_api_key"} 1.0',
            'gateway_auth_failures_total{reason="token_algorithm"} 1.0',
            'gateway_auth_failures_total{reason="token_audience"} 1.0',
            'gateway_auth_failures_total{reason="token_expired"} 1.0',
            'gateway_auth_failures_total{reason="token_garbled"} 2.0',
            'gateway_auth_failures_total{reason="token_key"} 1.0',
        ]
        assert 'gateway_identity_keys{issuer="corp"} 1.0' in scrape


async def test_a_subject_without_a_team_is_told_so() -> None:
    async with running() as (gateway, _, _):
        assert await ask(gateway, token(groups=["guests"])) == (403, "no_team")
    async with running("default_team: legal") as (gateway, _, _):
        assert await ask(gateway, token(groups=["guests"])) == (200, None)


async def test_nobody_is_told_of_a_token_or_of_more_than_the_operator_maps() -> None:
    async with running() as (gateway, provider, _):
        text = token()
        await ask(gateway, text)
        await ask(gateway, token(exp=1))
        records = await gateway.settled(2)
        sent = repr([(asked.headers, asked.body) for asked in provider.requests])
        told = (
            repr(records) + b"".join(gateway.said).decode() + gateway.story() + repr(gateway.app.pipeline.live) + sent
        )
        assert [word for word in (text, text.split(".")[1], "ada-lovelace", EMAIL) if word in told] == []


async def test_the_end_user_is_the_one_of_the_token_whatever_the_request_says(tmp_path: Path) -> None:
    with cloud() as there:
        there.answers[KEYS] = (200, document(signer()))
        config = configured(there, "user: email\n    each_user: {budget: {usd: 1, per: total}}")
        async with against(f"{config}budgets: {{ledger: {tmp_path / 'ledger'}}}\n") as (gateway, _):
            assert await ask(gateway, token(), user="somebody-else") == (200, None)
            assert [a.scope for a in gateway.app.treasury.book.accounts.values()] == [f"user:key/jwt:corp/{EMAIL}"]


async def test_without_the_issuers_keys_it_is_503_and_never_401_and_keys_of_ours_go_on() -> None:
    async with running(up=False) as (gateway, _, there):
        answer = await gateway.chat(authorization=f"Bearer {token()}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "identity_unavailable")
        assert "retry-after" in answer.headers
        assert await ask(gateway, KEY) == (200, None)
        there.answers[KEYS] = (200, document(signer()))
        async with asyncio.timeout(10):
            while await ask(gateway, token()) != (200, None):
                await asyncio.sleep(0.05)
    said = b"".join(gateway.said).decode()
    assert ('"event":"identity.unreachable"' in said, '"event":"identity.keys"' in said) == (True, True)


async def test_keys_are_there_before_the_first_request_and_outlive_a_reload() -> None:
    async with running() as (gateway, _, there):
        async with asyncio.timeout(5):
            while 'event":"identity.keys"' not in b"".join(gateway.said).decode():
                await asyncio.sleep(0.005)
        there.answers.clear()
        assert await ask(gateway, token()) == (200, None)
        assert await gateway.app.reload()
        assert await ask(gateway, token()) == (200, None)
        assert len(there.asked) == 1


async def test_a_rotated_key_is_taken_at_once() -> None:
    async with running() as (gateway, _, there):
        assert await ask(gateway, token()) == (200, None)
        there.answers[KEYS] = (200, document(signer(), signer("ES256", "next")))
        assert await ask(gateway, token(signer("ES256", "next"))) == (200, None)
        assert len(there.asked) == 2


async def test_while_keys_are_fetched_everybody_else_is_served() -> None:
    async with running() as (gateway, _, there):
        await ask(gateway, token())
        there.go.clear()
        waiting = asyncio.create_task(ask(gateway, token(signer("ES256", "next"))))
        while len(there.asked) < 2:
            await asyncio.sleep(0.005)
        assert [await ask(gateway, one) for one in (token(), KEY)] == [(200, None)] * 2
        assert not waiting.done()
        there.go.set()
        assert await waiting == (401, "invalid_api_key")


async def test_where_nobody_is_asked_for_a_key_a_token_is_not_looked_at() -> None:
    with cloud() as there:
        there.answers[KEYS] = (200, document(signer()))
        async with against(configured(there) + "auth: off\n") as (gateway, _):
            assert await ask(gateway, "a.b.c", model="b") == (200, None)


async def test_a_token_is_taken_only_from_its_issuers_networks_and_for_its_operations() -> None:
    async with running("networks: [192.0.2.0/24]") as (gateway, _, _):
        assert await ask(gateway, token()) == (403, "network_not_allowed")
    async with running("networks: [127.0.0.1]\n    operations: [count_tokens]") as (gateway, _, _):
        assert await ask(gateway, token()) == (403, "operation_not_allowed")
