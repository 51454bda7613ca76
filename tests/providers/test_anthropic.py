"""Anthropic's Messages, rule by rule: what is sent, what is told of what comes back, and what is said of faults.

Read next: test_anthropic_recordings.py, the same on real traffic.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import __version__
from gateway.errors import CannotSay, Failure
from gateway.providers.anthropic.forced import ANSWER
from gateway.providers.anthropic.schema import closed, object_schema
from gateway.providers.protocol import Answer, Rendered
from gateway.providers.registry import protocol_of
from gateway.types import Account, Call, Deployment, Native, Secret, Usage
from tests import make
from tests.providers.streams import Delivered, deliver

MESSAGES = protocol_of("anthropic")
HI = [{"role": "user", "content": "hi"}]
SAID_HI = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
OBJECT = {"type": "object", "properties": {}}
CLOSED = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PNG = "data:image/png;base64,aGk="


def target(model: str = "claude-sonnet-4-5", **more: Any) -> Deployment:
    return make.deployment("d", model=model, **more)


def render(fields: dict[str, Any], model: str = "claude-sonnet-4-5", *, stream: bool = False, **more: Any) -> Rendered:
    return MESSAGES.render(make.call(fields={"messages": HI, **fields}), target(model, **more), stream=stream)


def sent(fields: dict[str, Any], model: str = "claude-sonnet-4-5", **more: Any) -> dict[str, Any]:
    """What is sent of a request, without its model."""
    body: dict[str, Any] = json.loads(render(fields, model, **more).body)
    del body["model"]
    return body


def tool(name: str = "look", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": OBJECT, **more}}


def called(id: str = "t1", name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


# --- where ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "base", "origin", "path"),
    [
        ("anthropic", "", "https://api.anthropic.com:443", "/v1/messages"),
        ("anthropic", "https://h.test:8443", "https://h.test:8443", "/v1/messages"),
        ("anthropic", "https://h.test/proxy/v1/?team=a", "https://h.test:443", "/proxy/v1/messages?team=a"),
        ("azure_anthropic", "https://r.test/anthropic", "https://r.test:443", "/anthropic/v1/messages"),
    ],
)
def test_the_address_follows_the_account_with_or_without_its_version(
    kind: str, base: str, origin: str, path: str
) -> None:
    account = Account(name="acc", kind=kind, base_url=base)
    endpoint = protocol_of(kind).endpoint(Deployment("d", account, "m"), Secret("s3cret"), stream=True)
    assert (endpoint.origin, endpoint.method, endpoint.target) == (origin, "POST", path)
    assert endpoint.headers == (
        (b"content-type", b"application/json"),
        (b"user-agent", f"signalbox/{__version__}".encode()),
        (b"anthropic-version", b"2023-06-01"),
        (b"x-api-key", b"s3cret"),
    )
    models = protocol_of(kind).models(Deployment("d", account, "m"), None)
    assert (models.method, models.target) == ("GET", path.replace("messages", "models"))
    assert b"x-api-key" not in dict(models.headers)


@pytest.mark.parametrize("base", ["ftp://h.test", "h.test/v1", "https://"])
def test_an_address_that_is_none_is_named(base: str) -> None:
    account = Account(name="acc", kind="anthropic", base_url=base)
    with pytest.raises(ValueError, match="account acc"):
        MESSAGES.endpoint(Deployment("d", account, "m"), None, stream=False)


# --- messages ---------------------------------------------------------------------------------------------------


def test_a_plain_request_has_a_model_a_limit_and_messages() -> None:
    assert json.loads(render({}).body) == {"model": "claude-sonnet-4-5", "max_tokens": 32000, "messages": SAID_HI}
    assert sent({}, stream=True) == {"max_tokens": 32000, "messages": SAID_HI, "stream": True}


def test_system_and_developer_are_blocks_in_order_and_keep_their_marks() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": mark}]},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": "b"},
    ]
    assert sent({"messages": messages}) == {
        "max_tokens": 32000,
        "system": [{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": "b"}],
        "messages": SAID_HI,
    }


def test_turns_alternate_results_come_first_and_empty_texts_are_dropped() -> None:
    messages = [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [called("a:1", arguments='{"x":1}'), called("b", "find", "")],
        },
        {"role": "tool", "tool_call_id": "a:1", "content": "one", "is_error": True},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "and?"}]},
        {"role": "user", "content": "well"},
    ]
    assert sent({"messages": messages, "tools": [tool()]})["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "…"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "a_1", "name": "look", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "find", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a_1",
                    "content": [{"type": "text", "text": "one"}],
                    "is_error": True,
                },
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "text", "text": "and?"},
                {"type": "text", "text": "well"},
            ],
        },
    ]


def file(**inner: Any) -> dict[str, Any]:
    return {"type": "file", "file": inner}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,aGk="}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "aGk="}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://h.test/a.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://h.test/a.png"}},
        ),
        (
            file(file_data="data:application/pdf;base64,aGk=", filename="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                "title": "a.pdf",
            },
        ),
        (
            file(file_data="https://h.test/a.pdf"),
            {"type": "document", "source": {"type": "url", "url": "https://h.test/a.pdf"}},
        ),
        (
            file(file_data="data:text/plain;base64,aGk="),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        ),
        (
            file(file_data=PNG),
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        ),
        (file(file_id="file_011"), {"type": "document", "source": {"type": "file", "file_id": "file_011"}}),
    ],
)
def test_pictures_and_documents_have_sources(part: dict[str, Any], block: dict[str, Any]) -> None:
    assert sent({"messages": [{"role": "user", "content": [part]}]})["messages"][0]["content"] == [block]


def test_a_file_of_anthropics_needs_a_header() -> None:
    content = [file(file_id="file_011")]
    rendered = render({"messages": [{"role": "user", "content": content}]})
    assert rendered.headers == ((b"anthropic-beta", b"files-api-2025-04-14"),)
    assert render({}).headers == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "web_search_preview"}]}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        (
            {"messages": [{"role": "user", "content": [file(file_id="file-abc")]}]},
            "messages[].content[].file.file_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "aGk="}}]}]},
            "messages",
        ),
    ],
)
def test_what_has_no_words_and_may_not_be_dropped_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(CannotSay) as refused:
        render(fields)
    assert refused.value.param == param


def test_what_changes_nothing_is_dropped_and_named() -> None:
    fields = {
        "messages": [{"role": "user", "content": "hi", "name": "bo"}],
        "seed": 0,
        "user": "u" * 300,
        "service_tier": "flex",
        "frequency_penalty": 0,
        "presence_penalty": 0.5,
        "store": False,
        "stream_options": {"include_usage": True},
        "logit_bias": None,
        "stop": ["\n", "END"],
        "n": 1,
    }
    rendered = render(fields)
    assert sent(fields) == {"max_tokens": 32000, "messages": SAID_HI, "stop_sequences": ["END"]}
    assert rendered.dropped == ("seed", "presence_penalty", "messages[].name", "service_tier", "stop", "user")


def test_the_user_and_the_tier_have_words() -> None:
    body = sent({"user": "u", "service_tier": "default"})
    assert (body["metadata"], body["service_tier"]) == ({"user_id": "u"}, "standard_only")
    assert "service_tier" not in sent({"service_tier": "auto"})


def test_blocks_of_a_client_of_anthropics_go_back_into_its_words() -> None:
    block = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
    content = [{"type": "anthropic", "anthropic": block, "cache_control": {"type": "ephemeral"}}]
    messages = [{"role": "user", "content": content}]
    assert sent({"messages": messages})["messages"][0]["content"] == [{**block, "cache_control": {"type": "ephemeral"}}]
    with pytest.raises(CannotSay):
        protocol_of("gemini").render(make.call(fields={"messages": messages}), target())


def test_of_more_than_four_marks_the_first_and_the_last_three_stay() -> None:
    mark = {"type": "ephemeral"}
    texts = [{"type": "text", "text": str(n), "cache_control": mark} for n in range(6)]
    rendered = render({"messages": [{"role": "user", "content": texts}]})
    content = json.loads(rendered.body)["messages"][0]["content"]
    assert [block["text"] for block in content if "cache_control" in block] == ["0", "3", "4", "5"]
    assert rendered.dropped == ("cache_control",)


def test_the_beginning_of_an_answer_has_no_blanks_at_its_end() -> None:
    call = MESSAGES.resume(make.call(fields={"messages": HI, "max_tokens": 100}), target(), "It is \n")
    body = json.loads(MESSAGES.render(call, target()).body)
    assert body["max_tokens"] == 99
    assert body["messages"] == [*SAID_HI, {"role": "assistant", "content": [{"type": "text", "text": "It is"}]}]


# --- turns that Anthropic has written itself ----------------------------------------------------------------------

THOUGHT: dict[str, Any] = {"type": "thinking", "thinking": "hm", "signature": "s"}
HIDDEN: dict[str, Any] = {"type": "redacted_thinking", "data": "x"}
SEARCH: dict[str, Any] = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}}
FOUND: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "srv", "content": []}
USE: dict[str, Any] = {"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1}}


def turn(blocks: list[dict[str, Any]], **message: Any) -> list[dict[str, Any]]:
    """The blocks that are sent of an assistant's message that Anthropic has written as ``blocks``."""
    said = {"role": "assistant", "extra_content": {"anthropic": {"content": blocks}}, **message}
    messages = [*HI, said, {"role": "tool", "tool_call_id": "t1", "content": "r"}]
    found: list[dict[str, Any]] = sent({"messages": messages, "tools": [tool()]})["messages"][1]["content"]
    return found


