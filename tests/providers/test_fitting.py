"""A canonical request as each provider of OpenAI's protocol takes it. Read next: test_mistral.py."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from gateway.providers.efforts import EFFORTS
from gateway.providers.registry import protocol_of
from gateway.providers.rows import ROWS
from gateway.types import Account
from tests.make import call, deployment

USER = {"role": "user", "content": "x"}
CACHE = {"type": "ephemeral"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
#: A turn as it comes back from a client that keeps all that we said.
TURN: dict[str, Any] = {
    "role": "assistant",
    "content": "so",
    "reasoning_content": "hm",
    "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
    "extra_content": {"anthropic": {"content": []}},
    "annotations": [],
    "refusal": None,
    "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "t"}}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "done", "is_error": True}


def rendered(kind: str, fields: dict[str, Any], **more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a provider of this kind is sent, but for the model, and what it is not told."""
    version = more.pop("api_version", None)
    account = Account(name=kind, kind=kind, base_url="https://x.example/v1", api_version=version)
    given = json.dumps(fields)
    made = protocol_of(kind).render(call(fields=fields), deployment("m", account=account, **more))
    assert json.dumps(fields) == given, "what the client asked was changed for the tries to come"
    body = json.loads(made.body)
    assert body.pop("model") == "m"
    return body, made.dropped


def asks(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages or (USER,)), **more}


# --- what came back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("openai", {"annotations": []}),
        ("azure_openai", {}),
        ("groq", {"reasoning": "hm"}),
        ("deepseek", {"reasoning_content": "hm"}),
        ("moonshot", {"reasoning_content": "hm"}),
        ("zai", {"reasoning_content": "hm"}),
        ("vllm", {"reasoning_content": "hm"}),
        ("openrouter", {"reasoning": "hm", "annotations": []}),
        (
            "openai_compatible",
            {"reasoning_content": "hm", "thinking_blocks": TURN["thinking_blocks"], "annotations": []},
        ),
    ],
)
def test_what_we_said_comes_back_only_to_who_understands_it_and_nobody_is_told(
    kind: str, members: dict[str, Any]
) -> None:
    body, dropped = rendered(kind, asks(USER, TURN))
    # Google's models stand behind unknown addresses too: a signature goes there, a turn in other words nowhere.
    calls = TURN["tool_calls"] if kind == "openai_compatible" else [CALL]
    assert body["messages"] == [USER, {"role": "assistant", "content": "so", "tool_calls": calls, **members}]
    assert dropped == ()


@pytest.mark.parametrize("kind", ["openai", "groq", "openai_compatible"])
def test_what_openais_sdk_has_written_into_a_message_stays_here(kind: str) -> None:
    function: dict[str, Any] = {"name": "f", "arguments": "{}", "parsed_arguments": {}}
    for odd in ({**CALL, "index": 0}, {**CALL, "function": function}, {**CALL, "function": function, "index": 0}):
        for parsed in ({}, {"parsed": {"a": 1}}):
            turn = {"role": "assistant", "content": "so", "tool_calls": [odd], **parsed}
            body, dropped = rendered(kind, asks(USER, turn))
            assert body["messages"] == [USER, {"role": "assistant", "content": "so", "tool_calls": [CALL]}]
            assert dropped == ()


def test_the_other_spelling_of_thinking_is_read_too() -> None:
    turn = {"role": "assistant", "content": "so", "reasoning": "hm"}
    assert rendered("deepseek", asks(USER, turn))[0]["messages"][1]["reasoning_content"] == "hm"
    assert rendered("openai", asks(USER, turn))[0]["messages"][1] == {"role": "assistant", "content": "so"}


@pytest.mark.parametrize("kind", ["deepseek", "moonshot"])
def test_where_thinking_is_due_with_calls_a_turn_of_another_model_has_some(kind: str) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    said = {"role": "assistant", "content": "hello", "name": "me"}
    turns = (USER, called, {"role": "tool", "tool_call_id": "c1", "content": "ok"}, said)
    body, _ = rendered(kind, asks(*turns, thinking={"type": "enabled"}))
    assert body["messages"][1] == {**called, "reasoning_content": " "}
    assert body["messages"][3] == said
    assert rendered(kind, asks(*turns))[0]["messages"][1] == called, "it does not think"


# --- what was wished for ----------------------------------------------------------------------------------------


def cached() -> dict[str, Any]:
    part = {"type": "text", "text": "x", "cache_control": CACHE}
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": CACHE}
    return asks({"role": "user", "content": [part]}, TURN, RESULT, tools=[tool], top_k=5)


