"""What is handed out when nothing can serve: the last good answer to the same request, where a route keeps any."""

from __future__ import annotations

from typing import Any

from gateway.cache.stale import Stale
from gateway.providers.protocol import Answer
from gateway.testing.script import Script
from tests.gateway import BODY, against

KEEPS = "routes: [{name: r, policy: {pool: [a], degrade: {max_age: 1h}, retry: {attempts: 1}}}]\n"
OTHER: dict[str, Any] = {**BODY, "messages": [{"role": "user", "content": "Something else"}]}


async def test_the_last_answer_to_the_same_request_is_handed_out_and_says_so() -> None:
    async with against(KEEPS) as (gateway, provider):
        good = await gateway.chat()
        assert "x-gateway-degraded" not in good.headers
        provider.script("a", Script(fault="overloaded"))
        stale = await gateway.chat({"messages": BODY["messages"], "model": BODY["model"], "user": "somebody"})
        assert (stale.status_code, stale.content) == (200, good.content)
        assert stale.headers["x-gateway-degraded"] == "stale; age=0"
        assert (await gateway.chat(OTHER)).status_code == 503
        records = await gateway.settled(3)
        assert [(r.outcome, r.status) for r in records] == [("ok", 200), ("degraded", 200), ("upstream_error", 503)]
        assert records[1].error == "upstream_overloaded"


async def test_a_client_that_streams_gets_it_as_a_stream() -> None:
    async with against(KEEPS) as (gateway, provider):
        good = (await gateway.chat()).json()
        provider.script("a", Script(fault="overloaded"))
        asked = {"model": "auto", "messages": BODY["messages"], "stream_options": {"include_usage": True}}
        async with gateway.sdk() as sdk, sdk.chat.completions.stream(**asked) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == good["choices"][0]["message"]["content"]
        assert final.usage is not None
        assert final.usage.total_tokens == good["usage"]["total_tokens"]


async def test_mistakes_of_the_client_are_told_and_routes_that_keep_nothing_hand_out_nothing() -> None:
    async with against(KEEPS) as (gateway, provider):
        await gateway.chat()
        provider.script("a", Script(fault="context"))
        assert (await gateway.chat()).status_code == 400
    async with against("routes: [{name: r, policy: {pool: [a], retry: {attempts: 1}}}]\n") as (gateway, provider):
        await gateway.chat()
        provider.script("a", Script(fault="overloaded"))
        assert (await gateway.chat()).status_code == 503


def test_what_is_too_old_or_too_much_is_forgotten() -> None:
    kept = Stale(most=10)
    answer = Answer(b"12345", None, None, None, 0)
    kept.keep(b"a", answer, 100.0)
    kept.keep(b"b", answer, 101.0)
    assert kept.find(b"a", 60, 110.0) == (10.0, answer)
    kept.keep(b"c", Answer(b"1", None, None, None, 0), 112.0)
    assert kept.find(b"b", 60, 112.0) is None
    assert kept.find(b"a", 5, 112.0) is None
    assert repr(kept) == "1 answers kept, 1 of 10 bytes"
