"""Strangers in front and a hostile provider behind: nothing of either gets through to the other.

Read next: ../reliability/test_failures.py, for what each failure of a provider means.
"""

from __future__ import annotations

import json
import resource
from typing import Any

import pytest

from gateway.errors import NOT_VALID
from gateway.keys.form import Pepper
from gateway.testing.faults import Encoded, InBandError, OversizedEvent, Refuse, refusal
from gateway.testing.script import Script
from tests.bad_input.rows import GOOD, JSON, LENGTH
from tests.bad_input.wire import head, send
from tests.gateway import BODY, Running, against

SECRET = "gw_team_" + "s" * 43
DIGEST = Pepper().digest(SECRET)
TEAM = (
    f"keys: [{{id: team, secret_hash: {DIGEST}, models: [a], routes: [mine]}}]\n"
    "routes: [{name: mine, policy: {pool: [a]}}, {name: theirs, policy: {pool: [b]}}]"
)
OURS = "sk-provider-secret"


async def told(gateway: Running) -> bytes:
    """Everything that the gateway says of itself anywhere: log, metrics, records."""
    pages = [(await gateway.http.get(gateway.admin + path)).content for path in ("/metrics", "/admin/decisions")]
    return b"\n".join([*gateway.said, *pages])


# --- in front ---------------------------------------------------------------------------------------------------


WRONG = (
    "Authorization: Bearer wrong",
    "Authorization: Bearer " + "k" * 8000,
    "Authorization: Bearer ' OR 1=1--",
    "Authorization: Bearer é\xff",
    "Authorization: Bearer " + SECRET.upper(),
    "Authorization: Bearer " + SECRET[:-1],
    "Authorization: Bearer " + DIGEST,
    f"Authorization: Bearer gw_other_{'s' * 43}",
    f"Authorization: Bearer gw__{'s' * 43}",
    f"Authorization: Bearer gw_tea_m_{'s' * 43}",
    "Authorization: Bearer team",
    "Authorization: Bearer ",
    "api-key: wrong",
    "x-api-key: wrong",
)