def test_a_turn_that_was_not_edited_goes_back_verbatim_and_in_order() -> None:
    content = [THOUGHT, SEARCH, FOUND, {"type": "text", "text": "so "}, {"type": "text", "text": "be it"}, USE]
    calls = [called(arguments='{ "x": 1 }')]
    assert turn(content, content="so be it", reasoning_content="hm", tool_calls=calls) == content


def test_of_a_turn_that_was_edited_the_opaque_blocks_stay_and_thinking_is_first() -> None:
    content = [SEARCH, FOUND, THOUGHT, {"type": "text", "text": "so be it"}, USE, {**SEARCH, "id": "alone"}]
    edited = [THOUGHT, SEARCH, FOUND, {"type": "text", "text": "no"}, {**USE, "input": {"x": 2}}]
    assert turn(content, content="no", tool_calls=[called(arguments='{"x":2}')]) == edited


def test_the_mark_of_an_unedited_turn_is_on_its_last_block_that_can_be_marked() -> None:
    part = {"type": "text", "text": "so", "cache_control": {"type": "ephemeral"}}
    text = {"type": "text", "text": "so"}
    assert turn([THOUGHT, text, HIDDEN], content=[part]) == [THOUGHT, part, HIDDEN]


def test_thinking_blocks_of_other_clients_come_first_and_unsigned_ones_not_at_all() -> None:
    blocks = [THOUGHT, HIDDEN, {"type": "thinking", "thinking": "x"}, {**HIDDEN, "data": "signalbox:abc"}]
    message = {"role": "assistant", "content": "so", "reasoning_content": "hm", "thinking_blocks": blocks}
    assert sent({"messages": [*HI, message, *HI]})["messages"][1]["content"] == [
        THOUGHT,
        HIDDEN,
        {"type": "text", "text": "so"},
    ]


