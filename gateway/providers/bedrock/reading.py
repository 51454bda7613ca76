"""Answers, streams and errors of Converse, read off the wire and told to a Tally.

Read next: frames.py, what streams are made of; blocks.py, for what is told. Source: Converse and ConverseStream in the
Amazon Bedrock Runtime API reference.

The trace of a guardrail is not told to anybody: it quotes what the guardrail took out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gateway.errors import Failure
from gateway.providers.bedrock.blocks import Answer, usage_of
from gateway.providers.bedrock.frames import Frame, Frames, Garbled
from gateway.providers.bedrock.words import Body
from gateway.providers.members import inner, listed, text_in
from gateway.providers.mended import whole_number
from gateway.providers.protocol import Headers
from gateway.providers.shapes import UNREADABLE
from gateway.providers.tally import Tally
from gateway.reliability.failures import classify
from gateway.reliability.said import Said, read

__all__ = ["Reader", "fault", "whole"]

#: Of these the code that clients are told is ours: it is the same whichever provider found out.
OUR_CODE: Final = frozenset({"context", "filter"})


class Reader:
    """One stream. The usage comes after the message has stopped, so it is ``over`` when both have come.

    Implements foreign.Reader.
    """

    __slots__ = ("_answer", "_counted", "_frames", "over")

    def __init__(self) -> None:
        self.over = False
        self._answer: Answer | None = None
        self._counted = False
        self._frames = Frames()

    def __repr__(self) -> str:
        state = "over" if self.over else "stopped, without usage" if self._stopped else "open"
        return f"a stream of Converse, {state}, with {self._frames!r}"

    @property
    def _stopped(self) -> bool:
        return self._answer is not None and self._answer.ended

    def read(self, data: bytes, out: Tally) -> Failure | None:
        """Take bytes, cut anywhere, and tell ``out`` what came."""
        try:
            for frame in self._frames.feed(data):
                failure = None if self.over else self._take(frame, out)
                if failure is not None:
                    return failure
        except Garbled as error:
            return Failure(kind="garbage", message=str(error))
        return None

    def close(self, out: Tally) -> Failure | None:
        """The provider closed: complete when the message had stopped, with or without usage."""
        if self._stopped:
            return None
        return Failure(kind="truncated", message="the stream ended before messageStop came")

    def _take(self, frame: Frame, out: Tally) -> Failure | None:
        """One frame. Raises Garbled."""
        kind = frame.said(":message-type")
        if kind == "event":
            self._event(frame.said(":event-type"), object_of(frame.payload), out)
            return None
        if self._stopped:
            # What goes wrong after the answer was said takes nothing from it but its usage.
            self.over = True
            return None
        if kind in ("exception", "error"):
            return thrown(frame)
        raise Garbled(f"a frame of the stream is of the type {kind[:40]!r}, which is none")

    def _event(self, kind: str, said: Body, out: Tally) -> None:
        answer = self._answer = self._answer or Answer(out)
        if kind == "metadata":
            if usage := inner(said, "usage"):
                out.used(usage_of(usage))
            self._counted = True
        elif not answer.ended:
            tell(answer, kind, said)
        self.over = self._counted and answer.ended


def tell(answer: Answer, kind: str, said: Body) -> None:
    """What an event says of the message. Kinds that are not known say nothing. Raises Garbled for half a block."""
    if kind == "messageStop":
        answer.finish(text_in(said, "stopReason"), inner(said, "additionalModelResponseFields"))
        return
    if not kind.startswith("contentBlock"):
        return
    index = whole_number(said.get("contentBlockIndex"))
    if index is None:
        raise Garbled(f"a {kind} does not say of which block it is")
    if kind == "contentBlockDelta":
        answer.grow(index, inner(said, "delta"))
    elif kind == "contentBlockStart":
        answer.begin(index, inner(said, "start"))
    elif kind == "contentBlockStop":
        answer.end(index)


def object_of(data: bytes) -> Body:
    """The JSON object that a frame carries. Raises Garbled."""
    try:
        value = msgspec.json.decode(data)
    except UNREADABLE as error:
        raise Garbled(f"what a frame of the stream carries is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Garbled("what a frame of the stream carries is no JSON object")
    return value


def thrown(frame: Frame) -> Failure:
    """The failure that a frame is: a modelled exception, with a body, or an error that is all in its headers."""
    name = frame.said(":exception-type") or frame.said(":error-code")
    return named(classify(None, (), worded(frame.payload, name, frame.said(":error-message")), in_band=True), name)


def whole(body: bytes, out: Tally) -> Failure | None:
    """Read a whole answer and tell it to ``out``; a body that is none, or is not complete, is a Failure."""
    try:
        return told(object_of(body), body, out)
    except Garbled as error:
        cut = "truncated" in str(error)
        return Failure(kind="truncated" if cut else "garbage", message=f"the answer cannot be read: {error}")


def told(said: Body, body: bytes, out: Tally) -> Failure | None:
    message = inner(said, "output").get("message")
    if not isinstance(message, dict):
        if text_in(said, "message") or text_in(said, "Message"):
            return classify(None, (), worded(body, ""), in_band=True)
        return Failure(kind="garbage", message="the answer has no message")
    answer = Answer(out)
    for index, block in enumerate(listed(message.get("content"))):
        answer.take(index, block)
    if not (reason := text_in(said, "stopReason")):
        return Failure(kind="truncated", message="the answer has no stopReason")
    if usage := inner(said, "usage"):
        out.used(usage_of(usage))
    answer.finish(reason, inner(said, "additionalModelResponseFields"))
    return None


def fault(status: int, headers: Headers, body: bytes) -> Failure:
    """What a status outside 2xx means: x-amzn-errortype names it, or the body does."""
    named_in_head = next((value for name, value in headers if name.lower() == b"x-amzn-errortype"), b"")
    name = named_in_head.decode("latin-1").split(":")[0]
    said = worded(body, name)
    return named(classify(status, headers, said), said.labels[0] if said.labels else "")


def named(failure: Failure, name: str) -> Failure:
    return replace(failure, code=name or None) if failure.kind not in OUR_CODE else failure


def worded(body: bytes, name: str, otherwise: str = "") -> Said:
    """An error of AWS: ``{"message"}`` or ``{"Message"}``, its name outside or, with a namespace, in ``__type``."""
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE:
        value = None
    if not isinstance(value, dict):
        return replace(read(body), labels=(name,) if name else ()) if not otherwise else Said(otherwise, labels=(name,))
    name = name or type_of(value)
    message = text_in(value, "message") or text_in(value, "Message") or otherwise
    # A day's limit is no rate: to wait a moment does not help.
    labels = (name, "QuotaExceeded") if "per day" in message.lower() else (name,)
    return Said(message, labels=tuple(filter(None, labels)))


def type_of(value: Mapping[str, Any]) -> str:
    return text_in(value, "__type").rpartition("#")[2]
