"""One stream of chunks being read: what is whole, what it came to, and whether it is complete.

Read next: openai.py, which makes one for each stream; repairs.py, for the chunks that do not pass as they are;
gather.py, which makes one answer of a stream instead of passing it on.

A chunk that the gate (shapes.CHUNK) takes goes on byte for byte. Three rules hold for every provider: each choice
finishes once; usage comes once, last, and only to those who asked; a stream has one ``id``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.errors import Failure
from gateway.providers import mended
from gateway.providers.mended import whole_number
from gateway.providers.numbering import Numbering
from gateway.providers.protocol import Piece, SoFar
from gateway.providers.repairs import Body, calls, fitted
from gateway.providers.rows import Row
from gateway.providers.shapes import CHUNK, UNREADABLE, Chunk, Tokens, content_of, usage_of
from gateway.providers.sofar import Words
from gateway.providers.sse import EventTooLarge, Splitter
from gateway.reliability.failures import classify
from gateway.reliability.said import said
from gateway.types import Call, Deployment, Usage

__all__ = ["Sink", "Stream", "as_stream", "framed"]

DONE: Final = b"[DONE]"
BEFORE: Final = b"data: "
AFTER: Final = b"\n\n"
BETWEEN: Final = AFTER + BEFORE
MAX_HELD: Final = 16
#: What becomes of accepted chunks: it takes their JSON in order and gives the bytes for the client.
Sink = Callable[[list[bytes]], bytes]

ENVELOPE: Final = ("id", "object", "created", "model", "service_tier", "system_fingerprint")


class Stream:
    """A stream as the client will see it. Implements protocol.Feed.

    ``complete`` says that every choice that was begun has its finish reason: nothing but usage can still come.
    A provider that errs in one chunk errs in the next: after a repair the gate is not asked until a chunk needed none.
    ``skipped`` counts events that are no JSON objects, left out. A chunk that cannot be read may have held a part of
    the text, so that nothing that comes after it makes the answer whole. ``sink`` takes every chunk that goes out.
    """

    __slots__ = (
        "_begun",
        "_call",
        "_created",
        "_deployment",
        "_finished",
        "_held",
        "_id",
        "_numbering",
        "_over",
        "_rough",
        "_row",
        "_sink",
        "_splitter",
        "_tail",
        "_words",
        "finish",
        "model",
        "output_bytes",
        "skipped",
        "usage",
    )

    dialect: Final = "openai"
    kept: Final = None

    def __init__(self, row: Row, call: Call, deployment: Deployment, sink: Sink | None = None) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finish: str | None = None
        self.output_bytes = 0
        self.skipped = 0
        self._row = row
        self._call = call
        self._deployment = deployment
        self._sink = sink or framed
        self._splitter = Splitter()
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._numbering = Numbering(f"call_{call.id}")
        self._words = Words()
        self._held: list[Body] = []
        self._id = ""
        self._created = 0
        self._tail: Body | None = None
        self._over = False
        self._rough = False

    @property
    def complete(self) -> bool:
        """Whether a choice was begun and every one that was has finished."""
        return bool(self._finished) and self._begun <= self._finished

    @property
    def id(self) -> str:
        """The answer's id, empty until it is known."""
        return self._id

    @property
    def so_far(self) -> SoFar | None:
        """What has been said; None when there is anything in it that another answer could not go on from."""
        return self._words.so_far()

    def __repr__(self) -> str:
        state = "complete" if self.complete else "open"
        return f"a stream of {self.model or 'no model yet'}, {self.output_bytes} bytes of text, {state}"

    def feed(self, data: bytes) -> Piece:
        """Take bytes, cut anywhere; give whole events for the client."""
        if self._over:
            return Piece()
        try:
            return self._read(self._splitter.feed(data))
        except EventTooLarge as error:
            return self._failed([], False, Failure(kind="garbage", message=str(error)))

    def close(self) -> Piece:
        """The provider closed: the rest, and a ``truncated`` failure when the answer was not complete."""
        if self._over:
            return Piece()
        # Half an event at the end is a cut, not a chunk that cannot be read.
        piece = self._read([event for event in self._splitter.close() if event.startswith(DONE) or decoded(event)])
        if piece.done or piece.failure is not None:
            return piece
        if not self._begun and (body := decoded(self._splitter.rest)) is not None:
            piece = self._read([msgspec.json.encode(as_chunk(body))])
            if piece.failure is not None:
                return piece
        end = self._ended([], piece.content, "the stream ended before a finish reason came")
        return Piece(piece.data + end.data, end.content, end.done, end.failure)

    def _read(self, events: list[bytes]) -> Piece:
        out: list[bytes] = []
        content = False
        for event in events:
            if event.startswith(DONE):
                return self._ended(out, content, "the stream said [DONE] before a finish reason came", by_done=True)
            chunk = None if self._rough else self._valid(event)
            if chunk is not None:
                content |= self._note(chunk)
                out.append(event)
                continue
            result = self._repair(event)
            if isinstance(result, Failure):
                return self._failed(out, content, result)
            if result is not None:
                content |= self._note(result[0])
                out += result[1]
        return Piece(self._sink(out), content)

    def _valid(self, event: bytes) -> Chunk | None:
        """The chunk in an event that can go on as it is."""
        try:
            chunk = CHUNK.decode(event)
        except UNREADABLE:
            return None
        sound = b"\n" not in event and (event.isascii() or is_utf8(event))
        return chunk if sound and self._is_plain(chunk) else None

    def _is_plain(self, chunk: Chunk) -> bool:
        """Whether a valid chunk also keeps the rules that a schema cannot say."""
        if chunk.usage is not None or not (chunk.id and chunk.model) or self._held:
            return False
        if chunk.x_groq is not None and chunk.x_groq.usage is not None:
            return False
        for choice in chunk.choices:
            delta = choice.delta
            if choice.usage is not None:
                return False
            if choice.finish_reason is not None and choice.index in self._finished:
                return False
            if delta.reasoning_content is None and (delta.reasoning is not None or delta.reasoning_details):
                return False
            if delta.tool_calls and not self._numbering.is_plain(choice.index, delta.tool_calls):
                return False
            if choice.logprobs is not None and choice.logprobs.content is None and choice.logprobs.refusal is None:
                return False
        return True

    def _note(self, chunk: Chunk) -> bool:
        """Count a chunk that goes out; say whether it holds content."""
        if not self.model:
            self.model, self._id, self._created = chunk.model or None, chunk.id, chunk.created
        content = False
        for choice in chunk.choices:
            size = content_of(choice.delta)
            if size is not None:
                content = True
                self.output_bytes += size
                self._words.take(choice)
            if choice.delta.tool_calls:
                self._numbering.note(choice.index, choice.delta.tool_calls)
            self._begun.add(choice.index)
            if choice.finish_reason is not None:
                self._finished.add(choice.index)
                if self.finish is None or choice.index == 0:
                    self.finish = choice.finish_reason
        return content

    def _repair(self, event: bytes) -> Failure | tuple[Chunk, list[bytes]] | None:
        """An event that did not pass: the failure it is, or the chunk it becomes and the bytes to send, or nothing."""
        body = decoded(event)
        if body is None:
            if event.lstrip().startswith(b"{") and not self.complete:
                return Failure(kind="garbage", message="a chunk of the stream cannot be read, and what it said is lost")
            self.skipped += bool(event.strip())
            return None
        failure = fault_in(body)
        if failure is not None:
            return failure
        changed = self._row.chunk_repairs.apply(body)
        for choice in body.get("choices") or ():
            changed |= self._finish_once(choice)
            changed |= self._number_tools(choice)
        if not (body.get("id") and body.get("model")):
            changed = True
            if not self._identify(body):
                self._hold(body)
                return None
        changed |= self._take_usage(body)
        self._rough = changed
        return self._converted(body, None if changed else event)

    def _converted(self, body: Body, event: bytes | None) -> Failure | tuple[Chunk, list[bytes]] | None:
        """A repaired body as a chunk; ``event`` are its bytes when nothing had to change."""
        try:
            chunk, surprised = fitted(body, self._row.chunk_repairs, Chunk)
        except msgspec.ValidationError as error:
            return Failure(kind="garbage", message=f"a chunk of the stream is not one: {error}")
        if not self._id:
            self._id, self._created, self.model = chunk.id, chunk.created, chunk.model
        out = [valid for held in self._held if self._identify(held) and (valid := self._made_valid(held))]
        self._held.clear()
        if body is not self._tail:
            out.append(msgspec.json.encode(body) if surprised or event is None or b"\n" in event else event)
        return chunk, out

    def _made_valid(self, body: Body) -> bytes:
        """The bytes of a chunk that holds no content; nothing where it cannot be made valid."""
        try:
            fitted(body, self._row.chunk_repairs, Chunk)
        except msgspec.ValidationError:
            self.skipped += 1
            return b""
        return msgspec.json.encode(body)

    def _hold(self, body: Body) -> None:
        """Keep a chunk that has no ``id`` and no content until the stream has one; a few come first at most."""
        if len(self._held) < MAX_HELD and isinstance(body.get("choices"), list):
            self._held.append(body)
        else:
            self.skipped += 1

    def _identify(self, body: Body) -> bool:
        """Give a chunk without an ``id`` the stream's, or one of ours where there is none and content cannot wait."""
        if not (self._id or body.get("id") or body.get("choices")):
            return False
        if not self._id:
            self._id = body.get("id") or f"chatcmpl-{self._call.id}"
            self._created = body.get("created") or 0
        body["id"] = body.get("id") or self._id
        body["created"] = body.get("created") or self._created
        body["model"] = body.get("model") or self.model or self._deployment.model
        return True

    def _take_usage(self, body: Body) -> bool:
        """Usage is kept for the end. True when it was taken out of a chunk that goes out without it."""
        usage = usage_in(body)
        if usage is None:
            return False
        self.usage = counted(usage)
        alone = not body.get("choices")
        self._tail = body if alone else {name: body[name] for name in ENVELOPE if name in body}
        self._tail |= {"choices": [], "usage": usage}
        return not alone and body.pop("usage", None) is not None

    def _finish_once(self, choice: Body) -> bool:
        if not choice.get("finish_reason") or whole_number(choice.get("index")) not in self._finished:
            return False
        choice["finish_reason"] = None
        return True

    def _number_tools(self, choice: Body) -> bool:
        delta, index = choice.get("delta"), whole_number(choice.get("index"))
        found = calls(delta) if isinstance(delta, dict) else ()
        return bool(found) and index is not None and self._numbering.repair(index, found)

    def _ended(self, out: list[bytes], content: bool, why: str, *, by_done: bool = False) -> Piece:
        """The end, as the provider sees it: complete with the usage that was kept, or truncated."""
        if by_done and self._row.finish_by_done:
            out += self._finishes()
        if not self.complete:
            return self._failed(out, content, Failure(kind="truncated", message=why))
        if not self._numbering.are_named:
            return self._failed(out, content, Failure(kind="garbage", message="a tool was called without its name"))
        if self._tail is not None and self._call.include_usage and (tail := self._made_valid(self._tail)):
            out.append(tail)
        self._over = True
        return Piece(self._sink(out), content, done=True)

    def _finishes(self) -> list[bytes]:
        """The last chunk of a stream whose provider names no finish reason."""
        left = sorted(self._begun - self._finished)
        self._finished |= self._begun
        if not left:
            return []
        reason = "tool_calls" if self._numbering else "stop"
        self.finish = self.finish or reason
        last: list[Body] = [{"index": index, "delta": {}, "logprobs": None, "finish_reason": reason} for index in left]
        envelope = {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self.model}
        return [msgspec.json.encode({**envelope, "choices": last})]

    def _failed(self, out: list[bytes], content: bool, failure: Failure) -> Piece:
        self._over = True
        return Piece(self._sink(out), content, failure=failure)