def test_the_words_of_other_protocols_are_left_out() -> None:
    message = {"role": "assistant", "content": "so", "extra_content": {"google": {"content": [{"text": "so"}]}}}
    rendered = render({"messages": [*HI, message, *HI]})
    assert json.loads(rendered.body)["messages"][1]["content"] == [{"type": "text", "text": "so"}]
    assert rendered.dropped == ()


# --- tools --------------------------------------------------------------------------------------------------------


def test_tools_have_schemas_of_objects_and_strict_ones_are_closed() -> None:
    mark = {"type": "ephemeral"}
    tools = [
        {"type": "function", "function": {"name": "bare", "description": "d"}, "cache_control": mark},
        tool(
            "strict", parameters={"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}, strict=True
        ),
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
    ]
    assert sent({"tools": tools})["tools"] == [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
        {"name": "bare", "description": "d", "input_schema": OBJECT, "cache_control": mark},
        {
            "name": "strict",
            "input_schema": {
                "type": "object",
                "properties": {"a": {"type": "integer", "description": '{"minimum":1}'}},
                "additionalProperties": False,
            },
            "strict": True,
        },
    ]


def test_strict_is_dropped_where_the_model_does_not_know_it() -> None:
    rendered = render({"tools": [tool(strict=True, parameters=CLOSED)]}, "claude-3-5-haiku-20241022")
    assert json.loads(rendered.body)["tools"] == [{"name": "look", "input_schema": CLOSED}]
    assert rendered.dropped == ("tools[].function.strict",)


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, {"type": "tool", "name": "look"}),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
    ],
)
def test_the_choice_of_a_tool(fields: dict[str, Any], choice: dict[str, Any] | None) -> None:
    assert sent({"tools": [tool()], **fields}).get("tool_choice") == choice


def test_allowed_tools_are_the_only_ones_that_are_offered() -> None:
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "find"}}]},
    }
    body = sent({"tools": [tool(), tool("find")], "tool_choice": allowed})
    assert ([t["name"] for t in body["tools"]], body["tool_choice"]) == (["find"], {"type": "any"})


def test_tools_of_the_history_are_defined_where_none_is_offered_and_may_not_be_called() -> None:
    messages = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": [called(), called("t2")]},
        {"role": "tool", "tool_call_id": "t1", "content": "r"},
        {"role": "tool", "tool_call_id": "t2", "content": "r"},
    ]
    body = sent({"messages": messages, "parallel_tool_calls": False})
    assert (body["tools"], body["tool_choice"]) == ([{"name": "look", "input_schema": OBJECT}], {"type": "none"})


def test_web_search_is_anthropics_tool() -> None:
    place = {"type": "approximate", "approximate": {"city": "Berlin", "country": "DE"}}
    assert sent({"web_search_options": {"user_location": place}})["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "user_location": {"type": "approximate", "city": "Berlin", "country": "DE"},
        }
    ]


# --- answers of a schema --------------------------------------------------------------------------------------------


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}}


def test_a_schema_is_a_format_where_the_model_knows_it() -> None:
    body = sent({**form(CLOSED), "reasoning_effort": "high"}, "claude-opus-4-6")
    assert body["output_config"] == {"effort": "high", "format": {"type": "json_schema", "schema": CLOSED}}
    assert (body["thinking"], "tools" in body) == ({"type": "adaptive"}, False)


@pytest.mark.parametrize(
    ("model", "schema", "more"),
    [
        ("claude-3-5-haiku-20241022", CLOSED, {}),
        ("claude-sonnet-4-5", CLOSED, {"capabilities": frozenset({"tools"})}),
        ("claude-sonnet-4-5", {"type": "object", "additionalProperties": {"type": "string"}}, {}),
    ],
)
def test_elsewhere_it_is_a_tool_that_must_be_called(model: str, schema: dict[str, Any], more: dict[str, Any]) -> None:
    body = sent(form(schema), model, **more)
    assert "output_config" not in body
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER}
    (made,) = body["tools"]
    assert (made["name"], made["input_schema"]) == (ANSWER, {"properties": {}, **schema})


def test_beside_other_tools_any_may_be_called() -> None:
    body = sent({**form(CLOSED), "tools": [tool()]}, "claude-3-5-haiku-20241022")
    assert ([t["name"] for t in body["tools"]], body["tool_choice"]) == (["look", ANSWER], {"type": "any"})


def test_a_model_that_cannot_be_made_to_call_a_tool_is_asked_to_in_words() -> None:
    for choice, names in (
        ("required", ["look", "find"]),
        ({"type": "function", "function": {"name": "find"}}, ["find"]),
    ):
        rendered = render({"tools": [tool(), tool("find")], "tool_choice": choice}, "claude-opus-5-5")
        body = json.loads(rendered.body)
        assert ([made["name"] for made in body["tools"]], "tool_choice" in body) == (names, False)
        assert body["system"] == [{"type": "text", "text": "Answer with a call of a tool."}]
        assert rendered.dropped == ("tool_choice",)
    body = sent(form({"type": "object", "additionalProperties": True}), "claude-opus-5-5")
    assert '{"type":"object","additionalProperties":true}' in body["system"][0]["text"]
    assert "tools" not in body


def test_thinking_that_is_bound_to_its_conversation_does_not_go_into_another() -> None:
    said = {
        "role": "assistant",
        "content": "no",
        "extra_content": {"anthropic": {"content": [THOUGHT, {"type": "text"}]}},
    }
    for model, kept in (("claude-opus-5", [THOUGHT]), ("claude-opus-5-5", [])):
        assert sent({"messages": [*HI, said, *HI]}, model)["messages"][1]["content"] == [
            *kept,
            {"type": "text", "text": "no"},
        ]