def test_hints_for_caches_and_marks_of_errors_are_named_where_they_are_not_understood() -> None:
    body, dropped = rendered("openai", cached())
    assert body == {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {"role": "assistant", "content": "so", "tool_calls": [CALL], "annotations": []},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    assert dropped == ("cache_control", "is_error", "top_k")


def test_hints_for_caches_reach_those_who_understand_them() -> None:
    body, dropped = rendered("openrouter", cached())
    assert body["messages"][0] == cached()["messages"][0]
    assert (body["tools"], body["top_k"], dropped) == (cached()["tools"], 5, ("is_error",))


def test_members_that_nobody_knows_are_between_the_client_and_the_provider() -> None:
    fields = asks({**USER, "weird": 1}, odd={"a": 1}, response_format={"type": "json_schema", "strict": True})
    assert rendered("openai", fields) == (fields, ())


def test_the_developer_is_the_system_but_at_those_who_know_the_role() -> None:
    fields = asks({"role": "developer", "content": "be brief"}, USER)
    roles = {
        kind: rendered(kind, fields)[0]["messages"][0]["role"] for kind in ("openai", "azure_openai", "groq", "vllm")
    }
    assert roles == {"openai": "developer", "azure_openai": "developer", "groq": "system", "vllm": "system"}


def test_pictures_in_results_follow_all_of_the_results_as_the_users() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    calls = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]}
    one = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a shot"}, picture]}
    two = {"role": "tool", "tool_call_id": "c2", "content": [picture]}
    fields = asks(USER, calls, one, two, {"role": "user", "content": "and?"})
    assert rendered("openai", fields)[0]["messages"][2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a shot"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "It follows."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "The result of c1:"},
                picture,
                {"type": "text", "text": "The result of c2:"},
                picture,
            ],
        },
        {"role": "user", "content": "and?"},
    ]
    assert rendered("openrouter", fields)[0]["messages"] == fields["messages"]


def test_a_document_of_plain_text_is_a_text() -> None:
    data = "data:text/plain;base64," + b64encode("schön".encode()).decode()
    part = {"type": "file", "file": {"file_data": data, "filename": "a.txt"}}
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}}
    broken = {"type": "file", "file": {"file_data": "data:text/plain;base64,?"}}
    body, _ = rendered("openai", asks({"role": "user", "content": [part, pdf, broken]}))
    assert body["messages"][0]["content"] == [{"type": "text", "text": "schön"}, pdf, broken]


# --- how hard to think ------------------------------------------------------------------------------------------

ENABLED = {"type": "enabled", "budget_tokens": 8000}
DISABLED = {"type": "disabled"}
ADAPTIVE = {"type": "adaptive"}


