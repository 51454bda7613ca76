"""Canonical chunks as the events of a streamed Message, as they come.

Read next: anthropic_answer.py, the same for whole answers; ../api/messages.py, which sends them.

Chunks may mingle what Anthropic's events say one block after the other. A block gives way to the next when that comes;
but a tool call whose arguments are not whole yet keeps its place, and what comes between is said after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.dialects.anthropic_answer import NOTHING, foreign_in, id_of, pictures, stopped, tokens
from gateway.dialects.sealed import Sealed, sealed
from gateway.providers.shapes import Tokens, usage_of
from gateway.providers.sse import events_of
from gateway.types import Usage

__all__ = ["Events"]


class _Function(Struct, frozen=True, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int
    id: str | None = None
    function: _Function = _Function()
    extra_content: Any = None


class _Delta(Struct):
    """Members beyond OpenAI's are as a provider gave them: nobody has judged of which type they are."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    reasoning_content: Any = None
    images: Any = None
    extra_content: Any = None


class _Choice(Struct):
    index: int
    delta: _Delta
    finish_reason: str | None = None
    native_finish_reason: Any = None
    stop_sequence: Any = None


class _Chunk(Struct):
    model: str
    choices: list[_Choice]
    usage: Tokens | None = None


#: Which block: the text, the thoughts, a tool call by its number, or something sealed.
Key = str | int
TEXT: Final = "text"
THOUGHT: Final = "thinking"
SEALED: Final = "sealed"

HEADS: Final[Mapping[Key, dict[str, Any]]] = {
    TEXT: {"type": "text", "text": ""},
    THOUGHT: {"type": "thinking", "thinking": "", "signature": ""},
}
DELTAS: Final[Mapping[Key, bytes]] = {
    TEXT: b'{"type":"text_delta","text":',
    THOUGHT: b'{"type":"thinking_delta","thinking":',
}
CALL_DELTA: Final = b'{"type":"input_json_delta","partial_json":'
UNSIGNED: Final = b'{"type":"signature_delta","signature":""}'

_json: Final = msgspec.json.Encoder().encode
_chunk: Final = msgspec.json.Decoder(_Chunk).decode


class Piece(Struct):
    """More of a block; with ``head``, which a block begins with, where it may be the first."""

    key: Key
    text: str
    head: dict[str, Any] | None = None