def framed(events: list[bytes]) -> bytes:
    """Events as they go to the client."""
    return BEFORE + BETWEEN.join(events) + AFTER if events else b""


def decoded(event: bytes) -> Body | None:
    """The JSON object in an event, any choices in it objects too; None when there is none."""
    try:
        body = msgspec.json.decode(event) if event.isascii() or is_utf8(event) else None
    except UNREADABLE:
        return None
    return body if isinstance(body, dict) and has_choices(body) else None


def has_choices(body: Body) -> bool:
    choices = body.get("choices")
    return choices is None or (isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices))


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def as_chunk(body: Body) -> Body:
    """A plain JSON body as a stream's only chunk: some servers answer whole, whatever they are asked for."""
    choices = [dict(choice) for choice in body.get("choices") or ()]
    if not choices or not all("message" in choice for choice in choices):
        return body
    for choice in choices:
        choice["delta"] = choice.pop("message")
    return {**body, "object": "chat.completion.chunk", "choices": choices}


def as_stream(answer: bytes, *, usage: bool) -> bytes:
    """A whole valid answer as the events of a stream: one chunk with all of it, and the usage where that is wanted."""
    body = as_chunk(msgspec.json.decode(answer))
    counted = body.pop("usage", None)
    for choice in body["choices"]:
        for index, call in enumerate(calls(choice["delta"])):
            call["index"] = index
    events = [msgspec.json.encode(body)]
    if usage and counted is not None:
        events.append(msgspec.json.encode({**body, "choices": [], "usage": counted}))
    return framed(events)


def fault_in(body: Body) -> Failure | None:
    """The failure that an event or answer is, when it is an error in any of the places where errors are put."""
    choices = body.get("choices")
    for place in (body, body.get("x_groq"), *(choices or ())):
        if isinstance(place, dict) and (place.get("error") or place.get("finish_reason") == "error"):
            return classify(None, (), said({"error": place.get("error")}), in_band=True)
    if body.get("object") == "error" or (choices is None and isinstance(body.get("message"), str)):
        return classify(None, (), said(body), in_band=True)
    return None


def counted(usage: Body) -> Usage | None:
    """Usage in our words; None when its counts are not numbers."""
    try:
        return usage_of(msgspec.convert(usage, Tokens))
    except msgspec.ValidationError:
        return None


def usage_in(body: Body) -> Body | None:
    """The usage in a chunk: its own, a choice's, or the one that an extension holds."""
    for place in (body, *(body.get("choices") or ()), body.get("x_groq")):
        usage = place.get("usage") if isinstance(place, dict) else None
        if isinstance(usage, dict) and whole_number(usage.get("prompt_tokens")) is not None:
            mended.counted(usage)
            return usage
    return None