def test_a_json_object_is_asked_for_in_words() -> None:
    (hint,) = sent({"response_format": {"type": "json_object"}})["system"]
    assert "JSON object" in hint["text"]


def test_a_schema_that_refers_to_itself_or_takes_members_without_names_cannot_be_closed() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    assert closed({"$ref": "#/$defs/node", "$defs": {"node": node}}) is None
    assert closed({"type": "object", "properties": {"a": {"$ref": "https://h.test/schema"}}}) is None
    assert closed({"type": "object", "additionalProperties": True}) is None
    assert closed({"type": "object"}) is None
    assert closed({}) == {}


def test_a_closed_schema_says_its_bounds_in_its_description() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Who.", "maxLength": 9},
            "at": {"type": "string", "format": "date-time"},
            "tags": {"type": "array", "minItems": 1, "items": {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/n"}]}},
        },
        "$defs": {"n": {"type": "number"}},
    }
    assert closed(schema) == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": 'Who. {"maxLength":9}'},
            "at": {"type": "string", "format": "date-time"},
            "tags": {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/n"}]}},
        },
        "$defs": {"n": {"type": "number"}},
        "additionalProperties": False,
    }


def test_the_schema_of_a_tool_is_one_object_without_variants_at_the_top() -> None:
    variants = {"anyOf": [{"type": "object", "properties": {"a": {}}}, {"properties": {"b": {}}}], "description": "d"}
    assert object_schema(variants) == {"type": "object", "properties": {"a": {}, "b": {}}, "description": "d"}


WORDS = "type properties items anyOf $ref $defs required additionalProperties enum #/$defs/a a object".split()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(WORDS), json_values, max_size=4))
def test_no_schema_is_too_odd_to_be_closed_or_given_up(schema: dict[str, Any]) -> None:
    before = json.dumps(schema)
    made = closed(schema)
    assert made is None or isinstance(made, dict)
    assert object_schema(schema)["type"] == "object"
    assert json.dumps(schema) == before


# --- thinking, limits and sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "fields", "more", "thinking", "effort", "limit", "dropped"),
    [
        ("claude-sonnet-4-5", {"reasoning_effort": "low"}, {}, 1024, None, 32000, ()),
        ("claude-sonnet-4-5", {"reasoning_effort": "medium"}, {}, 8192, None, 32000, ()),
        ("claude-sonnet-4-5", {"reasoning_effort": "high"}, {"max_output": 64000}, 24576, None, 64000, ()),
        ("claude-sonnet-4-5", {"reasoning_effort": "high", "max_tokens": 4000}, {}, 3000, None, 4000, ()),
        ("claude-sonnet-4-5", {"reasoning_effort": "high", "max_tokens": 500}, {}, 1024, None, 1524, ()),
        ("claude-sonnet-4-5", {"thinking": {"type": "enabled", "budget_tokens": 5000}}, {}, 5000, None, 32000, ()),
        (
            "claude-sonnet-4-5",
            {"thinking": {"type": "enabled", "budget_tokens": 5000}, "max_tokens": 1000},
            {},
            5000,
            None,
            6000,
            (),
        ),
        (
            "claude-sonnet-4-5",
            {"thinking": {"type": "enabled", "budget_tokens": 99999}},
            {"max_output": 64000},
            63999,
            None,
            64000,
            (),
        ),
        ("claude-sonnet-4-5", {"reasoning_effort": "none"}, {}, "disabled", None, 32000, ()),
        ("claude-sonnet-4-5", {"thinking": {"type": "adaptive"}}, {}, 8192, None, 32000, ()),
        ("claude-3-5-haiku-20241022", {"reasoning_effort": "none"}, {}, None, None, 8192, ()),
        ("claude-3-5-haiku-20241022", {"reasoning_effort": "low"}, {}, None, None, 8192, ("reasoning_effort",)),
        ("claude-opus-4-6", {"reasoning_effort": "minimal"}, {}, "adaptive", "low", 32000, ()),
        ("claude-opus-4-6", {"reasoning_effort": "xhigh"}, {}, "adaptive", "high", 32000, ()),
        ("claude-opus-4-7", {"reasoning_effort": "xhigh"}, {}, "adaptive", "xhigh", 32000, ()),
        ("claude-opus-4-6", {"thinking": {"type": "adaptive"}}, {}, "adaptive", None, 32000, ()),
        ("claude-opus-4-6", {"thinking": {"type": "enabled", "budget_tokens": 5000}}, {}, 5000, None, 32000, ()),
        (
            "claude-opus-4-7",
            {"thinking": {"type": "enabled", "budget_tokens": 5000}},
            {},
            "adaptive",
            "medium",
            32000,
            (),
        ),
        ("claude-opus-4-6", {"thinking": {"type": "disabled"}}, {}, "disabled", None, 32000, ()),
        ("claude-opus-5", {"reasoning_effort": "none"}, {}, "disabled", None, 32000, ()),
        ("claude-opus-5-5", {"reasoning_effort": "none"}, {}, None, "low", 32000, ()),
        ("claude-mythos-preview", {"reasoning_effort": "none"}, {}, None, "low", 32000, ()),
        ("claude-sonnet-5-5", {"reasoning_effort": "none"}, {}, "between_tools", None, 32000, ()),
        ("claude-haiku-5-5", {"reasoning_effort": "none"}, {}, "disabled", None, 32000, ()),
        ("claude-sonnet-4-5", {"reasoning_effort": "default"}, {}, None, None, 32000, ("reasoning_effort",)),
        ("my-claude", {"reasoning_effort": "high"}, {"thinking": "adaptive"}, "adaptive", "high", 32000, ()),
        ("my-claude", {"reasoning_effort": "high"}, {"thinking": "none"}, None, None, 32000, ("reasoning_effort",)),
    ],
)
def test_how_hard_to_think(
    model: str,
    fields: dict[str, Any],
    more: dict[str, Any],
    thinking: int | str | None,
    effort: str | None,
    limit: int,
    dropped: tuple[str, ...],
) -> None:
    rendered = render(fields, model, **more)
    body = json.loads(rendered.body)
    wanted = {"type": "enabled", "budget_tokens": thinking} if isinstance(thinking, int) else {"type": thinking}
    assert body.get("thinking") == (None if thinking is None else wanted)
    assert body.get("output_config") == (None if effort is None else {"effort": effort})
    assert (body["max_tokens"], rendered.dropped) == (limit, dropped)


