"""Members that nobody has judged before they are rendered: whatever a client puts there is said, or refused as its own.

Read next: test_tongues.py; ../../gateway/providers/turns.py and wishes.py, which read them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.api.body import judge
from gateway.errors import BadRequest, CannotSay
from gateway.intent import features
from gateway.providers.links import inlined, links
from gateway.providers.registry import ROWS, protocol_of
from gateway.types import Account, Deployment
from tests import make

MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "anthropic.claude-3-7-sonnet-20250219-v1:0",
    "gemini": "gemini-3-pro-preview",
    "vertex": "gemini-2.5-pro",
}
KINDS = [*sorted(kind for kind, row in ROWS.items() if row.protocol != "openai"), "mistral", "openai"]
NAMES = """
    type text thinking signature data id name input content source url tool_use_id cache_control citations args thought
    functionCall functionResponse thoughtSignature thought_signature inlineData toolUse toolResult toolUseId file_data
    reasoningContent reasoningText citationsContent file_id filename function arguments tools mode allowed_tools
    budget_tokens properties required $ref $defs definitions allOf anyOf items enum format description
    additionalProperties
    anthropic google bedrock
""".split()
WORDS = ["", "x", "{}", "[1]", "text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "file", "look"]
WORDS += ["call_1", "signalbox:e30=", "data:text/plain;base64,aGk=", "https://files.test/a.png", "#/$defs/a", "object"]

leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
anything = st.recursive(
    leaves | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
blocks = st.dictionaries(st.sampled_from(NAMES), anything, max_size=4)
turns = st.dictionaries(
    st.sampled_from(["anthropic", "google", "bedrock"]),
    st.fixed_dictionaries({"content": st.lists(blocks, max_size=3) | anything}) | anything,
    max_size=3,
)
calls = st.fixed_dictionaries(
    {"id": st.just("call_1"), "type": st.just("function"), "function": st.just({"name": "look", "arguments": "{}"})},
    optional={"extra_content": turns | anything, "cache_control": anything, "custom": anything},
)
parts = st.sampled_from(["text", "file", "image_url", "input_audio", "refusal", "anthropic", "document_url"]).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"type": st.just(kind)},
        optional={kind: blocks | anything, "cache_control": anything, "document_name": anything},
    )
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "assistant", "tool"]),
        "content": st.lists(parts, max_size=3),
    },
    optional={
        "tool_calls": st.lists(calls, max_size=2),
        **dict.fromkeys(["extra_content", "thinking_blocks"], turns | st.lists(blocks, max_size=3) | anything),
        **dict.fromkeys(["reasoning_content", "reasoning", "refusal", "is_error", "cache_control"], anything),
        **dict.fromkeys(["function_call", "annotations", "audio", "images"], blocks | anything),
    },
)
tools = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "custom", "google_search", "bash_20250124"])},
    optional={"function": blocks, "cache_control": anything, "input_schema": anything},
)
requests = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(messages, min_size=1, max_size=4)},
    optional={
        "tools": st.lists(tools, max_size=2),
        "tool_choice": st.fixed_dictionaries(
            {"type": anything}, optional={"allowed_tools": blocks, "function": anything}
        ),
        "response_format": st.fixed_dictionaries({"type": st.just("json_schema"), "json_schema": blocks}),
        "functions": st.lists(blocks, max_size=2),
        **dict.fromkeys("thinking service_tier web_search_options top_k metadata function_call".split(), anything),
        **dict.fromkeys("parallel_tool_calls safety_settings prediction audio logit_bias reasoning".split(), anything),
    },
)


@given(requests)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_forged_request_is_said_or_refused_and_never_a_crash(request: dict[str, Any]) -> None:
    body = json.dumps(request).encode()
    try:
        fields = judge(body)
    except BadRequest:
        return
    features.read(fields, len(body))
    inlined(fields, {link.url: "data:image/png;base64,AAAA" for link in links(fields)})
    call = make.call(fields=fields)
    for kind in KINDS:
        said(kind, call)
    assert json.loads(body) == call.fields


def said(kind: str, call: Any) -> None:
    account = Account(name="acc", kind=kind, base_url=ROWS[kind].base_url or "https://example.test")
    try:
        rendered = protocol_of(kind).render(call, Deployment("d", account, MODELS.get(kind, "some-model")))
    except CannotSay:
        return
    assert isinstance(json.loads(rendered.body), dict)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "assistant", "refusal": ["no"]}, "messages[].refusal"),
        ({"role": "user", "content": [{"type": "refusal", "refusal": 1}]}, "messages[].content[].refusal"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": 7}}]}, "messages[].content[].file"),
        ({"role": "assistant", "function_call": {"name": {}}}, "messages[].function_call.name"),
    ],
)
@pytest.mark.parametrize("kind", ["anthropic", "bedrock", "gemini"])
def test_what_should_be_text_and_is_none_is_refused_by_its_name(kind: str, message: dict[str, Any], param: str) -> None:
    call = make.call(fields={"messages": [{"role": "user", "content": "hi"}, message]})
    account = Account(name="acc", kind=kind, base_url="https://example.test")
    with pytest.raises(CannotSay) as refused:
        protocol_of(kind).render(call, Deployment("d", account, MODELS[kind]))
    assert refused.value.param == param


def test_a_choice_of_tools_that_is_no_list_is_refused_since_any_could_be_called_without() -> None:
    call = make.call(fields={"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": 1}}})
    account = Account(name="acc", kind="gemini", base_url="https://example.test")
    with pytest.raises(CannotSay, match="is no list"):
        protocol_of("gemini").render(call, Deployment("d", account, "gemini-2.5-pro"))
