"""Any one member of an answer may be anything: it stays an answer, for clients of every dialect, or is a failure.

Read next: test_tongues.py, for answers that are none at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gateway.dialects.anthropic_answer import message
from gateway.dialects.anthropic_events import Events
from gateway.errors import Failure
from gateway.providers.protocol import Answer
from gateway.providers.registry import ROWS, protocol_of
from gateway.types import Account, Deployment
from tests import make
from tests.providers.streams import deliver

ODD: list[Any] = [None, True, -1, 1.5, "x", [], [1], [[]], {}, {"a": 1}]
SIGNED = {"google": {"thought_signature": "s"}}
CITED = [{"type": "web", "url": "https://u.test", "title": "t"}]
TOLD = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "hi", "citations": CITED}]
CALLED = {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}, "caller": {"type": "direct"}}
SEARCHED = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
SPENT = {"input_tokens": 5, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 1}}
ANTHROPIC = {
    "id": "msg",
    "type": "message",
    "role": "assistant",
    "model": "c",
    "content": [*TOLD, CALLED, SEARCHED, {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}],
    "stop_reason": "refusal",
    "stop_sequence": "END",
    "stop_details": {"explanation": "x"},
    "usage": {**SPENT, "cache_read_input_tokens": 1, "iterations": [{"type": "compaction", "input_tokens": 1}]},
}
GROUNDED = {
    "groundingChunks": [{"web": {"uri": "https://u.test", "title": "t"}}],
    "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 1, "text": "h"}, "groundingChunkIndices": [0]}],
}
PARTS: list[Any] = [
    {"text": "hm", "thought": True},
    {"text": "hi", "thoughtSignature": "s"},
    {"functionCall": {"name": "look", "args": {"a": 1}, "id": "x"}, "thoughtSignature": "s"},
    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    {"executableCode": {"code": "1"}},
]
GEMINI = {
    "candidates": [
        {
            "content": {"role": "model", "parts": PARTS},
            "finishReason": "STOP",
            "index": 0,
            "groundingMetadata": GROUNDED,
            "citationMetadata": {"citationSources": [{"uri": "https://u.test", "startIndex": 0, "endIndex": 1}]},
        }
    ],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
    "modelVersion": "gemini",
    "responseId": "r",
}
BLOCKS: list[Any] = [
    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
    {"reasoningContent": {"redactedContent": "AAAA"}},
    {"text": "hi"},
    {"citationsContent": {"content": [{"text": "c"}], "citations": [{"location": {"web": {"url": "u"}}}]}},
    {"toolUse": {"toolUseId": "t", "name": "look", "input": {"a": 1}}},
]
BEDROCK = {
    "output": {"message": {"role": "assistant", "content": BLOCKS}},
    "stopReason": "tool_use",
    "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7, "cacheReadInputTokens": 1},
    "additionalModelResponseFields": {"delta": {"stop_sequence": "x"}},
}
SAID: dict[str, Any] = {
    "role": "assistant",
    "content": "hi",
    "refusal": None,
    "reasoning_content": "hm",
    "images": [{"type": "image_url", "image_url": {"url": "data:x"}}],
    "extra_content": {**SIGNED, "anthropic": {"content": TOLD}},
    "tool_calls": [
        {
            "id": "t",
            "type": "function",
            "function": {"name": "look", "arguments": "{}"},
            "extra_content": SIGNED,
        }
    ],
}
CHOICE = {
    "index": 0,
    "finish_reason": "tool_calls",
    "native_finish_reason": "x",
    "stop_sequence": "x",
    "logprobs": None,
}
OPENAI = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{**CHOICE, "message": SAID}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
CALL = {"index": 0, **SAID["tool_calls"][0]}
CHUNK = {
    **OPENAI,
    "object": "chat.completion.chunk",
    "choices": [{**CHOICE, "delta": {**SAID, "tool_calls": [CALL]}}],
}
STREAMED: list[Any] = [
    {"type": "message_start", "message": {**ANTHROPIC, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": TOLD[1]},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": CITED[0]}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": "x"}, "usage": SPENT},
    {"type": "message_stop"},
]
WHOLE = {"anthropic": ANTHROPIC, "gemini": GEMINI, "bedrock": BEDROCK, "openai": OPENAI}
STREAMS: dict[str, list[Any]] = {"anthropic": STREAMED, "gemini": [GEMINI], "openai": [{}, CHUNK]}


def oddities(body: Any) -> Iterator[Any]:
    """The body, with each of its members in turn as everything that it should not be, and without it."""
    yield from ODD
    if isinstance(body, dict):
        for name, value in body.items():
            yield {other: known for other, known in body.items() if other != name}
            yield from ({**body, name: odd} for odd in oddities(value))
    elif isinstance(body, list):
        for place, value in enumerate(body):
            yield from ([*body[:place], odd, *body[place + 1 :]] for odd in oddities(value))


def deployment(kind: str) -> Deployment:
    return Deployment("d", Account(name="acc", kind=kind, base_url=ROWS[kind].base_url or "https://example.test"), "m")


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_answer_with_an_odd_member_is_an_answer_or_a_failure(kind: str) -> None:
    protocol, call, asked = protocol_of(kind), make.call(), deployment(kind)
    assert isinstance(protocol.parse(json.dumps(WHOLE[kind]).encode(), call, asked), Answer)
    for body in oddities(WHOLE[kind]):
        answer = protocol.parse(json.dumps(body).encode(), call, asked)
        if isinstance(answer, Answer):
            told = message(msgspec.json.decode(answer.body), id="1", usage=answer.usage)
            assert all(isinstance(block, dict) for block in told["content"])
        else:
            assert isinstance(answer, Failure)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_with_an_odd_member_goes_on_or_is_a_failure(kind: str) -> None:
    protocol, call, asked = protocol_of(kind), make.call(fields={"stream": True}), deployment(kind)
    for events in oddities(STREAMS[kind]):
        if isinstance(events, list):
            data = b"".join([b"data: %b\n\n" % json.dumps(event).encode() for event in events])
            got = deliver(protocol.feed(call, asked), data)
            assert got.done is (got.failure is None)
            assert Events("1").feed(got.data) is not None
            deliver(protocol.collect(call, asked), data)
