"""Every recorded answer and stream of Anthropic's Messages, told in canonical words: valid, whole, the same at any cut.

Read next: test_anthropic.py, what is said of each rule by itself.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import Failure
from gateway.providers.protocol import Answer
from gateway.providers.registry import protocol_of
from gateway.types import Call
from tests import make
from tests.providers.streams import deliver
from tests.recordings import Recording, events, invalid, load, quoted

MESSAGES = protocol_of("anthropic")
TARGET = make.deployment("claude-sonnet-4-5")
#: Streams of at most this many bytes are cut at every place.
SHORT = 4096
#: Where bodies are Messages, and the kinds of block that canonical members say whole, signatures and citations aside.
SPOKEN = ("messages", "rawPredict", "streamRawPredict", "invoke")
PLAIN = ("text", "thinking", "tool_use")


def call(**more: Any) -> Call:
    return make.call(include_usage=True, **more)


def recorded(status: int = 200) -> Iterator[Recording]:
    """Whatever speaks Messages: at Anthropic itself, at Vertex and at Bedrock."""
    for provider in ("anthropic", "vertex", "bedrock"):
        for one in load(provider, api=None):
            claude = provider != "bedrock" or ("claude-instant" not in one.path and "claude" in one.path)
            spoken = one.api in SPOKEN and claude and not one.body.startswith(b'{"completion"')
            if one.status == status and spoken:
                yield one


def message_of(one: Recording) -> dict[str, Any]:
    """The message that a recording comes to, read in the plainest way there is; of several, the first."""
    if not one.stream:
        found: dict[str, Any] = json.loads(one.body)
        return found
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    for event in events(one.body):
        kind, index = event["type"], event.get("index", -1)
        if kind == "message_start":
            message = dict(event["message"])
        elif kind == "content_block_start":
            blocks[index] = dict(event["content_block"])
        elif kind == "content_block_delta":
            add(blocks[index], event["delta"])
        elif kind == "message_delta":
            message |= event["delta"]
            message["usage"] = message["usage"] | {k: v for k, v in event["usage"].items() if v is not None}
        elif kind == "message_stop":
            break
    for block in blocks.values():
        if "json" in block:
            block["input"] = json.loads(block.pop("json") or "{}")
    return {**message, "content": list(blocks.values())}


def add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if delta["type"] == "input_json_delta":
        block["json"] = block.get("json", "") + delta["partial_json"]
    elif delta["type"] == "citations_delta":
        block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
    else:
        name = next(name for name in delta if name != "type")
        block[name] = (block.get(name) or "") + delta[name]


def answered(one: Recording) -> Answer:
    """The canonical answer, whichever way it was recorded."""
    answer: Answer | Failure | None
    if not one.stream:
        answer = MESSAGES.parse(one.body, call(), TARGET)
    else:
        feed = MESSAGES.collect(call(), TARGET)
        ends = [feed.feed(one.body), feed.close()]
        failure = next((piece.failure for piece in ends if piece.failure), None)
        answer = failure or feed.answer
    assert isinstance(answer, Answer), f"{one.id}: {answer}"
    return answer


def test_every_recorded_answer_is_told_valid_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for one in recorded():
        said, body = message_of(one), json.loads(answered(one).body)
        assert not invalid(body), one.id
        (choice,) = body["choices"]
        message = choice["message"]
        texts = "".join(block["text"] for block in said["content"] if block["type"] == "text")
        assert (message["content"] or "") == texts, one.id
        thoughts = "".join(block["thinking"] for block in said["content"] if block["type"] == "thinking")
        assert message.get("reasoning_content", "") == thoughts, one.id
        assert [
            (tool["id"], tool["function"]["name"], json.loads(tool["function"]["arguments"]))
            for tool in message.get("tool_calls", ())
        ] == [(b["id"], b["name"], b["input"]) for b in said["content"] if b["type"] == "tool_use"], one.id
        assert choice["native_finish_reason"] == said["stop_reason"], one.id
        counts["stream" if one.stream else "answer"] += 1
    with capsys.disabled():
        print("\ntold:", dict(counts))


def test_what_canonical_members_cannot_say_is_kept_and_goes_back_as_it_came() -> None:
    kept = 0
    for one in recorded():
        said, body = message_of(one), json.loads(answered(one).body)
        message = body["choices"][0]["message"]
        content = [block for block in said["content"] if block["type"] != "text" or block["text"]]
        opaque = any(
            block["type"] not in PLAIN
            or block.get("signature")
            or block.get("citations")
            or block.get("caller", {"type": "direct"})["type"] != "direct"
            for block in content
        )
        assert ("extra_content" in message) == opaque, one.id
        if opaque:
            assert message["extra_content"] == {"anthropic": {"content": content}}, one.id
            turns = [{"role": "user", "content": "hi"}, message, {"role": "user", "content": "go on"}]
            sent = json.loads(MESSAGES.render(make.call(fields={"messages": turns}), TARGET).body)
            assert sent["messages"][1]["content"] == [b for b in content if b["type"] != "text" or b["text"].strip()]
            kept += 1
    assert kept > 50


def test_usage_is_what_was_reported_with_the_cached_tokens_in_the_input() -> None:
    for one in recorded():
        said = message_of(one).get("usage")
        usage = answered(one).usage
        if not said:
            assert usage is None, one.id
            continue
        assert usage is not None
        read, write = said.get("cache_read_input_tokens") or 0, said.get("cache_creation_input_tokens") or 0
        if "iterations" in said:
            assert usage.input >= said["input_tokens"] + read + write
            continue
        assert (usage.input, usage.output) == (said["input_tokens"] + read + write, said["output_tokens"]), one.id
        assert (usage.cached_input, usage.cache_write) == (read, write), one.id
        details = said.get("output_tokens_details") or {}
        assert usage.reasoning == details.get("thinking_tokens", 0), one.id


def test_every_recorded_stream_makes_valid_chunks_that_are_the_same_at_every_cut() -> None:
    dice = random.Random(20261127)
    for one in recorded():
        if not one.stream:
            continue
        whole = deliver(MESSAGES.feed(call(), TARGET), one.body)
        assert whole.done, f"{one.id}: {whole.failure}"
        assert not [fault for chunk in whole.events for fault in invalid(chunk)], one.id
        size = len(one.body)
        places = range(1, size, 7 if size <= SHORT else max(size // 9, 1))
        for cut in places:
            cuts = [cut] if size <= SHORT else sorted(dice.randrange(size) for _ in range(6))
            assert deliver(MESSAGES.feed(call(), TARGET), one.body, cuts).data == whole.data, (one.id, cuts)


def test_short_streams_are_the_same_at_every_single_cut() -> None:
    found = sorted((one for one in recorded() if one.stream), key=lambda one: len(one.body))[:6]
    for one in found:
        whole = deliver(MESSAGES.feed(call(), TARGET), one.body)
        for cut in range(len(one.body)):
            assert deliver(MESSAGES.feed(call(), TARGET), one.body, [cut]).data == whole.data, (one.id, cut)


def test_a_recorded_stream_that_is_cut_short_is_truncated() -> None:
    dice = random.Random(20261128)
    for one in recorded():
        if one.stream:
            end = one.body.index(b'"message_stop"')
            cut = one.body[: dice.randrange(end - len("event: message_stop data: {'type': "))]
            failure = deliver(MESSAGES.feed(call(), TARGET), cut).failure
            assert failure is not None, one.id
            assert failure.kind == "truncated", one.id


def test_recorded_errors_become_failures_with_a_message() -> None:
    kinds: Counter[tuple[int, str]] = Counter()
    for status in (400, 401, 404, 413, 422, 429, 500, 529):
        for one in recorded(status):
            if one.provider == "anthropic":
                failure = MESSAGES.fault(status, one.headers, one.body, TARGET)
                assert not failure.message.startswith("the provider answered"), one.id
                kinds[status, failure.kind] += 1
    assert kinds == {(400, "client"): 2, (400, "context"): 1, (401, "auth"): 4, (404, "client"): 1}


def test_quoted_errors_become_the_failures_that_they_are() -> None:
    meant = {"overloaded": "overloaded", "rate_limit": "rate", "context_length": "context", "quota": "quota"}
    for said in quoted():
        if said["provider"] != "anthropic" or said["class"] not in meant:
            continue
        body = said["response_body"].encode()
        if said["mid_stream"]:
            failure = deliver(MESSAGES.feed(call(), TARGET), body).failure
            assert failure is not None
            assert failure.in_band
        else:
            headers = tuple((k.encode(), v.encode()) for k, v in said["response_headers"].items())
            failure = MESSAGES.fault(said["status"], headers, body, TARGET)
        assert failure.kind == meant[said["class"]], said["id"]
