"""The spine: a real SDK, a real gateway, a real provider process's worth of HTTP, and one record for each request."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterable, Iterator
from typing import Any

import httpx2
import openai
import pytest

from gateway.config.discover import simulated_world_parts
from gateway.config.load import load_text
from gateway.keys.form import mint
from gateway.testing.acts import Act, Send, Wait
from gateway.testing.faults import Fault, Silence
from gateway.testing.prompt import Prompt
from gateway.testing.script import Pace, Script
from tests.gateway import BODY, against, serving


class SilentAfterFinish:
    """The finish reason comes; then neither ``[DONE]`` nor the end of the connection."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in acts:
            yield Wait(math.inf) if isinstance(act, Send) and act.part == "done" else act


async def take(stream: AsyncIterable[Any], into: list[Any]) -> None:
    async for chunk in stream:
        into.append(chunk)  # noqa: PERF401 - what came before an error counts


async def test_an_sdk_gets_an_answer_and_the_headers_say_how() -> None:
    async with against() as (gateway, provider), gateway.sdk() as client:
        provider.script("a", Script(text="Four."))
        raw = await client.chat.completions.with_raw_response.create(**BODY)
        answer = raw.parse()
        assert answer.choices[0].message.content == "Four."
        (record,) = await gateway.settled(1)
        assert record.outcome == "ok"
        assert {k: raw.headers[k] for k in raw.headers if k.startswith("x-")} == {
            "x-request-id": record.id,
            "x-gateway-decision-id": record.id,
            "x-gateway-routed-model": "a",
            "x-gateway-provider": "sim",
            "x-gateway-routing-reason": "default",
            "x-gateway-attempts": "1",
            "x-gateway-cost-usd": f"{(record.cost or 0) / 1e6:.6f}",
            "x-gateway-overhead-ms": f"{record.overhead_s * 1000:.3f}",
        }
        assert answer.usage is not None
        assert record.cost == answer.usage.prompt_tokens + 2 * answer.usage.completion_tokens


async def test_an_sdk_gets_a_stream_with_usage_only_when_it_asks() -> None:
    async with against() as (gateway, provider), gateway.sdk() as client:
        provider.script("a", Script(text="One two three."))
        plain = [c async for c in await client.chat.completions.create(**BODY, stream=True)]
        asked = [
            c
            async for c in await client.chat.completions.create(
                **BODY, stream=True, stream_options={"include_usage": True}
            )
        ]
        for chunks in (plain, asked):
            assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "One two three."
            assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
        assert [c.usage for c in plain] == [None] * len(plain)
        assert asked[-1].usage is not None
        assert all(r.fields["stream_options"] == {"include_usage": True} for r in provider.requests)
        first, second = await gateway.settled(2)
        assert (first.usage, first.cost) == (second.usage, second.cost)


async def test_a_stream_ends_with_the_final_figures_before_done() -> None:
    async with against() as (gateway, _):
        text = (await gateway.chat({**BODY, "stream": True})).text
        (record,) = await gateway.settled(1)
        *_, figures, done, end = text.split("\n\n")
        assert (done, end) == ("data: [DONE]", "")
        assert figures.startswith(f': gateway {{"decision_id":"{record.id}","attempts":1,"cost_usd":"0.0')


async def test_a_failing_deployment_falls_back_and_the_record_tells_it() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault="overloaded"))
        response = await gateway.chat()
        assert response.status_code == 200
        assert response.headers["x-gateway-routing-reason"] == "fallback:overloaded"
        assert (response.headers["x-gateway-attempts"], response.headers["x-gateway-routed-model"]) == ("3", "b")
        (record,) = await gateway.settled(1)
        assert [(a.deployment, a.failure and a.failure.kind) for a in record.attempts] == [
            ("a", "overloaded"),
            ("a", "overloaded"),
            ("b", None),
        ]
        assert record.outcome == "fallback_ok"


async def test_a_stream_that_fails_before_content_falls_back_unseen() -> None:
    async with against() as (gateway, provider), gateway.sdk() as client:
        provider.script("a", Script(fault="in_band_error"))
        stream = await client.chat.completions.create(**BODY, stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.deployment) == ("fallback_ok", "b")


