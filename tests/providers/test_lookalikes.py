"""Shapes of answers that providers document, or write by mistake, in what is nearly OpenAI's protocol.

Read next: test_mutants.py, which makes up more of them than one can think of; repairs.py and mended.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import Failure
from gateway.providers.openai import OpenAI
from gateway.providers.protocol import Answer
from gateway.providers.registry import ROWS
from tests import make
from tests.conformance.answers import faults_in
from tests.providers.streams import ENVELOPE, answer, chunk, deliver, sse

KINDS = sorted(kind for kind, row in ROWS.items() if row.protocol == "openai")
CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
TOKEN = {"token": "a", "logprob": -0.5}


def whole(body: dict[str, Any], kind: str = "openai_compatible") -> dict[str, Any]:
    """A whole answer as it is delivered; it is valid."""
    got = OpenAI(ROWS[kind]).parse(json.dumps(body).encode(), make.call(), make.deployment("m-9"))
    assert isinstance(got, Answer), got
    delivered: dict[str, Any] = json.loads(got.body)
    assert not faults_in([delivered])
    return delivered


def message(said: dict[str, Any], kind: str = "openai_compatible") -> dict[str, Any]:
    found: dict[str, Any] = whole(answer(said), kind)["choices"][0]["message"]
    return found


def deltas(*said: dict[str, Any], kind: str = "openai_compatible") -> list[dict[str, Any]]:
    """The deltas of a stream of these, as they are delivered; they are valid, and the stream is complete."""
    feed = OpenAI(ROWS[kind]).feed(make.call(stream=True, include_usage=True), make.deployment("m-9"))
    delivered = deliver(feed, sse(*(chunk(delta) for delta in said), chunk(finish="stop")))
    assert delivered.done, delivered.failure
    assert not faults_in(delivered.events)
    return [choice["delta"] for event in delivered.events for choice in event["choices"]][:-1]


# --- reasoning --------------------------------------------------------------------------------------------------

#: What a message or delta says, and its text and reasoning.
SUMMARY = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
SIGNED = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm", "signature": "s"}]}
SPELLINGS: list[tuple[dict[str, Any], str | None, str | None]] = [
    # Databricks
    ({"content": [SUMMARY, {"type": "text", "text": "Hi"}]}, "Hi", "Hm"),
    ({"content": [SIGNED]}, None, "Hm"),
    ({"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}, "Hi", None),
    # Mistral
    ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}, None, "Hm"),
    # Heroku
    ({"content": "Hi", "reasoning": {"thinking": "Hm", "signature": "s"}}, "Hi", "Hm"),
    # OpenRouter, Snowflake
    ({"content": "Hi", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]}, "Hi", "Hm"),
    ({"content": "Hi", "reasoning_details": [{"type": "reasoning.summary", "summary": "Hm"}]}, "Hi", "Hm"),
    ({"content": "Hi", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, "Hi", None),
    # Groq, Cerebras, Together, vLLM
    ({"content": "Hi", "reasoning": "Hm"}, "Hi", "Hm"),
    ({"content": "Hi", "reasoning": "Hm", "reasoning_content": "Hm"}, "Hi", "Hm"),
    ({"content": "Hi", "reasoning": None, "reasoning_content": None}, "Hi", None),
    ({"content": {"type": "text", "text": "Hi"}}, "Hi", None),
    ({"content": []}, "", None),
]


@pytest.mark.parametrize(("said", "text", "thought"), SPELLINGS)
@pytest.mark.parametrize("kind", ["openai", "openai_compatible", "openrouter", "groq", "snowflake", "mistral"])
def test_reasoning_is_read_in_every_spelling(
    kind: str, said: dict[str, Any], text: str | None, thought: str | None
) -> None:
    found = message(said, kind)
    assert (found["content"], found.get("reasoning_content")) == (text, thought)
    [delta] = deltas(said, kind=kind)
    assert (delta.get("content"), delta.get("reasoning_content")) == (text, thought)


def test_a_signed_part_is_kept_whole() -> None:
    assert message({"content": [SIGNED, {"type": "text", "text": "Hi"}]})["content_parts"][0] == SIGNED
    assert "content_parts" not in message({"content": [SUMMARY]})


# --- tool calls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [{}, {"id": ""}, {"id": None}, {"id": 7}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_without_an_id_gets_one_of_ours(kind: str, id: dict[str, Any]) -> None:
    found = whole(answer({"content": None, "tool_calls": [{**CALL, **id}, {**CALL, **id}]}, "tool_calls"), kind)
    ids = [call["id"] for call in found["choices"][0]["message"]["tool_calls"]]
    assert ids == [f"call_{make.call().id}0", f"call_{make.call().id}1"]


@pytest.mark.parametrize("id", [{}, {"id": ""}, {"id": None}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_begins_without_an_id_in_a_stream_gets_one_of_ours(kind: str, id: dict[str, Any]) -> None:
    begun = {"index": 0, "type": "function", "function": {"name": "f", "arguments": ""}, **id}
    first, second = deltas(
        {"tool_calls": [begun]}, {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, kind=kind
    )
    assert first["tool_calls"] == [{**begun, "id": f"call_{make.call().id}0"}]
    assert second["tool_calls"] == [{"index": 0, "function": {"arguments": "{}"}}]


def piece(arguments: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def more(arguments: str, **more: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments}, **more}


OURS = f"call_{make.call().id}"
#: Pieces of calls, chunk by chunk, and the ids and arguments of the calls that they are.
PIECES: list[tuple[list[list[dict[str, Any]]], list[tuple[str, str]]]] = [
    ([[piece("{}", index=0, id="a"), piece("[]", index=0, id="b")]], [("a", "{}"), ("b", "[]")]),
    (
        [[piece(index=0, id="a")], [more("{}", index=0)], [piece(index=0, id="b")], [more("[]", index=0)]],
        [("a", "{}"), ("b", "[]")],
    ),
    ([[piece("{", index=0, id="a")], [more("}", index=0, id="a")]], [("a", "{}")]),
    ([[piece("{", index=0, id="a")], [more("}", index=0, id="x")]], [("a", "{}")]),
    ([[piece("{}"), piece("[]")]], [(f"{OURS}0", "{}"), (f"{OURS}1", "[]")]),
    ([[piece("{}", id=""), piece("[]", id="")]], [(f"{OURS}0", "{}"), (f"{OURS}1", "[]")]),
    ([[piece("{", id="a")], [more("}")], [piece("[]", id="b")]], [("a", "{}"), ("b", "[]")]),
    ([[piece("{", index=1.0, id="a")], [more("}", index=1.0)]], [("a", "{}")]),
]


@pytest.mark.parametrize(("chunks", "wanted"), PIECES)
@pytest.mark.parametrize("kind", ["openai", "mistral", "gpustack"])
def test_every_call_of_a_stream_has_a_number_of_its_own(
    kind: str, chunks: list[list[dict[str, Any]]], wanted: list[tuple[str, str]]
) -> None:
    found: dict[int, tuple[str, str]] = {}
    for delta in deltas(*({"tool_calls": pieces} for pieces in chunks), kind=kind):
        for one in delta["tool_calls"]:
            id, arguments = found.get(one["index"], ("", ""))
            found[one["index"]] = (id or one["id"], arguments + one["function"]["arguments"])
    assert list(found.values()) == wanted


def test_a_call_without_a_name_is_no_answer() -> None:
    nameless = {"index": 0, "id": "c", "type": "function", "function": {"arguments": "{}"}}
    feed = OpenAI(ROWS["openai"]).feed(make.call(stream=True), make.deployment("m-9"))
    delivered = deliver(feed, sse(chunk({"tool_calls": [nameless]}), chunk(finish="tool_calls")))
    assert delivered.failure == Failure(kind="garbage", message="a tool was called without its name")


# --- values of another type -------------------------------------------------------------------------------------

#: Members of a whole answer, and what they become.
BODIES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"id": 12}, {"id": "12"}),
    ({"created": 1.5e9}, {"created": 1500000000}),
    ({"created": "2026-01-01"}, {"created": 0}),
    ({"system_fingerprint": 7}, {"native_system_fingerprint": 7}),
    ({"metadata": {"cost": 1}}, {"native_metadata": {"cost": 1}}),
    ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
    ({"service_tier": "burst"}, {"service_tier": None, "native_service_tier": "burst"}),
]


@pytest.mark.parametrize(("said", "wanted"), BODIES)
def test_what_stands_beside_the_choices_has_its_type_or_another_name(
    said: dict[str, Any], wanted: dict[str, Any]
) -> None:
    found = whole({**answer(), **said})
    assert {name: found.get(name) for name in wanted} == wanted
    assert all(name in wanted or name not in found for name in said)


def test_an_error_that_is_null_is_none() -> None:
    assert "error" not in whole({**answer(), "error": None})
    feed = OpenAI(ROWS["openai"]).feed(make.call(stream=True), make.deployment("m-9"))
    delivered = deliver(feed, sse(chunk({"content": "Hi"}, "stop", error=None)))
    assert (delivered.text, "error" in delivered.events[0]) == ("Hi", False)


#: Usage, and what becomes of it.
USAGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"prompt_tokens": 7.0, "completion_tokens": 3.0, "total_tokens": 10.0},
        {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    ),
    (
        {"prompt_tokens": 7, "completion_tokens": None, "total_tokens": None},
        {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7},
    ),
    (
        {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "total_tokens": 10,
            "prompt_tokens_details": {"text_tokens": None},
        },
        {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": {}},
    ),
    (
        {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "completion_tokens_details": "none"},
        {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("said", "wanted"), USAGES)
def test_usage_is_in_whole_numbers(kind: str, said: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert whole({**answer(), "usage": said}, kind)["usage"] == wanted
    feed = OpenAI(ROWS[kind]).feed(make.call(stream=True, include_usage=True), make.deployment("m-9"))
    # Databricks counts in every chunk, and knows the output only in the last.
    begun = chunk({"content": "Hi"}, usage={"prompt_tokens": 1, "completion_tokens": None, "total_tokens": None})
    delivered = deliver(feed, sse(begun, chunk(finish="stop", usage=said)))
    assert delivered.events[-1]["usage"] == wanted
    assert not faults_in(delivered.events)


#: Logprobs, and what becomes of them and of ``native_logprobs``.
LOGPROBS: list[tuple[Any, Any, Any]] = [
    (
        {"content": [{**TOKEN, "top_logprobs": [TOKEN]}]},
        {"content": [{**TOKEN, "bytes": None, "top_logprobs": [{**TOKEN, "bytes": None}]}], "refusal": None},
        None,
    ),
    ({"tokens": ["a"], "token_logprobs": [-0.5]}, None, {"tokens": ["a"], "token_logprobs": [-0.5]}),
    ({"content": None}, None, None),
    ([], None, []),
]


@pytest.mark.parametrize(("said", "wanted", "native"), LOGPROBS)
def test_logprobs_are_openais_or_have_another_name(said: Any, wanted: Any, native: Any) -> None:
    body = answer()
    body["choices"][0]["logprobs"] = said
    choice = whole(body)["choices"][0]
    assert (choice["logprobs"], choice.get("native_logprobs")) == (wanted, native)


def test_citations_have_a_place_and_a_title() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://a.test"}}
    other = {"type": "file_citation", "file": "x"}
    found = message({"annotations": [cited, other]})
    place = {"url": "https://a.test", "title": "https://a.test", "start_index": 0, "end_index": 0}
    assert found["annotations"] == [{"type": "url_citation", "url_citation": place}]
    assert found["native_annotations"] == [other]


@pytest.mark.parametrize("role", ["model", "", "ai", 7])
def test_a_role_that_is_none_is_the_assistants(role: Any) -> None:
    assert message({"role": role})["role"] == "assistant"
    assert deltas({"role": role, "content": "Hi"}) == [{"content": "Hi"}]


# --- how it ends ------------------------------------------------------------------------------------------------

#: Words for the end, and what they become.
FINISHES = {
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "SAFETY": "content_filter",
    "sensitive": "content_filter",
    "abort": "stop",
    "network_error": "stop",
}


@pytest.mark.parametrize(("word", "finish"), FINISHES.items())
def test_the_word_for_the_end_is_openais_and_the_providers_own_is_kept(word: str, finish: str) -> None:
    choice = whole(answer(finish=word))["choices"][0]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish, word)
    feed = OpenAI(ROWS["together"]).feed(make.call(stream=True), make.deployment("m-9"))
    [_, last] = deliver(feed, sse(chunk({"content": "Hi"}), chunk(finish=word))).events
    assert (last["choices"][0]["finish_reason"], last["choices"][0]["native_finish_reason"]) == (finish, word)


ERROR = {"message": "Upstream is busy", "code": 502}


@pytest.mark.parametrize(
    "body",
    [
        {"error": ERROR},
        {**answer(), "error": ERROR},
        {**answer(), "choices": [{**answer()["choices"][0], "error": ERROR}]},
        {**answer(), "choices": [{**answer()["choices"][0], "finish_reason": "error"}]},
    ],
)
def test_an_error_inside_a_good_status_is_a_failure_wherever_it_stands(body: dict[str, Any]) -> None:
    got = OpenAI(ROWS["openrouter"]).parse(json.dumps(body).encode(), make.call(), make.deployment("m-9"))
    assert isinstance(got, Failure)


@pytest.mark.parametrize(
    "event",
    [
        {"error": ERROR},
        {**ENVELOPE, "choices": [], "error": ERROR},
        chunk({"content": ""}, "error", error=ERROR),
        chunk({"content": ""}, "error"),
    ],
)
def test_an_error_inside_a_stream_is_a_failure_after_what_came_before_it(event: dict[str, Any]) -> None:
    feed = OpenAI(ROWS["openrouter"]).feed(make.call(stream=True), make.deployment("m-9"))
    delivered = deliver(feed, sse(chunk({"content": "Hi"}), event))
    assert (delivered.text, delivered.done) == ("Hi", False)
    assert delivered.failure is not None


@pytest.mark.parametrize("kind", KINDS)
def test_blanks_before_the_json_keep_the_connection_and_say_nothing(kind: str) -> None:
    body = b" \n" * 500 + json.dumps(answer()).encode() + b"\n"
    got = OpenAI(ROWS[kind]).parse(body, make.call(), make.deployment("m-9"))
    assert isinstance(got, Answer)
    collect = OpenAI(ROWS[kind]).collect(make.call(), make.deployment("m-9"))
    assert [collect.feed(body[at : at + 100]).failure for at in range(0, len(body), 100)] == [None] * -(
        -len(body) // 100
    )
    assert collect.close().done
