"""Limits of callers through a whole gateway: what is told, what is refused, and that nothing stays taken.

Read next: limits/, the limiter by itself.
"""

from __future__ import annotations

import asyncio
import re

import anthropic
import openai
import pytest

from gateway.config.load import load_text
from gateway.keys.form import mint
from gateway.testing.script import Pace, Script
from tests.gateway import BODY, Running, against

KEY, HASH = mint("k")
OTHER, OTHERS = mint("other")
AUTH = {"authorization": f"Bearer {KEY}"}


def keys(limits: str, more: str = "") -> str:
    return (
        f"teams: {{t: {{{more}}}}}\n"
        f"keys: [{{id: k, team: t, secret_hash: {HASH}, limits: {{{limits}}}}}, {{id: other, secret_hash: {OTHERS}}}]\n"
    )


def left(gateway: Running) -> int:
    return gateway.app.limiter._state.places.used


async def free(gateway: Running) -> None:
    """All places are given back: a moment after the client has its last byte."""
    async with asyncio.timeout(5):
        while left(gateway):
            await asyncio.sleep(0.005)


async def test_an_answer_says_how_the_caller_stands_and_that_of_others_does_not() -> None:
    async with against(keys("rpm: 60, tpm: 100000, concurrency: 5")) as (gateway, _):
        answer = await gateway.chat({**BODY, "max_tokens": 10}, **AUTH)
        assert answer.status_code == 200
        head = answer.headers
        assert head["x-ratelimit-limit-requests"] == "60"
        assert head["x-ratelimit-remaining-requests"] == "59"
        assert head["x-ratelimit-reset-requests"] == "1s"
        assert head["x-ratelimit-limit-tokens"] == "100000"
        assert int(head["x-ratelimit-remaining-tokens"]) < 100_000
        assert re.fullmatch(r"\d+ms", head["x-ratelimit-reset-tokens"])
        assert head["ratelimit-policy"] == (
            '"key-requests";q=60;w=60, "key-tokens";q=100000;qu="tokens";w=60, "key-concurrency";q=5;'
            'qu="concurrent-requests"'
        )
        assert head["ratelimit"].startswith('"key-requests";r=59;t=1, "key-tokens";r=')
        other = await gateway.chat(authorization=f"Bearer {OTHER}")
        assert not [name for name in other.headers if "ratelimit" in name]


async def test_a_stream_says_it_in_its_head() -> None:
    async with against(keys("rpm: 60")) as (gateway, _):
        answer = await gateway.chat({**BODY, "stream": True}, **AUTH)
        assert answer.headers["x-ratelimit-remaining-requests"] == "59"
        assert answer.headers["ratelimit"] == '"key-requests";r=59;t=1'


async def test_errors_say_it_too_and_a_bad_request_takes_nothing() -> None:
    async with against(keys("rpm: 60")) as (gateway, _):
        for body in ({"model": "auto"}, {**BODY, "model": "nobody"}, "no body"):
            answer = await gateway.chat(body, **AUTH)
            assert answer.status_code in (400, 404)
            assert answer.headers["x-ratelimit-remaining-requests"] == "60"


async def test_who_asks_too_much_is_told_when_to_come_again() -> None:
    async with against(keys("rpm: 2")) as (gateway, provider):
        for _ in range(2):
            await gateway.chat(**AUTH)
        answer = await gateway.chat(**AUTH)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (429, "rate_limit_error", "rate_limit_exceeded")
        wait_ms = int(answer.headers["retry-after-ms"])
        assert 29_000 < wait_ms <= 30_000
        assert error["message"] == (
            f"The key's limit of 2 requests a minute is reached; try again in {wait_ms / 1000:.3f} s."
        )
        assert answer.headers["retry-after"] == "30"
        assert answer.headers["x-should-retry"] == "true"
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert answer.headers["ratelimit"] == '"key-requests";r=0;t=30'
        assert len(provider.requests) == 2
        assert (await gateway.settled(3))[-1].outcome == "rate_limited"
        metrics = (await gateway.app.scrape()).decode()
        assert 'gateway_limited_total{limit="requests",scope="key"} 1.0' in metrics
        assert 'gateway_redis_awaited_total{reason="budget"} 0.0' in metrics