class Events:
    """One stream."""

    __slots__ = (
        "_arguments",
        "_calls",
        "_id",
        "_index",
        "_input",
        "_last",
        "_open",
        "_out",
        "_refused",
        "_usage",
        "_waiting",
        "started",
    )

    def __init__(self, id: str) -> None:
        self.started = False
        self._id = id
        self._input = 0
        self._out: list[bytes] = []
        self._open: Key | None = None
        self._index = -1
        self._arguments = ""
        self._calls: set[int] = set()
        self._waiting: list[Piece] = []
        self._last: _Choice | None = None
        self._refused = False
        self._usage: Usage | None = None

    def __repr__(self) -> str:
        state = f"its block {self._index} is open" if self._open is not None else "no block is open"
        return f"a stream of events in Anthropic's words, {self._index + 1} blocks, {state}"

    def expect(self, input_tokens: int) -> None:
        """As many tokens of input are thought to be in it, which is told until the provider has counted them."""
        self._input = input_tokens

    def feed(self, data: bytes) -> bytes:
        """Whole events of a canonical stream; gives whole events."""
        for event in events_of(data, len(data)):
            if event.startswith(b"{"):
                self._read(_chunk(event))
        return self._taken()

    def end(self, usage: Usage | None = None) -> bytes:
        """The stream is complete: its last events. ``usage`` is what is known of its tokens beside what came in it."""
        self._start("")
        while self._waiting:
            self._close()
            self._go_on()
        self._close()
        last = self._last
        reason, sequence = stopped(
            last.finish_reason if last else None,
            last.native_finish_reason if last else None,
            last.stop_sequence if last else None,
            called=bool(self._calls),
            refused=self._refused,
        )
        counted = tokens(usage or self._usage or NOTHING)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        self._say(b"message_delta", _json({"type": "message_delta", "delta": delta, "usage": counted}))
        self._say(b"message_stop", b'{"type":"message_stop"}')
        return self._taken()

    # --- read ---------------------------------------------------------------------------------------------------

    def _read(self, chunk: _Chunk) -> None:
        self._start(chunk.model)
        if chunk.usage is not None:
            self._usage = usage_of(chunk.usage)
        for choice in chunk.choices:
            if choice.index == 0:
                self._read_delta(choice.delta)
                if choice.finish_reason is not None:
                    self._last = choice

    def _read_delta(self, delta: _Delta) -> None:
        if delta.reasoning_content and isinstance(delta.reasoning_content, str):
            self._take(Piece(THOUGHT, delta.reasoning_content))
        if delta.content:
            self._take(Piece(TEXT, delta.content))
        if delta.refusal:
            self._refused = True
            self._take(Piece(TEXT, delta.refusal))
        for picture in pictures(delta.images):
            self._take(Piece(TEXT, picture))
        for call in delta.tool_calls or ():
            self._read_call(call)
        if foreign := foreign_in(delta.extra_content):
            self._take(Piece(SEALED, "", sealed(Sealed(foreign))))

    def _read_call(self, call: _Call) -> None:
        head = None
        if call.index not in self._calls:
            self._calls.add(call.index)
            id = call.id or f"toolu_{self._id}{call.index}"
            head = {"type": "tool_use", "id": id, "name": call.function.name or "", "input": {}}
            if call.extra_content and isinstance(call.extra_content, dict):
                self._take(Piece(SEALED, "", sealed(Sealed(calls={id: call.extra_content}))))
        if head is not None or call.function.arguments:
            self._take(Piece(call.index, call.function.arguments or "", head))

    # --- one block after the other ------------------------------------------------------------------------------

    def _take(self, piece: Piece) -> None:
        """Say a piece, now or when the block that is open is whole."""
        if piece.key == self._open and piece.head is None:
            self._more(piece.text)
            if self._waiting and self._is_whole():
                self._go_on()
        elif not self._is_whole():
            self._waiting.append(piece)
        elif (head := piece.head or HEADS.get(piece.key)) is not None:
            self._close()
            self._begin(piece.key, head)
            self._more(piece.text)

    def _is_whole(self) -> bool:
        """Whether the open block may be closed: text may at any time, a call once its arguments are an object."""
        if not isinstance(self._open, int):
            return True
        try:
            return isinstance(msgspec.json.decode(self._arguments), dict)
        except (msgspec.DecodeError, RecursionError):
            return False

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for piece in waiting:
            self._take(piece)

    # --- said ---------------------------------------------------------------------------------------------------

    def _start(self, model: str) -> None:
        if self.started:
            return
        self.started = True
        usage = tokens(Usage(self._input, 0))
        message: dict[str, Any] = {
            "id": id_of(self._id),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        self._say(b"message_start", _json({"type": "message_start", "message": message}))

    def _begin(self, key: Key, head: dict[str, Any]) -> None:
        self._open = key
        self._index += 1
        self._arguments = ""
        begins = {"type": "content_block_start", "index": self._index, "content_block": head}
        self._say(b"content_block_start", _json(begins))

    def _more(self, text: str) -> None:
        if not text or self._open is None:
            return
        if isinstance(self._open, int):
            self._arguments += text
        self._delta(DELTAS.get(self._open, CALL_DELTA) + _json(text) + b"}")

    def _close(self) -> None:
        if self._open is None:
            return
        if self._open == THOUGHT:
            self._delta(UNSIGNED)
        self._say(b"content_block_stop", b'{"type":"content_block_stop","index":%d}' % self._index)
        self._open = None

    def _delta(self, delta: bytes) -> None:
        said = b'{"type":"content_block_delta","index":%d,"delta":%b}' % (self._index, delta)
        self._say(b"content_block_delta", said)

    def _say(self, name: bytes, data: bytes) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (name, data))

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out
