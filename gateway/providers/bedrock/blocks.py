"""An answer of Converse, block by block, told to a Tally: the same for streams and for whole answers.

Read next: reading.py, which takes the blocks from the wire. Source: ContentBlock and ContentBlockDelta in the
Amazon Bedrock Runtime API reference.

Text, reasoning and calls of the client's tools have canonical members. What has none (signatures, redacted reasoning,
citations, tools that the provider ran) is kept, and with it the whole turn in order, since the model wants it back.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.providers.anthropic.forced import ANSWER
from gateway.providers.bedrock.frames import Garbled
from gateway.providers.bedrock.words import DIALECT, SERVER_TOOL, Body
from gateway.providers.members import inner, listed, text_in
from gateway.providers.mended import whole_number
from gateway.providers.repairs import FINISH_AS
from gateway.providers.shapes import UNREADABLE
from gateway.providers.tally import Tally
from gateway.types import Usage

__all__ = ["Answer", "usage_of"]


class Block:
    """A content block as it comes.

    ``kind`` is the member that it is in a whole answer, ``body`` what is known of it but for its ``pieces`` of text or
    JSON. ``call`` is the index of the tool call that it is; ``at`` is where in the text of the answer it begins.
    """

    __slots__ = ("at", "body", "call", "kind", "pieces")

    def __init__(self, kind: str, at: int) -> None:
        self.kind = kind
        self.body: Body = {}
        self.at = at
        self.call: int | None = None
        self.pieces: list[str] = []

    @property
    def forced(self) -> bool:
        """Whether it is the call that we forced to get an answer of a schema."""
        return self.kind == "toolUse" and self.body.get("name") == ANSWER

    def whole(self) -> Body | None:
        """The block as Converse takes it back; None when there is nothing in it that it would take."""
        joined = "".join(self.pieces)
        if self.kind == "text" or self.forced:
            return {"text": joined} if joined.strip() else None
        if self.kind == "toolUse":
            return {"toolUse": {**self.body, "input": object_in(joined)}}
        if self.kind == "citationsContent":
            content = {"content": [{"text": joined}]} if joined else {}
            return {self.kind: {**content, **self.body}}
        if self.kind == "reasoningContent" and "redactedContent" not in self.body:
            return {self.kind: {"reasoningText": {"text": joined, **self.body}}}
        return None if self.kind == "image" else {self.kind: self.body}


class Answer:
    """One answer being told. ``ended`` says that it was told how it finished."""

    __slots__ = ("_blocks", "_called", "_length", "_opaque", "_out", "ended")

    def __init__(self, out: Tally) -> None:
        self.ended = False
        self._out = out
        self._blocks: dict[int, Block] = {}
        self._called = False
        self._length = 0
        self._opaque = False

    # --- a block that comes whole -------------------------------------------------------------------------------

    def take(self, index: int, said: Body) -> None:
        """A whole block of an answer that is not streamed."""
        if isinstance(text := said.get("text"), str):
            self._text(index, text)
        elif isinstance(tool := said.get("toolUse"), dict):
            self._tool(index, tool)
            self._input(index, written(tool.get("input")))
        elif isinstance(thought := said.get("reasoningContent"), dict):
            self._reasoning(index, {**thought, **inner(thought, "reasoningText")})
        elif isinstance(cited := said.get("citationsContent"), dict):
            self._cited(index, cited)
        elif isinstance(image := said.get("image"), dict):
            self._picture(text_in(image, "format"), [text_in(inner(image, "source"), "bytes")])
        elif isinstance(result := said.get("toolResult"), dict):
            self._keep(index, "toolResult").body |= result
        else:
            self._unknown(index, said)
        self.end(index)

    def _cited(self, index: int, said: Body) -> None:
        """Text with its citations; either may be missing."""
        block = self._keep(index, "citationsContent")
        for piece in listed(said.get("content")):
            self._text(index, text_in(piece, "text"))
        block.body["citations"] = listed(said.get("citations"))

    # --- a block that comes in pieces ---------------------------------------------------------------------------

    def begin(self, index: int, start: Body) -> None:
        """A block begins. Those of text and reasoning often do not say so."""
        if isinstance(tool := start.get("toolUse"), dict):
            self._tool(index, tool)
        elif isinstance(result := start.get("toolResult"), dict):
            self._keep(index, "toolResult").body |= {**result, "content": []}
        elif isinstance(image := start.get("image"), dict):
            self._blocks[index] = Block("image", self._length)
            self._blocks[index].body |= image

    def grow(self, index: int, delta: Body) -> None:
        """More of a block. Raises Garbled for input of a tool that was never called."""
        if isinstance(text := delta.get("text"), str):
            self._text(index, text)
        elif isinstance(tool := delta.get("toolUse"), dict):
            self._input(index, text_in(tool, "input"))
        elif isinstance(thought := delta.get("reasoningContent"), dict):
            self._reasoning(index, thought)
        elif isinstance(citation := delta.get("citation"), dict):
            block = self._keep(index, "citationsContent")
            block.body.setdefault("citations", []).append(citation)
        elif isinstance(results := delta.get("toolResult"), list):
            self._keep(index, "toolResult").body.setdefault("content", []).extend(results)
        elif isinstance(image := delta.get("image"), dict) and index in self._blocks:
            self._blocks[index].pieces.append(text_in(inner(image, "source"), "bytes"))
        else:
            self._unknown(index, delta)

    def end(self, index: int) -> None:
        """A block is complete: what is said of its text can be told."""
        block = self._blocks.get(index)
        if block is not None and block.kind == "citationsContent":
            for citation in listed(block.body.get("citations")):
                self._cite(block, citation)
        elif block is not None and block.kind == "image":
            self._picture(text_in(block.body, "format"), block.pieces)

    # --- what is said -------------------------------------------------------------------------------------------

    def _block(self, index: int, kind: str) -> Block:
        if index not in self._blocks:
            self._blocks[index] = Block(kind, self._length)
        return self._blocks[index]

    def _keep(self, index: int, kind: str) -> Block:
        """A block that only its provider understands. Text of it may have come before it was known to be one."""
        self._opaque = True
        block = self._block(index, kind)
        block.kind = kind
        return block

    def _unknown(self, index: int, said: Body) -> None:
        """A block of a kind that is not known here, or more of one: kept, so that the client can see that it is."""
        for kind, value in said.items():
            if isinstance(value, dict) and value:
                self._keep(index, kind).body |= value
                return

    def _text(self, index: int, text: str) -> None:
        block = self._block(index, "text")
        if block.kind != "toolUse":
            block.pieces.append(text)
        self._length += len(text)
        self._out.text(text)

    def _reasoning(self, index: int, said: Body) -> None:
        block = self._keep(index, "reasoningContent")
        for name in ("signature", "redactedContent"):
            if piece := text_in(said, name):
                block.body[name] = text_in(block.body, name) + piece
        text = text_in(said, "text")
        block.pieces.append(text)
        self._out.reasoning(text)

    def _tool(self, index: int, said: Body) -> None:
        """A tool is called: the client's, ours, or one that the provider runs and the client never hears of."""
        block = self._block(index, "toolUse")
        block.body = {name: text_in(said, name) for name in ("toolUseId", "name")}
        if said.get("type") == SERVER_TOOL:
            block.body["type"] = SERVER_TOOL
            self._opaque = True
        elif not block.forced:
            block.call = self._out.call(block.body["toolUseId"], block.body["name"])
            self._called = True

    def _input(self, index: int, text: str) -> None:
        block = self._blocks.get(index)
        if block is None or block.kind != "toolUse":
            raise Garbled("the input of a tool came, and no call of one")
        block.pieces.append(text)
        if block.forced:
            self._length += len(text)
            self._out.text(text)
        elif block.call is not None:
            self._out.arguments(block.call, text)

    def _cite(self, block: Block, citation: Body) -> None:
        """A citation with an address is canonical. Of a document it is only kept, for the provider."""
        web = inner(inner(citation, "location"), "web")
        if url := text_in(web, "url"):
            title = text_in(citation, "title") or text_in(web, "domain")
            place = {"start_index": block.at, "end_index": block.at + sum(map(len, block.pieces))}
            self._out.annotate({"type": "url_citation", "url_citation": {**place, "url": url, "title": title}})

    def _picture(self, form: str, pieces: list[str]) -> None:
        """A picture. It is not kept: Converse takes none in a turn of the assistant's."""
        try:
            data = b"".join([base64.b64decode(piece, validate=True) for piece in pieces])
        except binascii.Error:
            raise Garbled("a picture in the answer is not base64") from None
        if data:
            self._out.image(f"data:image/{form or 'png'};base64,{base64.b64encode(data).decode()}")

    def finish(self, native: str, more: Body) -> None:
        """The message is complete, for this reason. ``more`` are the members that were asked for beside it."""
        self.ended = True
        if self._opaque:
            self._out.keep(DIALECT, list(self._kept()))
        reason = FINISH_AS.get(native.lower(), "stop")
        if native in ("end_turn", "tool_use"):
            # The word does not count when the calls say otherwise: some models end their turn with calls, and of
            # one that calls nothing but our own tool the client is to hear only the text.
            reason = "tool_calls" if self._called else "stop"
        stopped_by = text_in(more, "stop_sequence") or text_in(inner(more, "delta"), "stop_sequence")
        self._out.finish(reason, native or None, stopped_by or None)

    def _kept(self) -> Iterator[Body]:
        for _, block in sorted(self._blocks.items()):
            if (whole := block.whole()) is not None:
                yield whole


def written(value: Any) -> str:
    """The input of a tool as JSON text."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode({} if value is None else value).decode()


def object_in(text: str) -> Body:
    """The input of a tool as an object; of text that is none, as it stands in turns.Called."""
    try:
        value = msgspec.json.decode(text or "{}")
    except UNREADABLE:
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}


def usage_of(said: Mapping[str, Any]) -> Usage:
    """Tokens in our words. Bedrock counts those from and for the cache apart: totalTokens is the sum of all four."""
    cached, new = count(said, "cacheReadInputTokens"), count(said, "cacheWriteInputTokens")
    details = said.get("cacheDetails")
    written = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []
    return Usage(
        input=count(said, "inputTokens") + cached + new,
        output=count(said, "outputTokens"),
        cached_input=cached,
        cache_write=new,
        cache_write_1h=sum(count(part, "inputTokens") for part in written if part.get("ttl") == "1h"),
    )


def count(said: Mapping[str, Any], name: str) -> int:
    return max(0, whole_number(said.get(name)) or 0)