@pytest.mark.parametrize(
    ("kind", "thinking", "asked", "told", "dropped"),
    [
        ("openai", "level", {"reasoning_effort": "xhigh"}, {"reasoning_effort": "xhigh"}, ()),
        ("openai", "level", {"thinking": ENABLED}, {"reasoning_effort": "medium"}, ()),
        ("openai", "level", {"thinking": ADAPTIVE}, {}, ()),
        ("openai", "level", {"thinking": DISABLED}, {}, ("thinking",)),
        ("openai", "none", {"reasoning_effort": "high"}, {}, ("reasoning_effort",)),
        ("openai", "none", {"reasoning_effort": "none"}, {}, ()),
        ("openai", "none", {"thinking": ENABLED}, {}, ("thinking",)),
        ("openai", "none", {"thinking": DISABLED}, {}, ()),
        ("openai", None, {"reasoning_effort": "high"}, {"reasoning_effort": "high"}, ()),
        ("openai", None, {"reasoning_effort": None}, {}, ()),
        ("groq", "level", {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}, ()),
        ("groq", "level", {"reasoning_effort": "max"}, {"reasoning_effort": "high"}, ()),
        ("groq", None, {"reasoning_effort": "high"}, {"reasoning_effort": "default"}, ()),
        ("groq", None, {"thinking": DISABLED}, {"reasoning_effort": "none"}, ()),
        ("xai", "level", {"thinking": DISABLED}, {"reasoning_effort": "none"}, ()),
        ("xai", "none", {"reasoning_effort": "low"}, {}, ("reasoning_effort",)),
        ("mistral", "level", {"reasoning_effort": "medium"}, {"reasoning_effort": "high"}, ()),
        ("mistral", "level", {"reasoning_effort": "minimal"}, {"reasoning_effort": "none"}, ()),
        ("deepseek", None, {"reasoning_effort": "none"}, {"thinking": DISABLED}, ()),
        (
            "deepseek",
            None,
            {"reasoning_effort": "max"},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
            (),
        ),
        ("deepseek", None, {"thinking": ENABLED}, {"thinking": {"type": "enabled"}, "reasoning_effort": "medium"}, ()),
        (
            "zai",
            None,
            {"thinking": {"type": "enabled", "clear_thinking": False}},
            {"thinking": {"type": "enabled", "clear_thinking": False}},
            (),
        ),
        ("zai", None, {"reasoning_effort": "low"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, ()),
        ("moonshot", None, {"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}}, ()),
        ("moonshot", None, {"reasoning_effort": "none"}, {"thinking": DISABLED}, ()),
        ("alibaba", None, {"thinking": ENABLED}, {"enable_thinking": True, "thinking_budget": 8000}, ()),
        ("alibaba", None, {"reasoning_effort": "none"}, {"enable_thinking": False}, ()),
        ("openrouter", None, {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}, ()),
        ("openrouter", None, {"thinking": ENABLED}, {"reasoning": {"max_tokens": 8000}}, ()),
        ("openrouter", None, {"thinking": ADAPTIVE}, {"reasoning": {"enabled": True}}, ()),
        ("vercel", None, {"thinking": DISABLED}, {"reasoning": {"effort": "none"}}, ()),
        ("openai_compatible", None, {"thinking": ENABLED}, {"thinking": ENABLED}, ()),
        ("openai_compatible", "none", {"reasoning_effort": "low"}, {}, ("reasoning_effort",)),
    ],
)
def test_how_hard_to_think_is_told_in_each_providers_words(
    kind: str, thinking: Any, asked: dict[str, Any], told: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    body, lost = rendered(kind, asks(**asked), thinking=thinking)
    del body["messages"]
    assert (body, lost) == (told, dropped)


def test_every_word_of_every_row_is_one_of_openais() -> None:
    assert {word for row in ROWS.values() for word in row.efforts} <= set(EFFORTS)


# --- limits and sampling ----------------------------------------------------------------------------------------


def test_openais_reasoning_models_count_their_thinking_and_take_no_sampling() -> None:
    fields = asks(max_tokens=9, temperature=0.2, top_p=1, presence_penalty=1)
    for kind in ("openai", "azure_openai"):
        body, dropped = rendered(kind, fields, thinking="level")
        assert body == asks(max_completion_tokens=9, top_p=1)
        assert dropped == ("temperature", "presence_penalty")
        assert rendered(kind, fields, thinking="none") == (fields, ())
        assert rendered(kind, fields) == (fields, ())


def test_a_reasoning_model_that_is_told_not_to_think_takes_sampling() -> None:
    body, dropped = rendered("openai", asks(reasoning_effort="none", temperature=0.2), thinking="level")
    assert (body["temperature"], dropped) == (0.2, ())


def test_older_names_of_limits_are_used_where_only_those_are_known() -> None:
    for kind in ("mistral", "deepseek", "perplexity", "together", "ollama"):
        assert rendered(kind, asks(max_completion_tokens=9))[0]["max_tokens"] == 9
    for kind in ("openai", "groq", "xai", "openrouter"):
        assert rendered(kind, asks(max_completion_tokens=9))[0]["max_completion_tokens"] == 9


def test_models_of_xai_that_think_take_no_penalties() -> None:
    fields = asks(presence_penalty=1.0, frequency_penalty=0.0)
    assert rendered("xai", fields, reasoning=True) == (asks(), ("presence_penalty",))
    assert rendered("xai", fields) == (fields, ())


# --- Azure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "limit", "options"),
    [
        ("2023-07-01-preview", "max_tokens", False),
        ("2024-06-01", "max_tokens", False),
        ("2024-09-01-preview", "max_completion_tokens", True),
        ("2024-10-21", "max_completion_tokens", True),
        ("2025-04-01-preview", "max_completion_tokens", True),
        ("preview", "max_completion_tokens", True),
        (None, "max_completion_tokens", True),
    ],
)
def test_azures_older_versions_are_told_what_they_know(version: str | None, limit: str, options: bool) -> None:
    body, dropped = rendered(
        "azure_openai", asks(max_completion_tokens=9, stream=True), thinking="level", api_version=version
    )
    assert (limit in body, "stream_options" in body, dropped) == (True, options, ())
    assert body[limit] == 9


def test_a_request_without_any_of_this_is_sent_as_it_came() -> None:
    fields = asks({"role": "system", "content": "s"}, USER, temperature=0.1, tools=[{"type": "function"}])
    assert rendered("openai", fields) == (fields, ())
