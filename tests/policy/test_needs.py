"""What a request needs, who can do it, and what a client is told when nobody can."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.policy.decide import decide
from gateway.policy.eligible import is_capable
from gateway.policy.explain import sentence
from gateway.refusal import NEEDS, nothing_can
from gateway.types import Reason, Snapshot
from tests.make import asked, call, deployment, policy, world

CALM = Snapshot(at=0.0)
DATA = "data:image/png;base64,AAAA"


def says(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x"}, {"role": role, "content": list(parts)}]}


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, ""),
        ({"n": 2}, "choices"),
        ({"n": 1, "logprobs": False}, ""),
        ({"logprobs": True, "top_logprobs": 2}, "logprobs"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}}, "audio_output"),
        ({"web_search_options": {}}, "web_search"),
        ({"response_format": {"type": "text"}}, ""),
        ({"response_format": {"type": "json_object"}}, "json_object"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "json_schema"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tools": [{"function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools custom_tools"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools server_tools:anthropic"),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, "tools server_tools:anthropic"),
        ({"tools": [{"google_search": {}}]}, "tools server_tools:google"),
        ({"tools": [{"type": "web_search"}]}, "tools server_tools:openai"),
        (says({"type": "image_url", "image_url": {"url": DATA}}), "vision"),
        (says({"type": "image_url", "image_url": {"url": DATA}}, role="tool"), "vision"),
        (says({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}), "audio"),
        (says({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA"}}), "video"),
        (says({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}}), "documents"),
        (says({"type": "file", "file": {"file_data": "data:x"}}, role="tool"), "documents"),
        (says({"type": "file", "file": {"file_id": "file-1"}}), "documents file_ids"),
        (says({"type": "file", "file": None}), "documents"),
    ],
)
def test_what_a_request_asks_for_is_what_it_needs(fields: dict[str, Any], needs: str) -> None:
    found = asked(call(fields=fields)).features.needs
    assert found == set(needs.split())
    assert found <= NEEDS.keys()


TWO = call(fields={"web_search_options": {}, "logprobs": True})


def test_who_cannot_do_it_or_cannot_say_it_is_not_eligible() -> None:
    rule = policy("x")
    mute = deployment("mute", cannot=frozenset({"web_search", "audio"}))
    weak = deployment("weak", capabilities=frozenset({"web_search"}))
    both = deployment("both", capabilities=frozenset({"web_search"}), cannot=frozenset({"web_search"}))
    free = deployment("free")
    able = deployment("able", capabilities=frozenset({"web_search", "logprobs"}))
    assert [is_capable(who, asked(TWO), rule) for who in (mute, weak, both, free, able)] == [
        Reason("cannot", ("web_search", "web_search")),
        Reason("cannot", ("logprobs",)),
        Reason("cannot", ("logprobs, web_search", "web_search")),
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("logprobs, tools",), "its capabilities leave out logprobs, tools"),
        (("audio, logprobs", "audio, logprobs"), "its provider's protocol has no words for audio, logprobs"),
        (
            ("audio, logprobs, tools", "logprobs"),
            "its provider's protocol has no words for logprobs and its capabilities leave out audio, tools",
        ),
    ],
)
def test_the_reason_tells_what_the_configuration_can_correct_from_what_it_cannot(
    args: tuple[str, ...], said: str
) -> None:
    assert sentence(Reason("cannot", args)) == said


def test_several_choices_rule_out_nobody() -> None:
    lone = deployment("lone", capabilities=frozenset(), cannot=frozenset({"choices"}))
    assert is_capable(lone, asked(call(fields={"n": 2})), policy("lone")) is None


def test_to_ask_for_an_effort_rules_out_nobody() -> None:
    plain = deployment("plain", capabilities=frozenset({"tools"}), thinking="none")
    assert is_capable(plain, asked(call(fields={"reasoning_effort": "high"})), policy("plain")) is None


def refusal(what: Any, *able: frozenset[str], window: int | None = None) -> BadRequest:
    pool = [deployment(f"d{n}", capabilities=can, context_window=window) for n, can in enumerate(able)]
    error = nothing_can(decide(asked(what), world(*pool), CALM), what, CALM)
    assert isinstance(error, BadRequest)
    return error


def test_the_client_is_told_what_is_missing_and_which_member_asks_for_it() -> None:
    error = refusal(TWO, frozenset({"logprobs"}), frozenset())
    assert (error.code, error.param) == ("unsupported_request", "web_search_options")
    assert error.message == "No deployment of 'auto' can do what this request needs: web search."


def test_where_each_lacks_something_else_all_of_it_is_told() -> None:
    error = refusal(TWO, frozenset({"logprobs"}), frozenset({"web_search"}))
    assert (error.code, error.param) == ("unsupported_request", "logprobs")
    assert error.message.endswith("needs: logprobs and web search.")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        (says({"type": "image_url", "image_url": {"url": DATA}}), "messages"),
    ],
)
def test_the_param_of_the_refusal_is_the_member_that_cannot_be_served(fields: dict[str, Any], param: str) -> None:
    assert refusal(call(fields=fields), frozenset({"choices", "tools"})).param == param


def test_a_request_that_is_only_too_long_is_told_so() -> None:
    error = refusal(call("long " * 100), frozenset(), window=10)
    assert (error.code, error.param) == ("context_length_exceeded", "messages")
    assert error.message == "The request is longer than the context window of every deployment of 'auto'."