async def test_a_stream_that_is_cut_after_content_is_never_a_success() -> None:
    async with against() as (gateway, provider), gateway.sdk() as client:
        provider.script("a", Script(fault="cut", text="one two three four five six seven eight nine ten"))
        stream = await client.chat.completions.create(**BODY, stream=True)
        seen: list[Any] = []
        with pytest.raises(openai.APIError):
            await take(stream, seen)
        assert seen
        assert not any(c.choices[0].finish_reason for c in seen)
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.error) == ("upstream_error", "truncated")
        assert record.usage
        assert record.usage.estimated


@pytest.mark.parametrize("fault", ["no_done", SilentAfterFinish()])
async def test_a_stream_that_lacks_only_its_done_is_whole(fault: Fault | str) -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault=fault, text="one two three"))
        text = (await gateway.chat({**BODY, "stream": True})).text
        assert text.endswith("data: [DONE]\n\n")
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.total_s < 5) == ("ok", True)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_cancels_the_call_upstream_at_once(stream: bool) -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault=Silence()))
        asking = asyncio.create_task(gateway.chat({**BODY, "stream": stream}))
        while not provider.requests:
            await asyncio.sleep(0.005)
        left = time.monotonic()
        asking.cancel()
        await provider.requests[0].over(within=1.0)
        assert time.monotonic() - left < 0.5
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.status, [a.cancelled for a in record.attempts]) == ("cancelled", 499, [True])


async def test_a_client_that_leaves_in_the_middle_of_a_stream_is_still_billed() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(words=500, pace=Pace(0, 0.01)))
        async with gateway.http.stream(
            "POST", f"{gateway.url}/v1/chat/completions", json={**BODY, "stream": True}
        ) as r:
            async for _ in r.aiter_lines():
                break
        await provider.requests[0].over(within=1.0)
        (record,) = await gateway.settled(1)
        assert record.outcome == "cancelled"
        assert record.usage
        assert record.usage.estimated
        assert record.cost


async def test_the_models_are_listed_with_and_without_v1() -> None:
    async with against("aliases: {gpt-4: b}\nroutes: [{name: r, policy: {pool: [a]}}]") as (gateway, _):
        async with gateway.sdk() as client:
            assert [m.id async for m in await client.models.list()] == ["auto", "r", "a", "b", "gpt-4"]
            assert (await client.models.retrieve("gpt-4")).owned_by == "sim"
        assert (await gateway.http.get(f"{gateway.url}/models/a")).json()["id"] == "a"
        assert (await gateway.http.post(f"{gateway.url}/chat/completions", json=BODY)).status_code == 200


async def test_a_client_names_a_deployment_an_alias_a_route_or_auto() -> None:
    async with against("aliases: {gpt-4: b}\nroutes: [{name: r, policy: {pool: [b, a]}}]") as (gateway, _):
        reasons = {}
        for model in ("a", "gpt-4", "r", "auto"):
            headers = (await gateway.chat({**BODY, "model": model})).headers
            reasons[model] = (headers["x-gateway-routed-model"], headers["x-gateway-routing-reason"])
        assert reasons == {
            "a": ("a", "forced_by_client"),
            "gpt-4": ("b", "forced_by_client"),
            "r": ("b", "rule"),
            "auto": ("b", "default"),
        }


async def test_unknown_members_reach_the_provider_and_its_own_reach_the_client() -> None:
    async with against() as (gateway, provider):
        await gateway.chat({**BODY, "top_k": 7, "vendor": {"deep": [1, None, "é"]}})
        sent = provider.requests[0].fields
        assert (sent["top_k"], sent["vendor"], sent["model"]) == (7, {"deep": [1, None, "é"]}, "a")


async def test_nothing_of_the_clients_headers_reaches_the_provider() -> None:
    async with against() as (gateway, provider):
        await gateway.chat(
            cookie="c=1",
            authorization="Bearer client-secret",
            **{"x-forwarded-for": "1.2.3.4", "x-gateway-tags": "a=b"},
        )
        sent = provider.requests[0].headers
        assert sent["authorization"] == "Bearer sk-provider-secret"
        assert not {"cookie", "x-forwarded-for", "x-gateway-tags"} & set(sent)
        (record,) = await gateway.settled(1)
        assert record.tags == {"a": "b"}


