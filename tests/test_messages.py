"""Anthropic's dialect over an OpenAI provider: what the SDK of Anthropic finds at a real gateway, on real sockets.

Read next: dialects/, which hold the translation itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.keys.form import mint
from gateway.testing.faults import Fault
from gateway.testing.script import Pace, Script
from gateway.types import Usage
from tests.gateway import Running, against

if TYPE_CHECKING:
    import anthropic
else:
    anthropic = pytest.importorskip("anthropic")

ASK: dict[str, Any] = {"model": "a", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
TOOL: Any = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
KEY, DIGEST = mint("team")
SPENT = Usage(input=10, output=3, cached_input=4)


def sdk(gateway: Running, key: str = "none", **options: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=gateway.url, api_key=key, max_retries=0, **options)


async def test_a_message_is_what_the_provider_answered() -> None:
    async with against() as (gateway, provider), sdk(gateway) as client:
        provider.script("a", Script(text="Hello there.", reasoning="Hm.", usage=SPENT, served_model="a-1"))
        message = await client.messages.create(**ASK, system="Be brief.", stop_sequences=["END"])
        (record,) = await gateway.settled(1)
    assert message.model_dump(exclude_none=True) == {
        "id": f"msg_{record.id}",
        "type": "message",
        "role": "assistant",
        "model": "a-1",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            {"type": "text", "text": "Hello there."},
        ],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 6,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 3,
        },
    }
    assert message._request_id == record.id
    assert (record.dialect, record.operation, record.outcome, record.usage) == ("anthropic", "chat", "ok", SPENT)
    asked = provider.requests[0].fields
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert asked["max_completion_tokens"] == 50
    assert asked["stop"] == ["END"]


async def test_a_stream_is_put_together_as_the_same_message() -> None:
    async with against() as (gateway, provider), sdk(gateway) as client:
        provider.script("a", Script(text="Hello there.", reasoning="Hm.", usage=SPENT))
        whole = await client.messages.create(**ASK)
        async with client.messages.stream(**ASK) as stream:
            kinds = [event.type async for event in stream]
            streamed = await stream.get_final_message()
        records = await gateway.settled(2)
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    expected = whole.model_dump(exclude={"id"}, exclude_none=True)
    assert streamed.model_dump(exclude={"id"}, exclude_none=True) == expected
    assert [record.stream for record in records] == [False, True]


async def test_the_figures_and_signs_of_life_do_not_disturb_the_sdk() -> None:
    async with against("reliability: {keep_alive: 50ms}\n") as (gateway, provider), sdk(gateway) as client:
        provider.script("a", Script(text="Late.", pace=Pace(first_s=0.2)))
        async with client.messages.stream(**ASK) as stream:
            assert await stream.get_final_text() == "Late."
        raw = await gateway.http.post(f"{gateway.url}/v1/messages?beta=true", json={**ASK, "stream": True})
    assert raw.text.startswith('event: ping\ndata: {"type":"ping"}\n\n')
    assert '\n\n: gateway {"decision_id":' in raw.text
    assert raw.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_and_its_result_goes_back(streamed: bool) -> None:
    async with against() as (gateway, provider), sdk(gateway) as client:
        ask: dict[str, Any] = {**ASK, "tools": [TOOL], "tool_choice": {"type": "any"}}
        if streamed:
            async with client.messages.stream(**ask) as stream:
                message = await stream.get_final_message()
        else:
            message = await client.messages.create(**ask)
        call = message.content[-1]
        assert isinstance(call, anthropic.types.ToolUseBlock)
        assert (message.stop_reason, call.name) == ("tool_use", "look")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "It is there."}
        turns = [*ASK["messages"], {"role": "assistant", "content": message.content}]
        await client.messages.create(**{**ask, "messages": [*turns, {"role": "user", "content": [result]}]})
    first, second = (request.fields for request in provider.requests)
    assert first["tool_choice"] == "required"
    _, called, told = second["messages"]
    assert [one["id"] for one in called["tool_calls"]] == [call.id]
    assert told == {"role": "tool", "tool_call_id": call.id, "content": "It is there."}


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("rate_limited", anthropic.RateLimitError, "rate_limit_error"),
        ("overloaded", anthropic.APIStatusError, "overloaded_error"),
    ],
)
async def test_what_the_provider_fails_with_is_the_right_exception(
    fault: str | Fault, error: type[anthropic.APIStatusError], kind: str
) -> None:
    config = "routes: [{name: r, policy: {pool: [a], retry: {same_target: 0}}}]\n"
    async with against(config) as (gateway, provider), sdk(gateway) as client:
        provider.script("*", Script(fault=fault))
        with pytest.raises(error) as caught:
            await client.messages.create(**{**ASK, "model": "r"})
        (record,) = await gateway.settled(1)
    assert isinstance(caught.value.body, dict)
    assert (caught.value.body["error"]["type"], caught.value.request_id) == (kind, record.id)


async def test_what_the_client_does_wrong_is_the_right_exception() -> None:
    async with against(f"keys: [{{id: team, secret_hash: {DIGEST}}}]\n") as (gateway, _):
        async with sdk(gateway) as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(**ASK)
        async with sdk(gateway, KEY) as client:
            with pytest.raises(anthropic.NotFoundError):
                await client.messages.create(**{**ASK, "model": "nobody"})
            with pytest.raises(anthropic.BadRequestError) as caught:
                await client.messages.create(**{**ASK, "messages": [{"role": "user", "content": [{"type": "text"}]}]})
            assert "messages[0].content[0].text" in caught.value.message
            assert (await client.messages.create(**ASK)).role == "assistant"
        got = await gateway.http.get(f"{gateway.url}/v1/messages")
        assert (got.status_code, got.json()["error"]["type"]) == (405, "invalid_request_error")


async def test_a_stream_that_breaks_off_raises_and_never_ends_well() -> None:
    config = "routes: [{name: r, policy: {pool: [a], rescue: 'off'}}]\n"
    async with against(config) as (gateway, provider), sdk(gateway) as client:
        provider.script("a", Script(words=40, fault="cut"))
        with pytest.raises(anthropic.APIStatusError) as caught:
            async with client.messages.stream(**{**ASK, "model": "r"}) as stream:
                await stream.get_final_message()
        (record,) = await gateway.settled(1)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["request_id"] == record.id
    assert record.outcome == "upstream_error"


async def test_a_header_for_features_that_are_not_released_must_be_names() -> None:
    async with against() as (gateway, _):
        for said, status in (("a-2025-01-01, b-2", 200), ("a b", 400), ("x" * 5000, 400)):
            headers = {"anthropic-beta": said}
            assert (
                await gateway.http.post(f"{gateway.url}/v1/messages", json=ASK, headers=headers)
            ).status_code == status


async def test_a_thread_is_refused_and_the_sdk_sends_the_whole_conversation_instead() -> None:
    @anthropic.beta_async_tool(name="look", description="Looks.", input_schema=TOOL["input_schema"])
    async def look(**_: Any) -> str:
        return "blue"

    async with against() as (gateway, provider), sdk(gateway) as client:
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.beta.messages.create(**ASK, thread={"type": "create"})
        message = await client.beta.messages.tool_runner(**ASK, tools=[look]).until_done()
    error: Any = caught.value.body
    assert error["error"]["details"] == {"error_code": "thread_unsupported_request"}
    assert [block.type for block in message.content] == ["text"]
    roles = [[one["role"] for one in request.fields["messages"]] for request in provider.requests]
    assert roles == [["user"], ["user", "assistant", "tool"]]


async def test_a_header_for_such_features_is_judged_at_once_whatever_is_in_it() -> None:
    async with against() as (gateway, _):
        started = time.perf_counter()
        answer = await gateway.http.post(
            f"{gateway.url}/v1/messages", json=ASK, headers=[(b"anthropic-beta", b"a," * 24 + b"\xff")]
        )
    assert answer.status_code == 400
    assert time.perf_counter() - started < 2


async def test_tokens_are_estimated_where_nobody_counts_them() -> None:
    async with against() as (gateway, provider), sdk(gateway) as client:
        ask: dict[str, Any] = {"model": "a", "messages": ASK["messages"]}
        counted = await client.messages.with_raw_response.count_tokens(**ask, tools=[TOOL], system="Be brief.")
        more = await client.messages.count_tokens(**{**ask, "system": "Be brief." * 100})
        first, second = await gateway.settled(2)
    assert counted.headers["x-gateway-estimated"] == "true"
    assert 20 < (await counted.parse()).input_tokens < 100 < more.input_tokens
    assert (first.operation, second.operation) == ("count_tokens", "count_tokens")
    assert (first.outcome, first.attempts, first.usage, first.cost) == ("ok", (), None, 0)
    assert not provider.requests


async def test_models_are_listed_as_anthropic_lists_them() -> None:
    async with against() as (gateway, _), sdk(gateway) as client:
        listed = await client.models.list()
        one = await client.models.retrieve("a")
        with pytest.raises(anthropic.NotFoundError):
            await client.models.retrieve("nobody")
    assert [model.id for model in listed.data] == ["auto", "default", "a", "b"]
    assert (listed.has_more, listed.first_id, listed.last_id) == (False, "auto", "b")
    assert one.model_dump(mode="json", include={"id", "type", "display_name", "created_at"}) == {
        "id": "a",
        "type": "model",
        "display_name": "a",
        "created_at": "2025-01-01T00:00:00Z",
    }