async def test_a_wrong_key_is_refused_in_the_same_words_whatever_is_wrong() -> None:
    async with against(TEAM) as (gateway, provider):
        chats = [await send(gateway.url, head(JSON, LENGTH, line) + GOOD) for line in WRONG]
        models = [await send(gateway.url, head(line, method="GET", path="/v1/models")) for line in WRONG]
        assert {(a.status, a.headers["www-authenticate"], a.body) for a in chats + models} == {
            (401, "Bearer", chats[0].body)
        }
        assert chats[0].error == {
            "message": NOT_VALID,
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
        records = await gateway.settled(len(WRONG))
        assert [(r.caller, r.status) for r in records] == [("anonymous", 401)] * len(WRONG)
        assert not provider.requests


async def test_no_key_is_refused_before_the_body_is_looked_at() -> None:
    async with against(TEAM) as (gateway, _):
        for lines in ([], ["Authorization: Basic YTpi"], [f"Authorization: {SECRET}"], [f"Cookie: key={SECRET}"]):
            answered = await send(gateway.url, head("Content-Length: 1000000000", *lines))
            assert (answered.status, answered.error["code"]) == (401, "missing_api_key")


async def test_a_key_larger_than_a_head_may_be_is_refused_as_such() -> None:
    async with against(TEAM) as (gateway, _):
        answered = await send(gateway.url, head(JSON, LENGTH, "Authorization: Bearer " + "k" * 60_000) + GOOD)
        assert (answered.status, answered.error["code"]) == (431, "headers_too_large")


async def test_a_key_opens_what_it_names_alone() -> None:
    async with against(TEAM) as (gateway, provider):
        came = {}
        for model in ("a", "mine", "b", "theirs", "nobody"):
            response = await gateway.chat({**BODY, "model": model}, authorization=f"Bearer {SECRET}")
            came[model] = response.status_code
        assert came == {"a": 200, "mine": 200, "b": 403, "theirs": 403, "nobody": 404}
        assert len(provider.requests) == 2
        assert SECRET.encode() not in await told(gateway)


async def test_a_users_key_is_nobody_at_the_operators_door() -> None:
    async with against(TEAM + "\nserver: {admin_token: '${ADMIN}'}", ADMIN="the-admin-token") as (gateway, _):
        for path in ("/metrics", "/admin/decisions", "/admin/config"):
            refused = await gateway.http.get(gateway.admin + path, headers={"authorization": f"Bearer {SECRET}"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
            opened = await gateway.http.get(gateway.admin + path, headers={"authorization": "Bearer the-admin-token"})
            assert opened.status_code == 200


async def test_the_key_is_asked_for_on_the_route_that_serves_however_the_address_is_written() -> None:
    async with against(TEAM) as (gateway, provider):
        for path in ("/v1/chat%2Fcompletions", "/v1/chat/completions?x=/healthz", "http://x/v1/chat/completions"):
            for host in ("x", "x:80", "healthz"):
                answered = await send(gateway.url, head(JSON, LENGTH, path=path, host=host) + GOOD)
                assert answered.status == 401, (path, host)
        assert not provider.requests


LADEN = """
authorization:Bearer,theirs cookie:c=1 proxy-authorization:x x-forwarded-for:1.2.3.4 forwarded:for=1.2.3.4 te:trailers
x-real-ip:1.2.3.4 via:x x-gateway-tags:a=b x-request-timeout:9 openai-organization:theirs x-sim-fault:reset
x-portkey-custom-host:http://x api-key:theirs accept-encoding:gzip user-agent:theirs baggage:a=b host-override:x
""".split()


async def test_no_header_of_a_client_reaches_a_provider() -> None:
    async with against() as (gateway, provider):
        plain = await send(gateway.url, head(JSON, LENGTH) + GOOD)
        laden = await send(gateway.url, head(JSON, LENGTH, *LADEN) + GOOD)
        assert (plain.status, laden.status) == (200, 200)
        first, second = provider.requests
        assert second.headers == first.headers
        assert second.headers["authorization"] == f"Bearer {OURS}"


# --- behind -----------------------------------------------------------------------------------------------------

ECHO = f"Incorrect API key provided: {OURS}; see https://x.example/?key={OURS}&a=b"


@pytest.mark.parametrize(("status", "stream"), [(400, False), (401, True), (403, False), (500, True)])
async def test_a_provider_that_echoes_our_key_does_not_tell_it_to_anybody(status: int, stream: bool) -> None:
    async with against() as (gateway, provider):
        provider.script("*", Script(fault=refusal(status, "invalid_request_error", OURS, ECHO, param=OURS)))
        response = await gateway.chat({**BODY, "stream": stream})
        assert response.status_code >= 400
        await gateway.settled(1)
        assert OURS.encode() not in response.content + await told(gateway)
        assert OURS not in str(response.headers) + gateway.story()


async def test_a_key_in_an_error_of_a_stream_is_not_told_either() -> None:
    async with against() as (gateway, provider):
        provider.script("*", Script(fault=InBandError(after=3, message=ECHO, type=OURS, code=OURS)))
        response = await gateway.chat({**BODY, "stream": True})
        await gateway.settled(1)
        assert b'"error"' in response.content
        assert OURS.encode() not in response.content + await told(gateway)


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with against() as (gateway, provider):
        there = ("location", f"{provider.url}/elsewhere/chat/completions")
        provider.script("*", Script(fault=Refuse(status, headers=(there,))))
        response = await gateway.chat()
        assert (response.status_code, "location" in response.headers) == (502, False)
        (record,) = await gateway.settled(1)
        assert {a.failure.kind for a in record.attempts if a.failure} == {"garbage"}
        assert {r.path for r in provider.requests} == {"/v1/chat/completions"}


@pytest.mark.parametrize(("encoding", "stream"), [("gzip", False), ("gzip", True), ("br", False)])
async def test_a_compressed_answer_that_nobody_asked_for_is_not_unpacked(encoding: str, stream: bool) -> None:
    async with against() as (gateway, provider):
        provider.script("*", Script(fault=Encoded(encoding), text="x" * 5_000_000))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        response = await gateway.chat({**BODY, "stream": stream})
        assert response.status_code == 502
        (record,) = await gateway.settled(1)
        assert {a.failure.kind for a in record.attempts if a.failure} == {"garbage"}
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
        assert provider.requests[0].headers.get("accept-encoding", "identity") == "identity"


async def test_an_event_without_end_is_a_failure_and_not_memory() -> None:
    async with against() as (gateway, provider):
        provider.script("*", Script(fault=OversizedEvent(size=32 * 1024 * 1024, after=0)))
        await gateway.chat({**BODY, "stream": True})
        (record,) = await gateway.settled(1)
        assert record.outcome not in ("ok", "fallback_ok")
        assert {a.failure.kind for a in record.attempts if a.failure} == {"garbage"}


INJECTED = 'a\n\ndata: [DONE]\n\nb\rdata: {"error":1}\r\n\r\n: gateway {}\u2028c\u0000'


async def test_content_that_looks_like_events_stays_content() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(text=INJECTED))
        raw = (await gateway.chat({**BODY, "stream": True})).content
        assert (raw.count(b"\ndata: [DONE]"), b"\r" in raw, raw.endswith(b"\n\ndata: [DONE]\n\n")) == (1, False, True)
        events = [block for block in raw.decode().split("\n\n") if block.startswith("data: {")]
        chunks: list[Any] = [json.loads(block.removeprefix("data: ")) for block in events]
        assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks) == INJECTED
        whole = (await gateway.chat()).json()
        assert whole["choices"][0]["message"]["content"] == INJECTED


async def test_no_header_of_a_provider_reaches_a_client() -> None:
    async with against() as (gateway, provider):
        theirs = (("set-cookie", "a=b"), ("x-gateway-cost-usd", "0"), ("location", "http://x"), ("server", "theirs"))
        provider.script("a", Script(headers=theirs))
        for stream in (False, True):
            headers = (await gateway.chat({**BODY, "stream": stream})).headers
            assert not {"set-cookie", "location", "server"} & set(headers)
            assert headers.get("x-gateway-cost-usd") != "0"
