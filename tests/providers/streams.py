"""Streams and answers made up for tests, in OpenAI's own shape. Read next: test_contract.py."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from gateway.errors import Failure
from gateway.providers.protocol import Feed, Piece

ENVELOPE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "m-2026",
}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **more: Any
) -> dict[str, Any]:
    """One chunk with one choice."""
    return {**ENVELOPE, "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **more}


def usage_chunk(**more: Any) -> dict[str, Any]:
    """The last chunk of a stream whose client asked for usage."""
    return {**ENVELOPE, "choices": [], "usage": USAGE, **more}


def sse(*events: object, done: bool = True, end: str = "\n") -> bytes:
    """The bytes of a stream. An event that is text stands as it is."""
    lines = [event if isinstance(event, str) else f"data: {json.dumps(event, ensure_ascii=False)}" for event in events]
    if done:
        lines.append("data: [DONE]")
    return "".join(line + end + end for line in lines).encode()


def answer(message: dict[str, Any] | None = None, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A whole answer with one choice, valid and complete."""
    content = {"role": "assistant", "content": "Hello there", "refusal": None, **(message or {})}
    return {
        **ENVELOPE,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": content, "logprobs": None, "finish_reason": finish}],
        "usage": USAGE,
        **more,
    }


class Delivered:
    """What came of feeding a stream: every event, and how it ended."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.data = b""
        self.done = False
        self.failure: Failure | None = None
        self.first: bytes | None = None

    def take(self, piece: Piece) -> None:
        assert not (self.done or self.failure) or piece == Piece(), "nothing comes after the end"
        if piece.content and self.first is None:
            self.first = piece.data
        self.data += piece.data
        self.done |= piece.done
        self.failure = self.failure or piece.failure

    @property
    def events(self) -> list[dict[str, Any]]:
        assert self.data == b"" or self.data.endswith(b"\n\n")
        return [json.loads(event.removeprefix(b"data: ")) for event in self.data.split(b"\n\n") if event]

    @property
    def text(self) -> str:
        deltas = [choice["delta"] for event in self.events for choice in event["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas)


def deliver(feed: Feed, data: bytes, cuts: list[int] | None = None) -> Delivered:
    """Feed a stream cut at these places, and close it."""
    delivered = Delivered(feed)
    places = [0, *(cuts or []), len(data)]
    for start, end in pairwise(places):
        delivered.take(feed.feed(data[start:end]))
    delivered.take(feed.close())
    return delivered
