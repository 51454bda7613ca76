"""A stream read for a client that asked for JSON: nothing goes out until the answer is whole.

Read next: stream.py, whose rules hold here too; joined.py, which puts the chunks together; streamable.py, for which
requests this is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.errors import Failure
from gateway.providers.joined import Joined
from gateway.providers.protocol import Answer, Piece
from gateway.providers.repairs import fitted
from gateway.providers.rows import Row
from gateway.providers.shapes import UNREADABLE, Whole, answer_of
from gateway.providers.stream import Stream
from gateway.types import Call, Deployment

__all__ = ["BLANK", "MAX_ANSWER", "Gather"]

#: Bytes of everything that one answer may take on the wire. No honest one of text comes near.
MAX_ANSWER: Final = 64 * 1024 * 1024

#: What may stand before JSON.
BLANK: Final = b" \t\r\n"


class Gather(Stream):
    """A stream that becomes one answer. Implements protocol.Collect.

    A body that begins like a JSON object is no stream, and ``parse`` reads it as it reads every other answer.
    """

    __slots__ = ("_joined", "_parse", "_plain", "_size", "answer")

    def __init__(
        self, row: Row, call: Call, deployment: Deployment, parse: Callable[[bytes], Answer | Failure]
    ) -> None:
        self._joined = Joined()
        super().__init__(row, replace(call, include_usage=True), deployment, self._joined.take)
        self.answer: Answer | None = None
        self._parse = parse
        self._plain: bytearray | None = None
        self._size = 0

    @property
    def complete(self) -> bool:
        """Whether every choice that was begun has finished: only usage can still come."""
        return self.answer is not None or super().complete

    def feed(self, data: bytes) -> Piece:
        """Take bytes, cut anywhere. The piece that is ``done`` comes with the answer."""
        if self._over:
            return Piece()
        if not self._size:
            data = data.lstrip(BLANK)
            self._plain = bytearray() if data.startswith(b"{") else None
        self._size += len(data)
        if self._size > MAX_ANSWER:
            return self._garbage(f"the answer is larger than {MAX_ANSWER} bytes")
        if self._plain is not None:
            self._plain += data
            return Piece()
        try:
            return self._with_answer(super().feed(data))
        except UNREADABLE as error:
            return self._garbage(f"a chunk of the stream cannot be read: {error}")

    def close(self) -> Piece:
        """The provider closed: the answer, or why there is none."""
        if self._over:
            return Piece()
        if self._plain is not None:
            return self._read_plain(bytes(self._plain))
        try:
            return self._with_answer(super().close())
        except UNREADABLE as error:
            return self._garbage(f"a chunk of the stream cannot be read: {error}")

    def _read_plain(self, body: bytes) -> Piece:
        """JSON where a stream was asked for: some servers answer whole, whatever they are asked for."""
        self._over = True
        answer = self._parse(body)
        if isinstance(answer, Failure):
            return Piece(failure=answer)
        self.answer, self.model, self.usage = answer, answer.model, answer.usage
        self.finish, self.output_bytes = answer.finish, answer.output_bytes
        return Piece(content=answer.output_bytes > 0, done=True)

    def _with_answer(self, piece: Piece) -> Piece:
        if not piece.done:
            return piece
        answer = self._whole()
        if isinstance(answer, Failure):
            return Piece(content=piece.content, failure=answer)
        self.answer = answer
        return piece

    def _garbage(self, message: str) -> Piece:
        return self._failed([], False, Failure(kind="garbage", message=message))

    def _whole(self) -> Answer | Failure:
        """The chunks as one answer, repaired as an answer of this provider would be."""
        body = self._joined.body()
        self._row.repairs.apply(body)
        try:
            whole, _ = fitted(body, self._row.repairs, Whole)
        except msgspec.ValidationError as error:
            return Failure(kind="garbage", message=f"the chunks of the stream make no whole answer: {error}")
        return answer_of(msgspec.json.encode(body), whole)
