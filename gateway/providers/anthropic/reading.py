"""Answers and streams of the Messages protocol, read off the wire and told to a Tally.

Read next: events.py, for what comes often; said.py, for what is told of it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.errors import Failure
from gateway.providers.anthropic.events import (
    EVENT,
    BlockStarted,
    BlockStopped,
    Changed,
    Grown,
    Json,
    Signature,
    Started,
    Stopped,
    Text,
    Thinking,
)
from gateway.providers.anthropic.said import UNNAMED, Said
from gateway.providers.members import text_in
from gateway.providers.mended import whole_number
from gateway.providers.shapes import UNREADABLE
from gateway.providers.sse import LARGE_EVENT, Splitter
from gateway.providers.tally import Tally
from gateway.reliability.failures import classify
from gateway.reliability.said import said

__all__ = ["Reader", "whole"]


#: Events that have a part of a block, by the member that it is in.
BLOCKS: Final = {"content_block_start": "content_block", "content_block_delta": "delta"}
#: Deltas that are known, by the member that is their text.
DELTAS: Final = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}


class Reader:
    """One stream. ``over`` once Anthropic has said that the message stops; what comes after that is another's."""

    __slots__ = ("_said", "_splitter", "over")

    def __init__(self) -> None:
        self.over = False
        self._splitter = Splitter(LARGE_EVENT)
        self._said: Said | None = None

    def __repr__(self) -> str:
        return f"a stream of Messages, {'over' if self.over else 'open'}"

    def read(self, data: bytes, out: Tally) -> Failure | None:
        """Take bytes, cut anywhere, and tell ``out`` what came. Raises EventTooLarge."""
        return self._told(self._splitter.feed(data), out)

    def close(self, out: Tally) -> Failure | None:
        """The provider closed: half an event at the end is a cut."""
        failure = self._told([event for event in self._splitter.close() if is_object(event)], out)
        if failure is not None or self.over:
            return failure
        if self._said is None and is_object(rest := self._splitter.rest):
            # A body of JSON where a stream was asked for.
            return whole(rest, out)
        return Failure(kind="truncated", message="the stream ended before message_stop came")

    def _told(self, events: list[bytes], out: Tally) -> Failure | None:
        if not events or self.over:
            return None
        answer = self._said
        if answer is None:
            answer = self._said = Said(out)
        for event in events:
            try:
                known = EVENT.decode(event)
            except UNREADABLE:
                failure = self._loose(event, answer)
                if failure is not None:
                    return failure
                continue
            if type(known) is Grown:
                grow(answer, known)
            elif type(known) is BlockStarted:
                answer.begin(known.index, known.content_block)
            elif type(known) is BlockStopped:
                answer.end(known.index)
            elif type(known) is Started:
                start(answer, known.message, out)
            elif type(known) is Changed:
                change(answer, known)
            elif type(known) is Stopped:
                return self._stop(answer)
        return None

    def _loose(self, event: bytes, answer: Said) -> Failure | None:
        """An event that has no type here, or not the members that it should have."""
        try:
            body = msgspec.json.decode(event)
        except UNREADABLE:
            return Failure(kind="garbage", message="an event of the stream is not JSON")
        if not isinstance(body, dict):
            return None
        if body.get("type") == "error" or isinstance(body.get("error"), dict):
            return classify(None, (), said(body), in_band=True)
        kind = text_in(body, "type")
        if kind == "message_delta":
            delta, usage = body.get("delta"), body.get("usage")
            told = delta if isinstance(delta, dict) else {}
            change(answer, Changed(told, usage if isinstance(usage, dict) else None))
        elif kind in BLOCKS and not take(answer, kind, body):
            return Failure(kind="garbage", message=f"a {kind} of the stream cannot be read, and what it said is lost")
        return None

    def _stop(self, answer: Said) -> Failure | None:
        self.over = True
        if not answer.ended:
            return Failure(kind="truncated", message="message_stop came without a stop_reason")
        return None


def grow(answer: Said, event: Grown) -> None:
    delta = event.delta
    if type(delta) is Text:
        answer.text(answer.block(event.index, "text"), delta.text)
    elif type(delta) is Json:
        answer.json(answer.block(event.index, UNNAMED), delta.partial_json)
    elif type(delta) is Thinking:
        answer.thinking(answer.block(event.index, "thinking"), delta.thinking)
    elif type(delta) is Signature:
        answer.sign(answer.block(event.index, "thinking"), delta.signature)


def take(answer: Said, kind: str, event: dict[str, Any]) -> bool:
    """An event of a block, in whatever types its members came; False when it cannot be told what it says of which."""
    index = whole_number(event.get("index"))
    inner = event.get(BLOCKS[kind])
    if index is None or not isinstance(inner, dict):
        return False
    if kind == "content_block_start":
        answer.begin(index, inner)
        return True
    piece = DELTAS.get(str(inner.get("type")))
    if piece is None:
        answer.other(answer.block(index, UNNAMED), inner)
        return True
    text = inner.get(piece)
    if isinstance(text, str):
        grow(answer, msgspec.convert({"index": index, "delta": inner}, Grown))
    return text is None or isinstance(text, str)


def start(answer: Said, message: dict[str, Any], out: Tally) -> None:
    """The head of a message. Its count of output is only the beginning of one: it is told with the next."""
    out.begin(text_in(message, "id"), text_in(message, "model") or None)
    usage = message.get("usage")
    answer.count(usage if isinstance(usage, dict) else None)


def change(answer: Said, event: Changed) -> None:
    """Usage comes cumulated, sometimes more than once, and with the last the reason why it stopped."""
    answer.count(event.usage)
    if event.usage is not None:
        answer.tell_usage()
    if isinstance(reason := event.delta.get("stop_reason"), str):
        answer.finish(reason, event.delta)


def whole(body: bytes, out: Tally) -> Failure | None:
    """Read a whole answer and tell it to ``out``; a body that is none, or is not complete, is a Failure."""
    try:
        message = msgspec.json.decode(body)
    except UNREADABLE:
        return Failure(kind="garbage", message="the answer is not JSON")
    if isinstance(message, dict) and (message.get("type") == "error" or message.get("error")):
        return classify(None, (), said(message), in_band=True)
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return Failure(kind="garbage", message="the answer has no content")
    answer = Said(out)
    start(answer, message, out)
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            return Failure(kind="garbage", message="the answer has a block that is none")
        answer.begin(index, block)
        answer.end(index)
    if not isinstance(reason := message.get("stop_reason"), str):
        return Failure(kind="truncated", message="the answer has no stop_reason")
    answer.tell_usage()
    answer.finish(reason, message)
    return None


def is_object(data: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(data), dict)
    except UNREADABLE:
        return False