@given(
    st.sampled_from(["claude-3-7-sonnet-20250219", "claude-sonnet-4-5", "claude-opus-4-6"]),
    st.sampled_from(["minimal", "low", "medium", "high", "xhigh", "max"]) | st.integers(0, 200_000),
    st.none() | st.integers(1, 100_000),
    st.none() | st.integers(2048, 128_000),
)
def test_a_budget_is_always_below_the_limit(model: str, how: str | int, limit: int | None, most: int | None) -> None:
    hard = (
        {"reasoning_effort": how} if isinstance(how, str) else {"thinking": {"type": "enabled", "budget_tokens": how}}
    )
    body = sent({**hard, "max_completion_tokens": limit}, model, max_output=most)
    assert body["max_tokens"] <= (most or 10**9)
    if body["thinking"]["type"] == "enabled":
        assert 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"]


def test_a_budget_is_given_up_for_a_tool_that_must_be_called_and_for_an_answer_that_began_without_thinking() -> None:
    must = {"tools": [tool()], "tool_choice": "required", "reasoning_effort": "high"}
    rendered = render(must)
    assert (json.loads(rendered.body).get("thinking"), rendered.dropped) == (None, ("reasoning_effort",))
    begun: list[dict[str, Any]] = [*HI, {"role": "assistant", "content": "It"}]
    assert render({"messages": begun, "reasoning_effort": "high"}).dropped == ("reasoning_effort",)
    begun[-1] |= {"thinking_blocks": [THOUGHT]}
    assert render({"messages": begun, "reasoning_effort": "high"}).dropped == ()
    adaptive = render(must, "claude-opus-4-6")
    body = json.loads(adaptive.body)
    assert (body["thinking"], body["tool_choice"], adaptive.dropped) == ({"type": "adaptive"}, {"type": "any"}, ())


def test_thinking_by_budget_is_given_up_amid_calls_of_tools_that_came_without_it() -> None:
    calls = {"role": "assistant", "content": None, "tool_calls": [called()]}
    result = {"role": "tool", "tool_call_id": "t1", "content": "r"}
    fields = {"messages": [*HI, calls, result], "tools": [tool()], "reasoning_effort": "low"}
    assert render(fields).dropped == ("reasoning_effort",)
    assert render(fields, "claude-opus-4-6").dropped == ()
    fields["messages"] = [*HI, {**calls, "thinking_blocks": [THOUGHT]}, result]
    assert render(fields).dropped == ()
    fields["messages"] = [*HI, calls, result, {"role": "assistant", "content": "so"}, *HI]
    assert render(fields).dropped == ()


@pytest.mark.parametrize(
    ("model", "fields", "kept", "dropped"),
    [
        (
            "claude-sonnet-4-0",
            {"temperature": 1.7, "top_p": 0.5, "top_k": 4},
            {"temperature": 1, "top_p": 0.5, "top_k": 4},
            (),
        ),
        ("claude-sonnet-4-5", {"temperature": 0.2, "top_p": 0.5}, {"temperature": 0.2}, ("top_p",)),
        ("claude-sonnet-4-5", {"temperature": 1, "top_p": 0.5}, {"top_p": 0.5}, ()),
        ("claude-sonnet-4-5", {"temperature": 0.2, "top_p": 1}, {"temperature": 0.2}, ()),
        ("claude-opus-4-8", {"temperature": 0.2, "top_p": 1}, {}, ("temperature",)),
        ("claude-sonnet-5", {"temperature": 1, "top_k": 4}, {}, ("top_k",)),
        (
            "claude-sonnet-4-5",
            {"temperature": 0.2, "top_k": 4, "reasoning_effort": "low"},
            {},
            ("temperature", "top_k"),
        ),
        ("claude-sonnet-4-5", {"temperature": 1, "top_p": 0.96, "reasoning_effort": "low"}, {"top_p": 0.96}, ()),
    ],
)
def test_sampling_as_far_as_the_model_takes_it(
    model: str, fields: dict[str, Any], kept: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    rendered = render(fields, model)
    body = json.loads(rendered.body)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == kept
    assert rendered.dropped == dropped


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-2.1", 4096),
        ("claude-3-opus-20240229", 4096),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", 8192),
        ("claude-3-7-sonnet@20250219", 32000),
        ("claude-sonnet-4-20250514", 32000),
        ("my-model", 32000),
    ],
)
def test_there_is_always_a_limit(model: str, limit: int) -> None:
    assert sent({}, model)["max_tokens"] == limit


def test_the_limit_is_the_clients_but_not_over_the_models_nor_over_the_window_when_it_is_ours() -> None:
    assert sent({"max_tokens": 7})["max_tokens"] == 7
    assert sent({"max_tokens": 7, "max_completion_tokens": 9})["max_tokens"] == 9
    assert sent({"max_tokens": 99999}, max_output=64000)["max_tokens"] == 64000
    assert sent({}, max_output=64000, context_window=60000)["max_tokens"] == 60000 - 64 // 4
    assert sent({}, max_output=64000, context_window=6000)["max_tokens"] == 8192


