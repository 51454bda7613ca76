"""What a simulated model says, and that it is valid in OpenAI's own schema."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.testing.acts import Act, Head, Send, Wait
from gateway.testing.answer import answer
from gateway.testing.openai import render
from gateway.testing.prompt import read
from gateway.testing.script import Pace, Script
from gateway.types import Usage
from tests.testing.asking import body, events, valid

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME = {"type": "function", "function": {"name": "time"}}
SHAPE = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
ASKED: dict[str, dict[str, Any]] = {
    "plain": {},
    "three choices": {"n": 3},
    "short": {"max_tokens": 5},
    "tools": {"tools": [WEATHER, TIME]},
    "json": {"response_format": {"type": "json_object"}},
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SHAPE}}},
}
SCRIPTS = {
    "default": Script(),
    "reasoning": Script(reasoning="First this, then that."),
    "refusal": Script(refusal="I will not do that."),
    "filtered": Script(text="It", finish="content_filter"),
}


def acts(fields: dict[str, Any], script: Script) -> list[Act]:
    prompt = read(msgspec.json.encode(fields))
    return list(render(prompt, script, answer(prompt, script), id="chatcmpl-1", created=1_700_000_000))


def sent(fields: dict[str, Any], script: Script) -> bytes:
    return b"".join(act.data for act in acts(fields, script) if isinstance(act, Send))


def whole(script: Script | None = None, /, **fields: Any) -> Any:
    return json.loads(sent(body(**fields), script or Script()))


def stream(script: Script | None = None, /, **fields: Any) -> list[Any]:
    return events(sent(body(stream=True, **fields), script or Script()).decode())


def assembled(chunks: list[Any], index: int = 0) -> dict[str, Any]:
    """One choice as a client puts it together."""
    made: dict[str, Any] = {"content": "", "reasoning": "", "refusal": "", "arguments": "", "name": "", "finish": []}
    for chunk in chunks[:-1]:
        for choice in chunk["choices"]:
            if choice["index"] == index:
                add(made, choice)
    return made


def add(made: dict[str, Any], choice: Any) -> None:
    delta = choice["delta"]
    made["content"] += delta.get("content") or ""
    made["reasoning"] += delta.get("reasoning_content") or ""
    made["refusal"] += delta.get("refusal") or ""
    for call in delta.get("tool_calls", ()):
        made["name"] += call["function"].get("name", "")
        made["arguments"] += call["function"]["arguments"]
    if choice["finish_reason"]:
        made["finish"].append(choice["finish_reason"])


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("fields", ASKED.values(), ids=ASKED)
def test_every_answer_is_valid_in_openais_schema(fields: dict[str, Any], script: Script) -> None:
    assert valid("CreateChatCompletionResponse", whole(script, **fields))
    chunks = stream(script, stream_options={"include_usage": True}, **fields)
    assert chunks[-1] == "[DONE]"
    assert all(valid("CreateChatCompletionStreamResponse", chunk) for chunk in chunks[:-1])


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("fields", ASKED.values(), ids=ASKED)
def test_a_stream_says_the_same_as_a_whole_answer(fields: dict[str, Any], script: Script) -> None:
    full = whole(script, **fields)
    chunks = stream(script, stream_options={"include_usage": True}, **fields)
    for choice in full["choices"]:
        message = choice["message"]
        function = message.get("tool_calls", [{"function": {"name": "", "arguments": ""}}])[0]["function"]
        assert assembled(chunks, choice["index"]) == {
            "content": message["content"] or "",
            "reasoning": message.get("reasoning_content", ""),
            "refusal": message["refusal"] or "",
            "finish": [choice["finish_reason"]],
            **function,
        }
    assert chunks[-2]["usage"] == full["usage"]
    assert [chunk.get("usage") for chunk in chunks[:-2]] == [None] * (len(chunks) - 2)


def test_the_same_prompt_gets_the_same_words_and_another_prompt_others() -> None:
    def said(text: str) -> str:
        return str(json.loads(sent(body(text), Script()))["choices"][0]["message"]["content"])

    assert said("Why is the sky blue?") == said("Why is the sky blue?") != said("Why is the sea blue?")
    assert 30 <= len(said("Why is the sky blue?").split()) <= 90
    assert said("Why is the sky blue?").startswith("This is a simulated answer to “Why is the sky blue?”")


def test_the_script_decides_the_words_the_usage_and_the_name() -> None:
    script = Script(text="Rayleigh scattering.", usage=Usage(100, 7, cached_input=40), served_model="m-2026")
    assert whole(script) == {
        "id": "chatcmpl-1",
        "created": 1_700_000_000,
        "model": "m-2026",
        "object": "chat.completion",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Rayleigh scattering.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 7,
            "total_tokens": 107,
            "prompt_tokens_details": {"cached_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_usage_is_streamed_only_to_who_asked_and_only_by_who_reports_it() -> None:
    asked = {"stream_options": {"include_usage": True}}
    assert not any("usage" in chunk for chunk in stream()[:-1])
    assert stream(**asked)[-2]["choices"] == []
    assert not any("usage" in chunk for chunk in stream(Script(reports_usage=False), **asked)[:-1])
    assert "usage" not in whole(Script(reports_usage=False))


def test_the_token_limit_ends_an_answer_with_length() -> None:
    choice = whole(Script(text="one two three four"), max_completion_tokens=2)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")
    exact = whole(Script(text="one two"), max_tokens=2)["choices"][0]
    assert (exact["message"]["content"], exact["finish_reason"]) == ("one two", "stop")


def test_the_named_tool_is_called_and_none_once_its_result_is_there() -> None:
    named = whole(tools=[WEATHER, TIME], tool_choice={"type": "function", "function": {"name": "time"}})
    assert named["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "time", "arguments": "{}"}
    assert named["choices"][0]["finish_reason"] == "tool_calls"
    first = whole(tools=[WEATHER, TIME])["choices"][0]["message"]["tool_calls"][0]["function"]
    assert first == {"name": "weather", "arguments": '{"city":"city"}'}
    result = [*body()["messages"], {"role": "tool", "tool_call_id": "x", "content": "rain"}]
    assert whole(tools=[WEATHER], messages=result)["choices"][0]["finish_reason"] == "stop"
    reminded = [*result, {"role": "user", "content": "Be brief."}]
    assert whole(tools=[WEATHER], messages=reminded)["choices"][0]["finish_reason"] == "stop"
    again = [*result, {"role": "assistant", "content": "Rain."}, {"role": "user", "content": "And now?"}]
    assert whole(tools=[WEATHER], messages=again)["choices"][0]["finish_reason"] == "tool_calls"
    assert whole(tools=[WEATHER], tool_choice="none")["choices"][0]["finish_reason"] == "stop"


def test_structured_answers_are_json() -> None:
    shaped = whole(**ASKED["schema"])["choices"][0]["message"]["content"]
    assert json.loads(shaped) == {"total": 1}
    assert set(json.loads(whole(**ASKED["json"])["choices"][0]["message"]["content"])) == {"answer"}


def test_a_prefilled_answer_goes_on_where_the_client_left_off() -> None:
    messages = [*body()["messages"], {"role": "assistant", "content": "one two"}]
    rest = whole(Script(text="one two three"), messages=messages)["choices"][0]["message"]["content"]
    assert rest == " three"


def test_the_pace_is_a_wait_before_the_first_token_and_before_each_other() -> None:
    made = acts(body(stream=True), Script(text="a b c", pace=Pace(first_s=2.0, token_s=0.5)))
    shown = [a.seconds if isinstance(a, Wait) else a.part for a in made if isinstance(a, Wait | Send)]
    assert shown == ["role", 2.0, "content", 0.5, "content", 0.5, "content", "finish", "done"]
    alone = acts(body(), Script(text="a b c", pace=Pace(first_s=2.0, token_s=0.5)))
    assert [alone[0], type(alone[1])] == [Wait(3.5), Head]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "'model'"),
        (b'{"model":"m"}', "'messages'"),
        (b'{"model":"m","messages":["x"]}', "'messages'"),
        (b'{"model":"m","messages":[],"n":"two"}', "'n' is 'two'"),
    ],
)
def test_what_is_no_chat_request_is_said_to_be_none(bad: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(bad)
