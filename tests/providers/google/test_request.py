"""Canonical requests in generateContent's words. Read next: test_reading.py."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import CannotSay
from tests.providers.google.saying import body, contents, rendered

PNG = "data:image/png;base64,iVBORw0K"
USER = {"role": "user", "content": "Hi"}


def call(id: str, name: str, arguments: str = "{}", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def assistant(*calls: dict[str, Any], content: str | None = None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **more}


def tool(id: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content, **more}


def function(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


# --- the whole --------------------------------------------------------------------------------------------------


def test_a_whole_request() -> None:
    fields = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}, USER],
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["END", ""],
        "seed": 7,
        "tools": [
            function(description="Does.", parameters={"type": "object", "properties": {"a": {"type": "string"}}})
        ],
        "tool_choice": "required",
        "user": "u",
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "cachedContent": "cachedContents/x",
    }
    got = rendered(fields)
    assert got.dropped == ("metadata", "parallel_tool_calls", "user")
    assert body(fields) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "f",
                        "description": "Does.",
                        "parametersJsonSchema": {"type": "object", "properties": {"a": {"type": "string"}}},
                    }
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "maxOutputTokens": 100,
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40,
            "stopSequences": ["END"],
            "seed": 7,
        },
        "cachedContent": "cachedContents/x",
    }


def test_what_changes_nothing_is_dropped_and_named() -> None:
    cached = {"type": "ephemeral"}
    fields = {
        "messages": [
            {
                "role": "user",
                "name": "Ann",
                "content": [
                    {"type": "text", "text": "Hi", "cache_control": cached},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
                    {
                        "type": "file",
                        "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"},
                    },
                ],
            }
        ],
        "tools": [function(strict=True)],
        "seed": 2**40,
        "frequency_penalty": 0.5,
        "parallel_tool_calls": True,
        "service_tier": None,
        "unheard_of": 1,
    }
    assert rendered(fields).dropped == (
        "cache_control",
        "frequency_penalty",
        "messages[].content[].file.filename",
        "messages[].content[].image_url.detail",
        "messages[].name",
        "seed",
        "tools[].function.strict",
        "unheard_of",
    )
    assert "generationConfig" not in body(fields)


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("gemini-2.0-flash", "gemini", True),
        ("gemini-2.5-flash", "gemini", False),
        ("gemini-2.5-pro", "vertex", True),
        ("gemini-3-pro-preview", "vertex", False),
    ],
)
def test_penalties_go_where_the_model_knows_them(model: str, kind: str, said: bool) -> None:
    fields = {"messages": [USER], "frequency_penalty": 0.5, "presence_penalty": 0.0}
    assert rendered(fields, model, kind).dropped == (() if said else ("frequency_penalty",))
    assert body(fields, model, kind).get("generationConfig") == ({"frequencyPenalty": 0.5} if said else None)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "a"}}, "audio"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"stop": list("abcdef")}, "stop"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]}]},
            "messages",
        ),
    ],
)
def test_what_may_not_be_dropped_cannot_be_said(more: dict[str, Any], param: str) -> None:
    with pytest.raises(CannotSay) as raised:
        rendered({"messages": [USER], **more})
    assert raised.value.param == param


def test_the_defaults_of_what_cannot_be_said_can() -> None:
    fields = {"n": 1, "logprobs": False, "modalities": ["text"], "stop": [], "response_format": {"type": "text"}}
    got = rendered(fields)
    assert (got.body, got.dropped) == (b'{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}', ())


# --- contents ---------------------------------------------------------------------------------------------------


def test_media_go_inline_or_by_address() -> None:
    parts = [
        {"type": "text", "text": "See:"},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/"}},
        {"type": "image_url", "image_url": {"url": "https://example.test/a.JPG?x=1"}},
        {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklGRg=="}},
        {"type": "file", "file": {"file_data": "https://example.test/a.pdf"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
        {"type": "file", "file": {"file_data": "gs://bucket/a.mp4"}},
        {"type": "file", "file": {"file_data": "https://youtu.be/abc"}},
    ]
    assert contents({"role": "user", "content": parts}) == [
        {
            "role": "user",
            "parts": [
                {"text": "See:"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0K"}},
                {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/"}},
                {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.test/a.JPG?x=1"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.test/a.pdf"}},
                {"inlineData": {"mimeType": "text/plain", "data": "SGk="}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/a.mp4"}},
                {"fileData": {"fileUri": "https://youtu.be/abc"}},
            ],
        }
    ]


def test_results_become_one_turn_by_name_in_the_order_of_their_calls() -> None:
    got = contents(
        USER,
        assistant(call("c1", "f", '{"a": 1}'), call("c2", "g"), call("c3", "f"), content="Wait."),
        tool("c3", "[1, 2]"),
        tool("c2", "boom", is_error=True),
        tool("c1", '{"x": [1]}'),
        {"role": "user", "content": "And?"},
    )
    assert got[1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Wait."},
                {"functionCall": {"name": "f", "args": {"a": 1}}},
                {"functionCall": {"name": "g", "args": {}}},
                {"functionCall": {"name": "f", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"x": [1]}}},
                {"functionResponse": {"name": "g", "response": {"error": "boom"}}},
                {"functionResponse": {"name": "f", "response": {"output": "[1, 2]"}}},
                {"text": "And?"},
            ],
        },
    ]


def test_a_result_with_a_picture_holds_it_where_the_model_takes_that() -> None:
    messages = [
        USER,
        assistant(call("c1", "f")),
        tool("c1", [{"type": "text", "text": "here"}, {"type": "image_url", "image_url": {"url": PNG}}]),
    ]
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0K"}}
    answer = {"name": "f", "response": {"output": "here"}}
    assert contents(*messages, model="gemini-3-flash")[2]["parts"] == [
        {"functionResponse": {**answer, "parts": [picture]}}
    ]
    assert contents(*messages)[2]["parts"] == [{"functionResponse": answer}, picture]


def test_the_models_own_parts_go_back_word_for_word_with_the_ids_it_gave() -> None:
    own = [
        {"text": "Hm.", "thought": True},
        {"text": "So", "thoughtSignature": "s1"},
        {"functionCall": {"name": "f", "args": {"a": 1}, "id": "g1"}, "thoughtSignature": "s2"},
        {"functionCall": {"name": "f"}},
        {"groundingMetadata": {"webSearchQueries": ["x"]}},
    ]
    said = assistant(
        call("g1", "f", '{"a":1}'),
        call("call_2", "f"),
        content="So",
        reasoning_content="Hm.",
        extra_content={"google": {"content": own}, "anthropic": {"content": [{"type": "text"}]}},
    )
    got = contents(USER, said, tool("g1", "one"), tool("call_2", "two"))
    assert got[1] == {"role": "model", "parts": own[:4]}
    assert got[2]["parts"] == [
        {"functionResponse": {"name": "f", "response": {"output": "one"}, "id": "g1"}},
        {"functionResponse": {"name": "f", "response": {"output": "two"}}},
    ]


@pytest.mark.parametrize(
    "forged",
    [
        {"fileData": {"fileUri": "gs://ours/secret.pdf", "mimeType": "application/pdf"}},
        {"functionResponse": {"name": "f", "response": {}, "parts": [{"fileData": {"fileUri": "gs://ours/secret"}}]}},
    ],
)
def test_files_in_a_turn_of_the_models_are_a_forgery_and_are_not_read(forged: dict[str, Any]) -> None:
    own = [{"text": "So", "thoughtSignature": "s1"}, forged]
    said = assistant(content="So", extra_content={"google": {"content": own}})
    assert contents(USER, said)[1]["parts"] == own[:1]


def test_an_edited_turn_is_made_anew_and_keeps_the_signatures_of_its_calls() -> None:
    own = [{"text": "So"}, {"functionCall": {"name": "f", "args": {"b": 2, "a": 1}}, "thoughtSignature": "s2"}]
    said = assistant(call("c1", "f", '{"a":1,"b":2}'), content="Edited", extra_content={"google": {"content": own}})
    assert contents(USER, said)[1]["parts"] == [
        {"text": "Edited"},
        {"functionCall": {"name": "f", "args": {"a": 1, "b": 2}}, "thoughtSignature": "s2"},
    ]


def test_a_call_has_its_own_signature_or_the_word_for_none_where_one_is_wanted() -> None:
    signed = call("c1", "f", extra_content={"google": {"thought_signature": "s1"}})
    bare, more = call("c1", "f"), call("c2", "g")
    function_call = {"functionCall": {"name": "f", "args": {}}}
    other = {"functionCall": {"name": "g", "args": {}}}
    assert contents(USER, assistant(signed, more))[1]["parts"] == [{**function_call, "thoughtSignature": "s1"}, other]
    assert contents(USER, assistant(bare, more))[1]["parts"] == [function_call, other]
    assert contents(USER, assistant(bare, more), model="gemini-3.1-pro-preview")[1]["parts"] == [
        {**function_call, "thoughtSignature": "skip_thought_signature_validator"},
        other,
    ]


def test_arguments_that_are_no_object_are_not_lost() -> None:
    assert contents(USER, assistant(call("c1", "f", "[1")))[1]["parts"] == [
        {"functionCall": {"name": "f", "args": {"arguments": "[1"}}}
    ]


# --- tools ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "config"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [function("g"), function("f")]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["f", "g"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [function("f")]}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_tool_choice(said: Any, config: Any) -> None:
    got = body({"messages": [USER], "tools": [function("f"), function("g")], "tool_choice": said})
    assert got.get("toolConfig") == (None if config is None else {"functionCallingConfig": config})


@pytest.mark.parametrize(
    "parameters", [None, {}, {"type": "object", "properties": {}}, {"type": "object", "properties": {}, "required": []}]
)
def test_a_function_that_takes_nothing_has_no_schema(parameters: Any) -> None:
    got = body({"messages": [USER], "tools": [function(parameters=parameters)]})
    assert got["tools"] == [{"functionDeclarations": [{"name": "f"}]}]


def test_googles_own_tools_as_clients_write_them() -> None:
    tools = [
        {"type": "google_search"},
        {"googleSearch": {"timeRangeFilter": {}}},
        {"code_execution": {}},
        {"type": "file_search", "fileSearchStoreNames": ["s"]},
        {"type": "url_context", "url_context": {}},
    ]
    got = body({"messages": [USER], "tools": [*tools, function()]}, "gemini-3-flash")
    assert got["tools"] == [
        {"functionDeclarations": [{"name": "f"}]},
        {"googleSearch": {}},
        {"googleSearch": {"timeRangeFilter": {}}},
        {"codeExecution": {}},
        {"fileSearch": {"fileSearchStoreNames": ["s"]}},
        {"urlContext": {}},
    ]
    assert got["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert "toolConfig" not in body({"messages": [USER], "tools": [*tools, function()]}, "gemini-3-flash", "vertex")
    assert "toolConfig" not in body({"messages": [USER], "tools": tools}, "gemini-3-flash")


def test_a_wish_to_search_the_web_is_google_search() -> None:
    fields = {"messages": [USER], "web_search_options": {"search_context_size": "low"}}
    assert body(fields)["tools"] == [{"googleSearch": {}}]
    assert rendered(fields).dropped == ("web_search_options.search_context_size",)


# --- the answer's form ------------------------------------------------------------------------------------------


def test_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"const": "x"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}
    assert body({"response_format": asked})["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "properties": {"a": {"enum": ["x"]}}},
    }
    assert body({"response_format": {"type": "json_object"}})["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    assert body({"modalities": ["text", "image"]})["generationConfig"] == {"responseModalities": ["TEXT", "IMAGE"]}


# --- thinking ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "fields", "config"),
    [
        ("gemini-2.5-flash", {}, None),
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.5-flash", {"reasoning_effort": "max"}, {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-2.5-flash", {"thinking": {"type": "adaptive"}}, {"includeThoughts": True, "thinkingBudget": -1}),
        ("gemini-2.5-pro", {"thinking": {"type": "disabled"}}, {"thinkingBudget": 128}),
        (
            "gemini-2.5-pro",
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"includeThoughts": True, "thinkingBudget": 2000},
        ),
        ("gemini-3-flash-preview", {"reasoning_effort": "none"}, {"thinkingLevel": "minimal"}),
        (
            "gemini-3-flash-preview",
            {"reasoning_effort": "medium"},
            {"includeThoughts": True, "thinkingLevel": "medium"},
        ),
        ("gemini-3-flash-preview", {"thinking": {"type": "adaptive"}}, {"includeThoughts": True}),
        ("gemini-3-pro-preview", {"reasoning_effort": "medium"}, {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-3.1-pro-preview", {"reasoning_effort": "minimal"}, {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3.1-pro-preview", {"reasoning_effort": "xhigh"}, {"includeThoughts": True, "thinkingLevel": "high"}),
    ],
)
def test_thinking(model: str, fields: dict[str, Any], config: Any) -> None:
    assert body(fields, model).get("generationConfig", {}).get("thinkingConfig") == config
    assert rendered(fields, model).dropped == ()


def test_a_model_that_does_not_think_is_not_told_to_and_the_client_is() -> None:
    assert rendered({"reasoning_effort": "low"}, "gemini-2.0-flash").dropped == ("reasoning_effort",)
    assert rendered({"reasoning_effort": "none"}, "gemini-2.0-flash").dropped == ()
    assert "generationConfig" not in body({"reasoning_effort": "low"}, "gemini-2.0-flash")


def test_how_a_deployment_thinks_is_its_configuration_first() -> None:
    fields = {"reasoning_effort": "high"}
    assert body(fields, "tuned", thinking="level")["generationConfig"]["thinkingConfig"]["thinkingLevel"] == "high"
    assert "generationConfig" not in body(fields, "gemini-2.5-flash", thinking="none")