# --- native -----------------------------------------------------------------------------------------------------------


def native(fields: dict[str, Any], headers: tuple[tuple[bytes, bytes], ...] = ()) -> Call:
    return make.call(dialect="anthropic", native=Native(fields, headers))


def test_a_request_in_messages_goes_as_it_came_with_the_model_that_was_chosen() -> None:
    fields = {"model": "auto", "max_tokens": 5, "x_new": {"a": [1]}, "messages": HI, "stream": True}
    headers = ((b"anthropic-beta", b"a,b"),)
    rendered = MESSAGES.render(native(fields, headers), target(), stream=True)
    assert json.loads(rendered.body) == {**fields, "model": "claude-sonnet-4-5"}
    assert (rendered.headers, rendered.dropped) == (headers, ())
    assert json.loads(MESSAGES.render(native(fields), target(), stream=False).body)["stream"] is False
    assert "stream" not in json.loads(MESSAGES.render(native({"messages": HI}), target(), stream=False).body)


def test_only_what_the_gateway_put_into_a_conversation_is_taken_out_again() -> None:
    ours = [{**HIDDEN, "data": "signalbox:abc"}, {"type": "thinking", "thinking": "hm", "signature": ""}]
    messages = [
        *HI,
        {"role": "assistant", "content": [*ours, THOUGHT, HIDDEN, {"type": "text", "text": "so"}]},
        {"role": "assistant", "content": ours},
    ]
    body = json.loads(MESSAGES.render(native({"messages": messages}), target()).body)
    assert body["messages"] == [
        *HI,
        {"role": "assistant", "content": [THOUGHT, HIDDEN, {"type": "text", "text": "so"}]},
    ]


def test_a_native_request_does_not_think_by_a_budget_amid_calls_that_another_provider_made() -> None:
    use = {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "x"}
    signed = {"type": "thinking", "thinking": "x", "signature": "s"}
    clearing = {"type": "clear_thinking_20251015", "keep": "all"}
    edits = {"edits": [clearing, {"type": "clear_tool_uses_20250919"}]}
    budget = {"type": "enabled", "budget_tokens": 2048}

    def sent(thinking: object, *last: object, **more: object) -> tuple[dict[str, Any], tuple[str, ...]]:
        messages = [*HI, {"role": "assistant", "content": list(last)}, {"role": "user", "content": [result]}]
        made = MESSAGES.render(native({"messages": messages, "thinking": thinking, **more}), target())
        return json.loads(made.body), made.dropped

    body, dropped = sent(budget, use, context_management=edits)
    assert ("thinking" in body, body["context_management"]["edits"]) == (False, edits["edits"][1:])
    assert dropped == ("thinking", "context_management")
    for thinking, last in ((budget, (signed, use)), ({"type": "adaptive"}, (use,))):
        body, dropped = sent(thinking, *last, context_management=edits)
        assert (body["thinking"], body["context_management"], dropped) == (thinking, edits, ())


def test_native_answers_and_streams_go_through_byte_for_byte_and_are_counted() -> None:
    call = native({"messages": HI, "stream": True})
    body = json.dumps(message([{"type": "text", "text": "hello"}]), indent=1).encode()
    assert MESSAGES.parse(body, call, target()) == Answer(body, "claude-x", Usage(5, 3), "stop", 5, "anthropic", None)
    data = stream(text("hel", "lo"))
    got = deliver(MESSAGES.feed(call, target()), data, [7, 90, 200])
    assert (got.data, got.done, got.feed.usage, got.feed.finish) == (data, True, Usage(5, 3), "stop")


# --- answers ----------------------------------------------------------------------------------------------------------


def message(content: list[dict[str, Any]], reason: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 3},
        **more,
    }


def event(type: str, **more: Any) -> bytes:
    return f"event: {type}\ndata: {json.dumps({'type': type, **more})}\n\n".encode()


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    said = [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    begin = event("content_block_start", index=index, content_block=start)
    return begin + b"".join(said) + event("content_block_stop", index=index)


def text(*pieces: str, index: int = 0) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def use(index: int, *pieces: str) -> bytes:
    start = {"type": "tool_use", "id": f"t{index}", "name": "look", "input": {}}
    return block(index, start, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def stream(*blocks: bytes, reason: str = "end_turn", usage: dict[str, Any] | None = None, **more: Any) -> bytes:
    head = message([], None, usage={"input_tokens": 5, "output_tokens": 1})
    ending = {"stop_reason": reason, "stop_sequence": None, **more}
    return b"".join(
        [
            event("message_start", message=head),
            event("ping"),
            *blocks,
            event("message_delta", delta=ending, usage=usage or {"output_tokens": 3}),
            event("message_stop"),
        ]
    )


def read(data: bytes, **more: Any) -> Delivered:
    return deliver(MESSAGES.feed(make.call(**more), target()), data)


def told(data: bytes) -> dict[str, Any]:
    """The one choice of the answer that a stream comes to."""
    feed = MESSAGES.collect(make.call(), target())
    pieces = [feed.feed(data), feed.close()]
    assert feed.answer is not None, pieces
    (choice,) = json.loads(feed.answer.body)["choices"]
    assert isinstance(choice, dict)
    return choice


def parsed(content: list[dict[str, Any]], reason: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    """The one choice of a whole answer."""
    answer = MESSAGES.parse(json.dumps(message(content, reason, **more)).encode(), make.call(), target())
    assert isinstance(answer, Answer), answer
    (choice,) = json.loads(answer.body)["choices"]
    assert isinstance(choice, dict)
    return choice


def test_a_stream_becomes_chunks() -> None:
    got = read(stream(text("Hel", "lo")), include_usage=True)
    envelope = {"id": "msg_1", "object": "chat.completion.chunk", "created": 0, "model": "claude-x"}
    beside = {"index": 0, "logprobs": None, "finish_reason": None}
    assert got.events == [
        {**envelope, "choices": [{**beside, "delta": {"role": "assistant", "content": ""}}]},
        {**envelope, "choices": [{**beside, "delta": {"content": "Hel"}}]},
        {**envelope, "choices": [{**beside, "delta": {"content": "lo"}}]},
        {
            **envelope,
            "choices": [{**beside, "delta": {}, "finish_reason": "stop", "native_finish_reason": "end_turn"}],
        },
        {
            **envelope,
            "choices": [],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 3,
                "total_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
        },
    ]
    assert got.done


def test_calls_are_numbered_from_zero_and_one_without_arguments_has_an_empty_object() -> None:
    signed = block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"})
    choice = told(stream(signed, use(1, "", '{"x":', "1}"), use(2), reason="tool_use"))
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "reasoning_content": "hm",
            "tool_calls": [called("t1", arguments='{"x":1}'), called("t2")],
        },
        "logprobs": None,
        "finish_reason": "tool_calls",
        "native_finish_reason": "tool_use",
    }


@pytest.mark.parametrize(
    ("native_reason", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "stop"),
        ("something_new", "stop"),
        ("refusal", "content_filter"),
    ],
)
def test_why_it_stopped(native_reason: str, reason: str) -> None:
    whole, streamed = (
        parsed([{"type": "text", "text": "a"}], native_reason),
        told(stream(text("a"), reason=native_reason)),
    )
    assert whole == streamed
    assert (whole["finish_reason"], whole["native_finish_reason"]) == (reason, native_reason)