async def test_an_sdk_raises_its_rate_limit_error_and_anthropics_reads_its_own_headers() -> None:
    async with against(keys("rpm: 1")) as (gateway, _), gateway.sdk(KEY) as client:
        await client.chat.completions.create(**BODY)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(**BODY)
        assert refused.value.code == "rate_limit_exceeded"
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as claude:
            with pytest.raises(anthropic.RateLimitError) as turned_away:
                await claude.messages.create(model="auto", max_tokens=5, messages=[{"role": "user", "content": "Hi"}])
        head = turned_away.value.response.headers
        assert head["anthropic-ratelimit-requests-remaining"] == "0"
        assert "x-ratelimit-limit-requests" not in head


async def test_tokens_are_settled_on_what_was_used() -> None:
    async with against(keys("tpm: 100000")) as (gateway, _):
        await gateway.chat({**BODY, "max_tokens": 90_000}, **AUTH)
        (record,) = await gateway.settled(1)
        assert record.usage is not None
        used = record.usage.input + record.usage.output
        (standing,) = gateway.app.limiter.standing(gateway.app.world.keys["k"].caller)
        assert standing.remaining == pytest.approx(100_000 - used, abs=200)


@pytest.mark.parametrize("how", ["served", "failed", "cut", "left", "refused later"])
async def test_a_place_is_given_back_however_a_request_ends(how: str) -> None:
    async with against(keys("concurrency: 1, tpm: 100000")) as (gateway, provider):
        body = {**BODY, "stream": True}
        if how == "failed":
            provider.script("a", Script(fault="overloaded"))
            provider.script("b", Script(fault="overloaded"))
        elif how == "cut":
            provider.script("a", Script(fault="cut", text="one two three four five six seven eight nine ten"))
            provider.script("b", Script(fault="cut", text="one two three four five six seven eight nine ten"))
        elif how == "left":
            provider.script("a", Script(words=50, pace=Pace(0.05, 0.05)))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await gateway.chat(body, **AUTH)
        elif how == "refused later":
            body = {**BODY, "n": 2, "logprobs": True, "web_search_options": {}, "modalities": ["audio"]}
        if how != "left":
            await gateway.chat(body, **AUTH)
        await gateway.settled(1)
        assert left(gateway) == 0


async def test_as_many_are_served_at_once_as_may_be() -> None:
    async with against(keys("concurrency: 9", "limits: {concurrency: 2}")) as (gateway, provider):
        provider.script("a", Script(words=3, pace=Pace(0.3, 0)))
        answers = await asyncio.gather(*(gateway.chat(**AUTH) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["message"] == (
            "The team's limit of 2 requests at once is reached; try again in 0.500 s."
        )
        assert (refused.headers["retry-after-ms"], refused.headers["x-should-retry"]) == ("500", "true")
        assert refused.headers["ratelimit"] == '"team-concurrency";r=0'
        await free(gateway)
        assert (await gateway.chat(**AUTH)).status_code == 200


async def test_counting_tokens_is_a_request_without_tokens() -> None:
    async with against(keys("rpm: 5, tpm: 1000")) as (gateway, _):
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]}
        answer = await gateway.http.post(f"{gateway.url}/v1/messages/count_tokens", json=body, headers=AUTH)
        assert answer.status_code == 200
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "4"
        assert answer.headers["anthropic-ratelimit-tokens-remaining"] == "1000"


async def test_each_end_user_is_limited_by_itself() -> None:
    async with against(keys("rpm: 100", "each_user: {limits: {rpm: 1}}")) as (gateway, _):
        seen = [(await gateway.chat({**BODY, "user": user}, **AUTH)).status_code for user in ("ada", "bob", "ada")]
        assert seen == [200, 200, 429]


async def test_a_deployment_is_asked_for_no_more_at_once_than_it_allows() -> None:
    async with against() as (gateway, provider):
        text = (
            "providers:\n"
            f"  sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true, api_key: x}}\n"
            "deployments:\n"
            "  a: {provider: sim, model: a, limits: {concurrency: 2}}\n"
            "  b: {provider: sim, model: b}\n"
        )
        gateway.app.swap(load_text(text, {}))
        provider.script("a", Script(words=3, pace=Pace(0.3, 0)))
        answers = await asyncio.gather(*(gateway.chat() for _ in range(5)))
        assert sorted(answer.headers["x-gateway-routed-model"] for answer in answers) == ["a", "a", "b", "b", "b"]
        assert (await gateway.chat()).headers["x-gateway-routed-model"] == "a"
