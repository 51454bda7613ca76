"""Requests in Anthropic's words: what is refused, what they become, and what Anthropic itself may see of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.dialects.anthropic_body import judge, judge_count
from gateway.dialects.anthropic_request import canonical, native
from gateway.dialects.sealed import Sealed, sealed
from gateway.errors import BadRequest
from gateway.intent import features
from tests import recordings

HI = [{"role": "user", "content": "Hi"}]
CACHE = {"type": "ephemeral", "ttl": "1h"}
SIGNED = {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}
UNSIGNED = {"type": "thinking", "thinking": "Hm.", "signature": ""}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "é"}}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}


def body(**members: Any) -> bytes:
    fields = {"model": "auto", "max_tokens": 9, "messages": HI, **members}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def refused(**members: Any) -> tuple[str | None, str | None]:
    with pytest.raises(BadRequest) as caught:
        judge(body(**members))
    return caught.value.code, caught.value.param


def said(*blocks: Any, role: str = "user") -> list[Any]:
    return [{"role": role, "content": list(blocks)}]


def made(**members: Any) -> dict[str, Any]:
    """The canonical request, without what all of them have."""
    request = canonical(judge(body(**members)))
    assert (request.pop("model"), request.pop("max_completion_tokens")) == ("auto", 9)
    if "messages" not in members and "system" not in members:
        assert request.pop("messages") == HI
    return request


def messages(*blocks: Any, role: str = "user") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made(messages=said(*blocks, role=role))["messages"]
    return found


# --- refused ----------------------------------------------------------------------------------------------------

MISSING = "missing_required_parameter"
PLACE = "messages[0].content[0]"


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"max_tokens": None}, MISSING, "max_tokens"),
        ({"messages": [{"content": "Hi"}]}, MISSING, "messages[0].role"),
        ({"messages": said({"text": "no type"})}, MISSING, f"{PLACE}.type"),
        ({"messages": said({"type": "image"})}, MISSING, f"{PLACE}.source"),
        (
            {"messages": said({"type": "image", "source": {"type": "base64", "data": "AA=="}})},
            MISSING,
            f"{PLACE}.source.media_type",
        ),
        ({"messages": said({**CALL, "input": 1})}, "invalid_value", f"{PLACE}.input"),
        ({"messages": [{"role": "tool", "content": ""}]}, "invalid_value", "messages[0].role"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"temperature": 1.5}, "invalid_value", "temperature"),
        ({"tools": [{"name": "f"}]}, MISSING, "tools[0].input_schema"),
        ({"tool_choice": {"type": "tool"}}, MISSING, "tool_choice.name"),
        ({"tool_choice": "auto"}, "invalid_value", "tool_choice"),
        ({"extra_headers": {}}, "invalid_request", "extra_headers"),
        ({"thread": {"type": "create"}}, "thread_unsupported_request", "thread"),
        ({"thread": {"type": "continue", "previous_message_id": "msg_1"}}, "thread_unsupported_request", "thread"),
        ({"mcp_servers": [{"name": "m", "url": "http://10.0.0.1/"}]}, "invalid_url", "mcp_servers[0].url"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], code: str, param: str) -> None:
    assert refused(**members) == (code, param)


def test_links_into_private_networks_are_refused_wherever_they_stand() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "http://169.254.169.254/x"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    document = {"type": "document", "source": {"type": "content", "content": [image]}}
    assert refused(messages=said(image)) == ("invalid_url", f"{PLACE}.source.url")
    assert refused(messages=said(result)) == ("invalid_url", f"{PLACE}.content[0].source.url")
    assert refused(messages=said(document)) == ("invalid_url", f"{PLACE}.source.content[0].source.url")


def test_two_readers_of_a_body_read_the_same() -> None:
    for twice in (b'{"model":"a","model":"b"}', b'{"model":"a","messages":[{"role":"user","role":"user"}]}'):
        with pytest.raises(BadRequest) as caught:
            judge(twice)
        assert caught.value.code == "duplicate_key"


def test_blocks_in_blocks_in_blocks_are_too_deep() -> None:
    block: dict[str, Any] = {"type": "text", "text": "x"}
    for _ in range(4):
        block = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    assert refused(messages=said(block))[0] == "too_deep"


def test_where_tokens_are_counted_no_limit_is_needed() -> None:
    assert judge_count(body(max_tokens=None))["messages"] == HI


# --- parameters -------------------------------------------------------------------------------------------------


def test_parameters_have_their_canonical_names() -> None:
    assert made(
        stream=True,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        service_tier="standard_only",
        thinking={"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        context_management={"edits": []},
    ) == {
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "stop": ["END"],
        "user": "u",
        "service_tier": "default",
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "reasoning_effort": "max",
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
    }


def test_a_schema_that_openai_takes_as_strict_is_one() -> None:
    inner = {
        "type": "object",
        "properties": {"b": {"type": "string"}},
        "required": ["b"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": inner}},
        "required": ["a"],
        "additionalProperties": False,
    }
    strict = {"name": "answer", "schema": schema, "strict": True}
    form = made(output_format={"type": "json_schema", "schema": schema})["response_format"]
    assert form == {"type": "json_schema", "json_schema": strict}
    del inner["required"]
    form = made(output_format={"type": "json_schema", "schema": schema})["response_format"]
    assert "strict" not in form["json_schema"]


def test_tools_of_the_client_are_functions_and_those_that_anthropic_defines_stay() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    tools = [{**TOOL, "type": "custom", "strict": True, "cache_control": CACHE, "defer_loading": True}, bash]
    request = made(
        tools=tools,
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        mcp_servers=[{"type": "url", "name": "wiki", "url": "https://example.com/mcp"}],
    )
    function = {"name": "look", "description": "Looks.", "parameters": TOOL["input_schema"], "strict": True}
    assert request == {
        "tools": [
            {"type": "function", "function": function, "cache_control": CACHE},
            bash,
            {"type": "mcp_toolset", "mcp_server_name": "wiki"},
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }


@pytest.mark.parametrize(
    ("choice", "canonical_choice"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_a_choice_of_tools_has_a_canonical_one(choice: Any, canonical_choice: Any) -> None:
    assert made(tools=[TOOL], tool_choice=choice)["tool_choice"] == canonical_choice


# --- messages ---------------------------------------------------------------------------------------------------


def test_the_system_comes_first_with_its_hints_to_the_cache() -> None:
    parts = [{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": CACHE}]
    assert made(system=parts)["messages"] == [{"role": "system", "content": parts}, *HI]
    assert made(system="A")["messages"] == [{"role": "system", "content": "A"}, *HI]
    assert made(system=[])["messages"] == HI


def test_a_users_blocks_are_parts() -> None:
    png = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
    plain = {"type": "text", "media_type": "text/plain", "data": "Ünicode"}
    link = {"type": "url", "url": "https://example.com/a.pdf"}
    content = {"type": "content", "content": [{"type": "text", "text": "part"}]}
    (message,) = messages(
        {"type": "text", "text": "See:"},
        {"type": "image", "source": png, "cache_control": CACHE},
        {"type": "document", "source": pdf, "title": "T.pdf", "context": "Of 1999.", "citations": {"enabled": True}},
        {"type": "document", "source": plain},
        {"type": "document", "source": link, "cache_control": CACHE},
        {"type": "document", "source": content, "title": "Whole"},
        {"type": "search_result", "source": "https://example.com", "title": "Found", "content": content["content"]},
        {"type": "container_upload", "file_id": "f"},
    )
    text = "data:text/plain;base64," + base64.b64encode("Ünicode".encode()).decode()
    assert message == {
        "role": "user",
        "content": [
            {"type": "text", "text": "See:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}, "cache_control": CACHE},
            {"type": "text", "text": "Of 1999."},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "T.pdf"}},
            {"type": "file", "file": {"file_data": text, "filename": "document.txt"}},
            {
                "type": "file",
                "file": {"file_data": "https://example.com/a.pdf", "filename": "document.pdf"},
                "cache_control": CACHE,
            },
            {"type": "text", "text": "Whole"},
            {"type": "text", "text": "part"},
            {"type": "text", "text": "Found\nhttps://example.com\npart"},
            {"type": "anthropic", "anthropic": {"type": "container_upload", "file_id": "f"}},
        ],
    }


def test_results_of_tools_are_messages_of_their_own_before_what_else_is_said() -> None:
    png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    assert messages(
        {"type": "text", "text": "Here:"},
        {"type": "tool_result", "tool_use_id": "1", "content": "one", "is_error": True, "cache_control": CACHE},
        {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "two"}], "is_error": False},
        {"type": "tool_result", "tool_use_id": "3", "content": [{"type": "text", "text": "three"}, png]},
        {"type": "tool_result", "tool_use_id": "4"},
    ) == [
        {"role": "tool", "tool_call_id": "1", "content": "one", "is_error": True, "cache_control": CACHE},
        {"role": "tool", "tool_call_id": "2", "content": "two"},
        {
            "role": "tool",
            "tool_call_id": "3",
            "content": [
                {"type": "text", "text": "three"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
        {"role": "tool", "tool_call_id": "4", "content": ""},
        {"role": "user", "content": "Here:"},
    ]


def function(extra: Any = None) -> dict[str, Any]:
    call = {"id": "toolu_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"é"}'}}
    return {**call, "extra_content": extra} if extra else call


def test_a_plain_turn_of_the_assistants_is_text_and_calls() -> None:
    texts = [{"type": "text", "text": "I "}, {"type": "text", "text": "look."}]
    assert messages(*texts, CALL, role="assistant") == [
        {"role": "assistant", "content": "I look.", "tool_calls": [function()]}
    ]
    assert messages(CALL, role="assistant") == [{"role": "assistant", "content": None, "tool_calls": [function()]}]


def test_what_is_signed_goes_along_verbatim() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    text = {"type": "text", "text": "It is.", "citations": [{"type": "char_location"}]}
    blocks = [SIGNED, search, found, text, CALL]
    assert messages(*blocks, role="assistant") == [
        {
            "role": "assistant",
            "content": "It is.",
            "reasoning_content": "Let me see.",
            "tool_calls": [function()],
            "extra_content": {"anthropic": {"content": blocks}},
        }
    ]


def test_what_was_sealed_is_opened_and_anthropic_does_not_see_it() -> None:
    google = {"google": {"content": [{"text": "It is."}]}}
    mark = {"google": {"thought_signature": "s"}}
    text = {"type": "text", "text": "It is."}
    theirs = {"type": "redacted_thinking", "data": "opaque"}
    blocks = [UNSIGNED, text, sealed(Sealed(calls={"toolu_1": mark})), CALL, sealed(Sealed(google))]
    assert messages(*blocks, role="assistant") == [
        {
            "role": "assistant",
            "content": "It is.",
            "reasoning_content": "Hm.",
            "tool_calls": [function(mark)],
            "extra_content": google,
        }
    ]
    asked = judge(body(messages=[*HI, *said(*blocks, theirs, role="assistant"), *said(UNSIGNED, role="assistant")]))
    assert native(asked)["messages"] == [*HI, *said(text, CALL, theirs, role="assistant")]


def test_a_request_without_blocks_of_ours_goes_on_as_it_came() -> None:
    asked = judge(body(messages=[*HI, *said(SIGNED, CALL, role="assistant")]))
    assert native(asked) is asked


@pytest.mark.parametrize("data", ["signalbox:", "signalbox:!", "signalbox:é", "signalbox:AAAA", "signalbox:W10="])
def test_a_damaged_seal_is_left_out(data: str) -> None:
    blocks = [{"type": "redacted_thinking", "data": data}, {"type": "text", "text": "x"}]
    assert messages(*blocks, role="assistant") == [{"role": "assistant", "content": "x"}]


def test_a_block_that_only_anthropic_knows_needs_anthropic() -> None:
    upload = said({"type": "container_upload", "file_id": "f"})
    picture = said({"type": "image", "source": {"type": "file", "file_id": "f"}})
    for turns in (upload, picture):
        request = canonical(judge(body(messages=turns)))
        assert features.read(request, 100).features.needs == {"server_tools:anthropic"}


# --- recorded ---------------------------------------------------------------------------------------------------


def test_every_recorded_request_becomes_canonical_or_is_refused_as_anthropic_did() -> None:
    seen = 0
    for recorded in recordings.load("anthropic", None):
        if not recorded.api.startswith("messages") or recorded.request is None:
            continue
        seen += 1
        raw = json.dumps(recorded.request).encode()
        try:
            asked = (judge if recorded.api == "messages" else judge_count)(raw)
        except BadRequest:
            assert recorded.status == 400, recorded.id
            continue
        features.read(canonical(asked), len(raw))
        native(asked)
    assert seen > 400
