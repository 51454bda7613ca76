"""A canonical request in Mistral's words. Its answers are in test_recordings.py."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.mistral import tool_id
from tests.providers.test_fitting import USER, asks, rendered

CALLED = {"id": "call_PTLP8xhu3uwZk4l3nlnrrJha", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def sent(*messages: Any, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rendered("mistral", asks(USER, *messages), **more)[0]["messages"]
    return found[1:]


def test_ids_of_tool_calls_are_made_mistrals_on_both_sides() -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": [CALLED]}
    told, result = sent(turn, {"role": "tool", "tool_call_id": CALLED["id"], "content": None})
    made = told["tool_calls"][0]["id"]
    assert re.fullmatch("[A-Za-z0-9]{9}", made)
    assert told == {**turn, "tool_calls": [{**CALLED, "id": made}]}
    assert result == {"role": "tool", "tool_call_id": made, "content": ""}


@given(st.text(), st.text())
def test_an_id_is_always_the_same_and_no_two_are(one: str, other: str) -> None:
    made = tool_id(one)
    assert re.fullmatch("[A-Za-z0-9]{9}", made)
    assert tool_id(made) == made
    assert (made == tool_id(other)) == (one == other or other == made or tool_id(other) == one)


def test_mistrals_own_ids_stay() -> None:
    assert tool_id("D681PevKs") == "D681PevKs"


def test_what_it_thought_goes_back_as_a_part_of_what_it_said() -> None:
    turn = {"role": "assistant", "content": "144", "reasoning_content": "12 * 12"}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "12 * 12"}], "closed": True}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "144"}]}
    assert sent(turn, USER, thinking="level") == [said, USER]
    assert sent({**turn, "content": None}, USER)[0]["content"] == [thought]
    assert sent(turn, USER, thinking="none") == [{"role": "assistant", "content": "144"}, USER]


def test_an_answer_that_is_to_be_gone_on_with_is_marked() -> None:
    beginning = {"role": "assistant", "content": "Once"}
    assert sent(beginning) == [{**beginning, "prefix": True}]
    assert sent(beginning, USER) == [beginning, USER]


def test_members_that_mistral_refuses_are_left_out() -> None:
    turn = {"role": "assistant", "content": "x", "name": "me", "refusal": "no", "weird": 1}
    body, dropped = rendered("mistral", asks({**USER, "name": "ann"}, turn, USER, user="u", store=False, seed=1))
    assert body == {"messages": [USER, {"role": "assistant", "content": "x"}, USER], "random_seed": 1}
    assert dropped == ("user", "messages[].name")


def test_a_prediction_is_one_text_and_what_only_openai_knows_is_left_out() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    asked = asks(prediction={"type": "content", "content": parts}, audio={"voice": "x"}, moderation={"model": "m"})
    body, dropped = rendered("mistral", asked)
    assert body["prediction"] == {"type": "content", "content": "ab"}
    assert dropped == ("audio", "moderation")
    assert sent() == []


def test_parts_have_mistrals_names() -> None:
    content = [
        {"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "https://x/a.pdf"}},
        {"type": "file", "file": {"file_id": "f-1"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "document_url", "document_url": "https://x/b.pdf"},
    ]
    assert sent({"role": "user", "content": content})[0]["content"] == [
        *content[:2],
        {"type": "document_url", "document_url": "data:application/pdf;base64,AA", "document_name": "a.pdf"},
        {"type": "document_url", "document_url": "https://x/a.pdf"},
        {"type": "file", "file_id": "f-1"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        content[6],
    ]


def test_tools_have_parameters_and_choices_have_mistrals_words() -> None:
    one, two = ({"type": "function", "function": {"name": name}} for name in ("one", "two"))
    full = {"type": "function", "function": {"name": "one", "parameters": {"type": "object", "properties": {}}}}
    body, _ = rendered("mistral", asks(tools=[one], tool_choice="required", parallel_tool_calls=False))
    assert (body["tools"], body["tool_choice"], body["parallel_tool_calls"]) == ([full], "any", False)
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [one]}}
    body, _ = rendered("mistral", asks(tools=[one, two], tool_choice=allowed))
    assert (body["tools"], body["tool_choice"]) == ([full], "any")


def test_a_request_in_which_nothing_is_said_is_mistrals_to_refuse() -> None:
    assert rendered("mistral", {"messages": []})[0]["messages"] == []


def test_an_empty_list_of_stops_is_none() -> None:
    assert rendered("mistral", asks(stop=[]))[0] == asks()