def test_the_sequence_that_stopped_it_is_named() -> None:
    choice = parsed([{"type": "text", "text": "a"}], "stop_sequence", stop_sequence="END")
    assert (choice["finish_reason"], choice["stop_sequence"]) == ("stop", "END")


def test_a_refusal_says_why_where_anthropic_does() -> None:
    bare = parsed([], "refusal")
    assert (bare["message"]["content"], bare["message"]["refusal"]) == (None, "The model refused to answer.")
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    assert told(stream(reason="refusal", stop_details=details))["message"]["refusal"] == "No."


def test_what_only_anthropic_can_read_is_kept_with_the_whole_turn() -> None:
    content = [THOUGHT, SEARCH, FOUND, {"type": "text", "text": "so"}, {"type": "new", "x": 1}]
    pieces = [
        block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "signature_delta", "signature": "s"},
        ),
        block(1, {**SEARCH, "input": {}}, {"type": "input_json_delta", "partial_json": '{"query":"q"}'}),
        block(2, FOUND),
        text("s", "o", index=3),
        block(4, {"type": "new"}, {"type": "new_delta", "x": 1}),
    ]
    whole, streamed = parsed(content), told(stream(*pieces))
    assert whole == streamed
    assert whole["message"] == {
        "role": "assistant",
        "content": "so",
        "refusal": None,
        "reasoning_content": "hm",
        "extra_content": {"anthropic": {"content": content}},
    }
    late = read(stream(*pieces)).events[-2]
    assert late["choices"][0]["delta"] == {"extra_content": {"anthropic": {"content": content}}}


def test_citations_with_addresses_are_annotations() -> None:
    cited: dict[str, Any] = {
        "type": "web_search_result_location",
        "url": "https://h.test",
        "title": "T",
        "encrypted_index": "e",
    }
    paged = {"type": "page_location", "document_index": 0}
    start = {"type": "text", "text": "", "citations": []}
    deltas = [{"type": "citations_delta", "citation": one} for one in (cited, paged)]
    streamed = told(stream(text("so "), block(1, start, *deltas, {"type": "text_delta", "text": "it is"})))
    content: list[dict[str, Any]] = [
        {"type": "text", "text": "so "},
        {"type": "text", "text": "it is", "citations": [cited, paged]},
    ]
    assert streamed == parsed(content)
    url = {"url": "https://h.test", "title": "T", "start_index": 3, "end_index": 8}
    assert streamed["message"]["annotations"] == [{"type": "url_citation", "url_citation": url}]
    assert streamed["message"]["extra_content"] == {"anthropic": {"content": content}}


def test_the_input_of_the_tool_that_we_forced_is_the_text() -> None:
    start = {"type": "tool_use", "id": "t", "name": ANSWER, "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"city"', ':"Rome"}')]
    streamed = told(stream(block(0, start, *deltas), reason="tool_use"))
    assert streamed == {
        "index": 0,
        "message": {"role": "assistant", "content": '{"city":"Rome"}', "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
        "native_finish_reason": "tool_use",
    }
    assert streamed == parsed([{**start, "input": {"city": "Rome"}}], "tool_use")


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"input_tokens": 5, "output_tokens": 3}, Usage(5, 3)),
        (
            {
                "input_tokens": 5,
                "cache_read_input_tokens": 7,
                "cache_creation_input_tokens": 11,
                "output_tokens": 30,
                "output_tokens_details": {"thinking_tokens": 20},
            },
            Usage(23, 30, cached_input=7, cache_write=11, reasoning=20),
        ),
        (
            {
                "input_tokens": 5,
                "cache_creation_input_tokens": 11,
                "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 9},
                "output_tokens": 3,
            },
            Usage(16, 3, cache_write=11, cache_write_1h=9),
        ),
        ({"input_tokens": 5, "cache_creation": 7, "output_tokens": 3}, Usage(5, 3)),
        (
            {
                "input_tokens": 5,
                "output_tokens": 3,
                "iterations": [
                    {"type": "compaction", "input_tokens": 100, "output_tokens": 10},
                    {"type": "message", "input_tokens": 5, "output_tokens": 3},
                ],
            },
            Usage(105, 13),
        ),
        ({"input_tokens": 5, "cache_read_input_tokens": None, "output_tokens": 3}, Usage(5, 3)),
    ],
)
def test_usage_in_our_words(said: dict[str, Any], usage: Usage) -> None:
    answer = MESSAGES.parse(json.dumps(message([], usage=said)).encode(), make.call(), target())
    assert isinstance(answer, Answer)
    assert answer.usage == usage
    assert read(stream(usage=said)).feed.usage == usage


