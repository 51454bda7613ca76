"""An answer of Anthropic's, block by block, told to a Tally: the same for streams and for whole answers.

Read next: reading.py, which takes the blocks from the wire.

Text, thinking and calls of the client's tools have canonical members. Everything else (signatures, citations, tools
that Anthropic ran, kinds of block that are not known here) is kept as it came, and with it the whole turn, in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.providers.anthropic.forced import ANSWER
from gateway.providers.members import listed, text_in
from gateway.providers.mended import whole_number
from gateway.providers.repairs import FINISH_AS
from gateway.providers.shapes import UNREADABLE
from gateway.providers.tally import Tally
from gateway.types import Usage

__all__ = ["UNNAMED", "Block", "Said", "usage_of"]

Body = dict[str, Any]

#: A block that was not said to begin, so that nobody knows what it is.
UNNAMED: Final = "unnamed"
REFUSED: Final = "The model refused to answer."


class Block:
    """A content block as it comes. ``body`` is what is known of it but for its ``pieces`` of text or JSON.

    ``call`` is the index of the tool call that it is; ``at`` is where in the text of the answer it begins. ``open``
    until it was said to end.
    """

    __slots__ = ("at", "body", "call", "kind", "open", "pieces")

    def __init__(self, body: Body, at: int) -> None:
        self.body = body
        self.kind = str(body.get("type"))
        self.at = at
        self.call: int | None = None
        self.open = True
        self.pieces: list[str] = []

    @property
    def forced(self) -> bool:
        """Whether it is the call that we forced to get an answer of a schema."""
        return self.kind == "tool_use" and self.body.get("name") == ANSWER

    def whole(self) -> Body | None:
        """The block as it would stand in a whole answer; None when there is nothing in it."""
        joined = "".join(self.pieces)
        if self.kind in ("text", "thinking"):
            self.body[self.kind] = joined
            return self.body if joined or self.body.get("signature") else None
        if joined:
            self.body["input"] = object_in(joined)
        return self.body


class Said:
    """One answer being told. ``ended`` says that it was told how it finished."""

    __slots__ = ("_blocks", "_length", "_opaque", "_out", "_usage", "ended")

    def __init__(self, out: Tally) -> None:
        self.ended = False
        self._out = out
        self._blocks: dict[int, Block] = {}
        self._length = 0
        self._opaque = False
        self._usage: Body = {}

    @property
    def begun(self) -> bool:
        """Whether a block has begun."""
        return bool(self._blocks)

    # --- blocks -------------------------------------------------------------------------------------------------

    def begin(self, index: int, body: Body) -> Block:
        """A block begins, or comes whole."""
        block = self._blocks[index] = Block(body, self._length)
        if block.kind == "text":
            self.text(block, text_in(body, "text"))
            self._opaque |= bool(body.get("citations"))
        elif block.kind == "thinking":
            self.thinking(block, text_in(body, "thinking"))
            self._opaque |= bool(body.get("signature"))
        elif block.kind == "tool_use":
            self._call(block)
        else:
            self._opaque = True
        return block

    def block(self, index: int, kind: str) -> Block:
        """The block of this number; one that was not said to begin begins."""
        return self._blocks.get(index) or self.begin(index, {"type": kind})

    def text(self, block: Block, text: str) -> None:
        """More of a block of text."""
        block.pieces.append(text)
        self._length += len(text)
        self._out.text(text)

    def thinking(self, block: Block, text: str) -> None:
        """More of a block of thinking."""
        block.pieces.append(text)
        self._out.reasoning(text)

    def json(self, block: Block, text: str) -> None:
        """More of the input of a tool, the client's or Anthropic's own."""
        block.pieces.append(text)
        if block.call is not None:
            self._out.arguments(block.call, text)
        elif block.forced:
            self._out.text(text)

    def sign(self, block: Block, signature: str) -> None:
        """The signature of a block of thinking."""
        block.body["signature"] = text_in(block.body, "signature") + signature
        self._opaque |= bool(signature)

    def other(self, block: Block, delta: Body) -> None:
        """A delta of a kind that is rare, or not known: its members are added to those of the block."""
        self._opaque = True
        if delta.get("type") == "citations_delta":
            known = block.body.get("citations")
            block.body["citations"] = [*(known if isinstance(known, list) else ()), delta.get("citation")]
            return
        for name, value in delta.items():
            known = block.body.get(name)
            if name != "type":
                block.body[name] = known + value if isinstance(known, str) and isinstance(value, str) else value

    def end(self, index: int) -> None:
        """A block is complete."""
        block = self._blocks.get(index)
        if block is None or not block.open:
            return
        block.open = False
        if block.kind == "text":
            for citation in listed(block.body.get("citations")):
                self._cite(block, citation)
        elif block.kind == "tool_use" and not any(block.pieces):
            self.json(block, written(block.body.get("input")))

    def _call(self, block: Block) -> None:
        caller = block.body.get("caller")
        self._opaque |= isinstance(caller, dict) and caller.get("type") != "direct"
        if not block.forced:
            block.call = self._out.call(text_in(block.body, "id"), text_in(block.body, "name"))

    def _cite(self, block: Block, citation: Mapping[str, Any]) -> None:
        if isinstance(url := citation.get("url"), str):
            cited = {"url": url, "title": text_in(citation, "title"), "start_index": block.at}
            self._out.annotate({"type": "url_citation", "url_citation": {**cited, "end_index": self._length}})

    # --- the end ------------------------------------------------------------------------------------------------

    def count(self, usage: Mapping[str, Any] | None) -> None:
        """Usage so far: later figures take the place of earlier ones, and those that are not said again stay."""
        for name, value in (usage or {}).items():
            if value is not None:
                self._usage[name] = value

    def finish(self, reason: str, ending: Mapping[str, Any]) -> None:
        """The turn is over, for this reason; ``ending`` may say at which stop sequence, and why it was refused."""
        if self.ended:
            return
        self.ended = True
        for index in self._blocks:
            self.end(index)
        if reason == "refusal":
            details = ending.get("stop_details")
            explained = details.get("explanation") if isinstance(details, dict) else None
            self._out.refusal(explained if isinstance(explained, str) and explained else REFUSED)
        if self._opaque:
            self._out.keep("anthropic", self._content())
        self._out.finish(self._reason(reason), reason, text_in(ending, "stop_sequence") or None)

    def tell_usage(self) -> None:
        """Tell what is known of the usage."""
        if whole_number(self._usage.get("output_tokens")) is not None:
            self._out.used(usage_of(self._usage))

    def _reason(self, native: str) -> str:
        reason = FINISH_AS.get(native, "stop")
        if reason in ("stop", "tool_calls"):
            called = any(block.call is not None for block in self._blocks.values())
            return "tool_calls" if called else "stop"
        return reason

    def _content(self) -> list[Body]:
        whole = (block.whole() for block in self._blocks.values() if not block.forced and block.kind != UNNAMED)
        return [body for body in whole if body is not None]


def usage_of(said: Mapping[str, Any]) -> Usage:
    """Anthropic's counts in our words: its input is without what was read from or written to a cache.

    Where the context was compacted on the way, what that took stands only among the iterations.
    """
    parts: list[Mapping[str, Any]] = [said]
    parts += [part for part in listed(said.get("iterations")) if part.get("type") == "compaction"]
    read = sum(count(part, "cache_read_input_tokens") for part in parts)
    write = sum(count(part, "cache_creation_input_tokens") for part in parts)
    details, written = said.get("output_tokens_details"), [part.get("cache_creation") for part in parts]
    return Usage(
        input=sum(count(part, "input_tokens") for part in parts) + read + write,
        output=sum(count(part, "output_tokens") for part in parts),
        cached_input=read,
        cache_write=write,
        cache_write_1h=sum(count(by, "ephemeral_1h_input_tokens") for by in written if isinstance(by, dict)),
        reasoning=count(details, "thinking_tokens") if isinstance(details, dict) else 0,
    )


def count(part: Mapping[str, Any], name: str) -> int:
    return max(0, whole_number(part.get(name)) or 0)


def written(input: object) -> str:
    """A tool's input as JSON text; no input is an empty object."""
    return msgspec.json.encode(input).decode() if input else "{}"


def object_in(text: str) -> Body:
    """The object in a tool's input; text that is none (it was cut off) stands in one, as in turns.Called."""
    try:
        found = msgspec.json.decode(text)
    except UNREADABLE:
        return {"arguments": text}
    return found if isinstance(found, dict) else {"arguments": found}
