"""Which requests for JSON may be served from a stream. Read next: test_gather.py."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.providers.streamable import streamable
from tests import make

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": False, "stream_options": None, "n": 1, "logprobs": False, "modalities": ["text"], "audio": None},
        {"tools": [FUNCTION, {"type": "custom", "custom": {"name": "g"}}, {"function": {"name": "h"}}]},
        {"tools": None, "tool_choice": "auto", "parallel_tool_calls": True, "functions": [{"name": "f"}]},
        {"response_format": {"type": "json_object"}, "reasoning_effort": "low", "max_completion_tokens": 9, "seed": 1},
    ],
)
def test_what_a_stream_says_as_well_can_be_streamed(fields: dict[str, Any]) -> None:
    assert streamable(make.call(fields=fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 0},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"modalities": ["text", "audio"]},
        {"web_search_options": {}},
        {"tools": [FUNCTION, {"type": "web_search"}]},
        {"search_parameters": {"mode": "auto"}},
        {"plugins": [{"id": "web"}]},
        {"moderation": {"model": "omni-moderation-latest"}},
        {"stream_options": {"include_usage": True}},
        {"deferred": True},
        {"x_unknown": 0},
    ],
)
def test_what_only_a_whole_answer_says_or_nobody_knows_cannot(fields: dict[str, Any]) -> None:
    assert not streamable(make.call(fields=fields))