def test_usage_may_come_more_than_once_and_the_last_counts() -> None:
    more = event("message_delta", delta={}, usage={"output_tokens": 2, "cache_read_input_tokens": 4})
    assert read(stream(text("a"), more)).feed.usage == Usage(9, 3, cached_input=4)


def test_a_message_that_is_said_to_begin_twice_is_one_and_what_follows_its_end_is_anothers() -> None:
    head = event("message_start", message=message([], None))
    once = read(stream(text("a")))
    assert read(head + stream(text("a")) + stream(text("b"))).data == once.data


# --- faults -----------------------------------------------------------------------------------------------------------


def test_an_error_as_the_first_event_is_a_failure_before_any_content() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    got = read(event("error", error=error))
    assert (got.data, got.failure) == (b"", Failure("overloaded", "Overloaded", type="overloaded_error", in_band=True))


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("overloaded_error", "overloaded"),
        ("api_error", "overloaded"),
        ("timeout_error", "overloaded"),
        ("rate_limit_error", "rate"),
        ("authentication_error", "auth"),
        ("permission_error", "auth"),
        ("billing_error", "quota"),
        ("invalid_request_error", "client"),
        ("not_found_error", "client"),
        ("request_too_large", "client"),
        ("some_new_error", "overloaded"),
    ],
)
def test_an_error_amid_a_stream_is_what_it_says_and_what_came_before_it_goes_out(type: str, kind: str) -> None:
    begun = stream(text("Hello")).split(b"event: message_delta")[0]
    got = read(begun + event("error", error={"type": type, "message": "m"}))
    assert got.text == "Hello"
    assert got.failure == Failure(kind, "m", type=type, in_band=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (529, {"type": "overloaded_error", "message": "Overloaded"}, "overloaded"),
        (500, {"type": "api_error", "message": "Internal server error"}, "overloaded"),
        (504, {"type": "timeout_error", "message": "Request timed out"}, "overloaded"),
        (413, {"type": "request_too_large", "message": "Request exceeds the maximum size"}, "client"),
        (400, {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 5 maximum"}, "context"),
        (
            400,
            {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API"},
            "quota",
        ),
        (
            400,
            {
                "type": "invalid_request_error",
                "message": "You have reached your specified API usage limits. You will regain access on 2026-12-01.",
            },
            "quota",
        ),
        (400, {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}, "filter"),
        (400, {"type": "invalid_request_error", "message": "max_tokens: must be at least 1"}, "client"),
        (402, {"type": "billing_error", "message": "m"}, "quota"),
        (429, {"type": "rate_limit_error", "message": "m"}, "rate"),
        (403, {"type": "permission_error", "message": "m"}, "auth"),
    ],
)
def test_what_a_status_means(status: int, body: dict[str, Any], kind: str) -> None:
    raw = json.dumps({"type": "error", "error": body, "request_id": "req_1"}).encode()
    assert MESSAGES.fault(status, (), raw, target()) == Failure(
        kind,  # type: ignore[arg-type]
        body["message"],
        status=status,
        type=body["type"],
    )


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "garbage"),
        (b"<html>", "garbage"),
        (b"[]", "garbage"),
        (b"{}", "garbage"),
        (json.dumps(message([{"type": "text", "text": "a"}], None)).encode(), "truncated"),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}', "overloaded"),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(body: bytes, kind: str) -> None:
    failure = MESSAGES.parse(body, make.call(), target())
    assert isinstance(failure, Failure)
    assert failure.kind == kind


def test_a_stream_without_message_stop_is_truncated_and_one_that_cannot_be_read_is_garbage() -> None:
    data = stream(text("Hello"))
    failure = read(data.removesuffix(event("message_stop"))).failure
    assert failure is not None
    assert failure.kind == "truncated"
    failure = read(b"data: {oops\n\n" + data).failure
    assert failure is not None
    assert failure.kind == "garbage"


def test_json_where_a_stream_was_asked_for_is_read() -> None:
    body = json.dumps(message([{"type": "text", "text": "hello"}])).encode()
    assert (read(body).text, read(body).done) == ("hello", True)
    failure = read(b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}').failure
    assert failure is not None
    assert failure.kind == "overloaded"


odd = st.recursive(
    st.none() | st.integers(-1, 2) | st.text(max_size=4) | st.sampled_from(["text", "tool_use", "thinking"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "index", "id", "name", "input", "citations", "usage", "stop_reason"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
odd_events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "new",
            ]
        )
    },
    optional={"index": odd, "message": odd, "content_block": odd, "delta": odd, "usage": odd},
)


@given(st.lists(odd_events, max_size=6), odd)
def test_no_event_and_no_answer_is_too_odd_to_be_read_or_refused(events: list[dict[str, Any]], body: Any) -> None:
    data = b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in events)
    got = read(data)
    assert got.done != (got.failure is not None)
    answer = MESSAGES.parse(json.dumps(message(body)).encode(), make.call(), target())
    assert isinstance(answer, Answer | Failure)