async def test_keys_open_what_they_name_and_nothing_else() -> None:
    key, digest = mint("team")
    keys = f"keys: [{{id: team, secret_hash: {digest}, models: [a], tags: {{team: legal}}}}]"
    async with against(keys) as (gateway, _):
        assert (await gateway.chat()).status_code == 401
        assert (await gateway.chat(authorization="Bearer wrong")).status_code == 401
        assert (await gateway.http.get(f"{gateway.url}/v1/models")).status_code == 401
        right = {"authorization": f"Bearer {key}"}
        assert (await gateway.chat(**right)).status_code == 200
        assert (await gateway.chat({**BODY, "model": "b"}, **right)).json()["error"]["code"] == "model_not_allowed"
        records = await gateway.settled(4)
        assert [(r.caller, r.status) for r in records] == [
            ("anonymous", 401),
            ("anonymous", 401),
            ("team", 200),
            ("team", 403),
        ]
        assert records[2].tags == {"team": "legal"}
        said = b"\n".join(gateway.said) + (await gateway.http.get(f"{gateway.admin}/metrics")).content
        assert key.encode() not in said
        assert digest.encode() not in said
        assert b"sk-provider-secret" not in said


async def test_the_story_of_a_decision_is_told_to_operators() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault="rate_limited"))
        id = (await gateway.chat()).headers["x-gateway-decision-id"]
        told = (await gateway.http.get(f"{gateway.admin}/admin/decisions/{id}")).json()
        assert told["record"]["deployment"] == "b"
        assert any(line.startswith("Try 1 at a") and "rate" in line for line in told["story"])
        plain = await gateway.http.get(f"{gateway.admin}/admin/decisions/{id}", headers={"accept": "text/plain"})
        assert plain.text.splitlines() == told["story"]
        assert (await gateway.chat()).headers["x-gateway-routing-reason"] == "overflow"
        missing = await gateway.http.get(f"{gateway.admin}/admin/decisions/{'0' * 32}")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "decision_not_found")


async def test_the_public_port_has_no_metrics_no_administration_and_no_documentation() -> None:
    async with against() as (gateway, _):
        for path in ("/metrics", "/admin/decisions", "/docs", "/openapi.json", "/redoc", "/"):
            response = await gateway.http.get(gateway.url + path)
            assert (response.status_code, set(response.json()["error"])) == (404, {"message", "type", "param", "code"})
        wrong = await gateway.http.get(f"{gateway.url}/v1/chat/completions")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_answers_of_simulated_models_say_so() -> None:
    async with serving(load_text("discover: true", {}, simulated_world_parts())) as gateway:
        assert (await gateway.chat()).headers["x-gateway-simulated"] == "true"


async def test_a_reload_swaps_the_world_and_requests_in_flight_keep_theirs() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(text="slow", pace=Pace(0.3, 0)))
        before = gateway.app.world.version
        asking = asyncio.create_task(gateway.chat())
        while not provider.requests:
            await asyncio.sleep(0.005)
        other = load_text(
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true}}}}\n"
            "deployments: {c: {provider: sim, model: c}}",
            {},
        )
        gateway.app.swap(other)
        fresh = await gateway.chat()
        assert ((await asking).headers["x-gateway-routed-model"], fresh.headers["x-gateway-routed-model"]) == ("a", "c")
        assert [r.world for r in await gateway.settled(2)] == [other.version, before]


async def test_an_address_where_nobody_listens_is_a_502_that_says_so() -> None:
    config = (
        "providers: {gone: {kind: openai_compatible, base_url: 'http://127.0.0.1:9/v1', allow_private: true}}\n"
        "deployments: {x: {provider: gone, model: x}}"
    )
    async with serving(load_text(config, {})) as gateway:
        response: httpx2.Response = await gateway.chat()
        assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_unreachable")
        assert response.headers["x-should-retry"] == "false"
