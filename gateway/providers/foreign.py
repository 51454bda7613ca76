"""What all protocols but OpenAI's share: how answers in other words become canonical ones, or go through as they are.

Read next: tally.py, what readers tell; the packages beside this file, one for each tongue.

A Tongue knows the words of one protocol and nothing of streams, clients or rescue; Foreign makes a Protocol of it.
"""

from __future__ import annotations

import re
from typing import Final
from typing import Protocol as Interface

from gateway.errors import Failure
from gateway.providers.chunks import ChunkWriter
from gateway.providers.gather import BLANK, MAX_ANSWER
from gateway.providers.protocol import Answer, Headers, Kept, Piece, Rendered, SoFar
from gateway.providers.rows import Row
from gateway.providers.sse import LARGE_EVENT, EventTooLarge
from gateway.providers.stream import framed
from gateway.providers.tally import Tally
from gateway.providers.whole import AnswerWriter
from gateway.types import Call, Deployment, Endpoint, Secret, Usage

__all__ = ["Foreign", "Reader", "Tongue"]

#: The end of an event, whichever line ends a server writes.
BLANK_LINE: Final = re.compile(rb"\n\n|\r\n\r\n|\r\r")
TRUNCATED: Final = Failure(kind="truncated", message="the answer ended before a finish reason came")


class Reader(Interface):
    """Reads one stream. ``over``: the provider has said that this is the end of it."""

    @property
    def over(self) -> bool: ...

    def read(self, data: bytes, out: Tally) -> Failure | None:
        """Take bytes, cut anywhere, and tell what they say. A failure ends the stream. Raises EventTooLarge."""
        ...

    def close(self, out: Tally) -> Failure | None:
        """The provider closed: tell what was left."""
        ...


class Tongue(Interface):
    """The words of one protocol. See protocol.Protocol for what the verbs are for."""

    @property
    def dialect(self) -> str: ...

    def endpoint(self, deployment: Deployment, key: Secret | None, *, stream: bool) -> Endpoint: ...

    def models(self, deployment: Deployment, key: Secret | None) -> Endpoint: ...

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call: ...

    def render(self, call: Call, deployment: Deployment, *, stream: bool) -> Rendered:
        """As Protocol.render; the client's own words where the call has them in this dialect."""
        ...

    def whole(self, body: bytes, out: Tally, call: Call, deployment: Deployment) -> Failure | None:
        """Read a 2xx answer and tell it; the failure that it is when it is an error, or cannot be read."""
        ...

    def reader(self, call: Call, deployment: Deployment) -> Reader:
        """Something that reads one 2xx stream."""
        ...

    def fault(self, status: int, headers: Headers, body: bytes, deployment: Deployment) -> Failure: ...


class Foreign:
    """A Tongue as a protocol. Implements protocol.Protocol."""

    __slots__ = ("_tongue", "dialect", "row")

    def __init__(self, row: Row, tongue: Tongue) -> None:
        self.row = row
        self.dialect = tongue.dialect
        self._tongue = tongue

    def __repr__(self) -> str:
        return f"the {self.dialect} protocol as {self.row.kind} speaks it"

    @property
    def aggregates(self) -> bool:
        return self.row.aggregates

    def endpoint(self, deployment: Deployment, key: Secret | None, *, stream: bool) -> Endpoint:
        return self._tongue.endpoint(deployment, key, stream=stream)

    def models(self, deployment: Deployment, key: Secret | None) -> Endpoint:
        return self._tongue.models(deployment, key)

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        return self._tongue.resume(call, deployment, text)

    def render(self, call: Call, deployment: Deployment, *, stream: bool | None = None) -> Rendered:
        return self._tongue.render(call, deployment, stream=call.stream if stream is None else stream)

    def parse(self, body: bytes, call: Call, deployment: Deployment) -> Answer | Failure:
        if self._is_native(call):
            out = Tally(call.id)
            failure = self._read(body, out, call, deployment)
            return failure or Answer(body, out.model, out.usage, out.reason, out.output_bytes, self.dialect)
        writer = AnswerWriter(call, deployment)
        return self._read(body, writer, call, deployment) or writer.answer()

    def _read(self, body: bytes, out: Tally, call: Call, deployment: Deployment) -> Failure | None:
        failure = self._tongue.whole(body, out, call, deployment)
        return failure if failure is not None or out.complete else TRUNCATED

    def feed(self, call: Call, deployment: Deployment) -> ForeignFeed:
        reader = self._tongue.reader(call, deployment)
        if self._is_native(call):
            return NativeFeed(reader, Tally(call.id), self.dialect)
        return ChunkFeed(reader, ChunkWriter(call, deployment), include_usage=call.include_usage)

    def collect(self, call: Call, deployment: Deployment) -> ForeignCollect:
        return ForeignCollect(self, call, deployment, self._tongue.reader(call, deployment))

    def fault(self, status: int, headers: Headers, body: bytes, deployment: Deployment) -> Failure:
        return self._tongue.fault(status, headers, body, deployment)

    def _is_native(self, call: Call) -> bool:
        return call.native is not None and call.dialect == self.dialect


class ForeignFeed:
    """One stream being read by a Reader. Implements protocol.Feed, but for what its pieces hold."""

    __slots__ = ("_ended", "_out", "_reader")

    dialect = "openai"

    def __init__(self, reader: Reader, out: Tally) -> None:
        self._reader = reader
        self._out = out
        self._ended = False

    def __repr__(self) -> str:
        state = "complete" if self.complete else "open"
        return f"a stream of {self.model or 'no model yet'}, {self.output_bytes} bytes of text, {state}"

    @property
    def usage(self) -> Usage | None:
        return self._out.usage

    @property
    def model(self) -> str | None:
        return self._out.model

    @property
    def finish(self) -> str | None:
        return self._out.reason

    @property
    def output_bytes(self) -> int:
        return self._out.output_bytes

    @property
    def id(self) -> str:
        return self._out.id

    @property
    def kept(self) -> Kept | None:
        return self._out.kept

    @property
    def so_far(self) -> SoFar | None:
        return self._out.so_far

    @property
    def complete(self) -> bool:
        return self._out.complete

    def feed(self, data: bytes) -> Piece:
        """Take bytes, cut anywhere; give whole events for the client."""
        if self._ended:
            return Piece()
        return self._piece(self._read(data), over=self._reader.over)

    def close(self) -> Piece:
        """The provider closed: the rest, and a ``truncated`` failure when the answer was not complete."""
        if self._ended:
            return Piece()
        return self._piece(self._reader.close(self._out), over=True)

    def _read(self, data: bytes) -> Failure | None:
        try:
            return self._reader.read(data, self._out)
        except EventTooLarge as error:
            return Failure(kind="garbage", message=str(error))

    def _piece(self, failure: Failure | None, *, over: bool) -> Piece:
        if failure is None and over and not self.complete:
            failure = TRUNCATED
        self._ended = over or failure is not None
        content, self._out.content = self._out.content, False
        return Piece(self._taken(done=over and failure is None), content, self._ended and failure is None, failure)

    def _taken(self, *, done: bool) -> bytes:
        """What goes to the client of what was read."""
        return b""


class ChunkFeed(ForeignFeed):
    """A stream told in canonical chunks."""

    __slots__ = ("_include_usage", "_writer")

    def __init__(self, reader: Reader, writer: ChunkWriter, *, include_usage: bool) -> None:
        super().__init__(reader, writer)
        self._writer = writer
        self._include_usage = include_usage

    def _taken(self, *, done: bool) -> bytes:
        events = self._writer.take()
        if done and self._include_usage and (usage := self._writer.usage_chunk()) is not None:
            events.append(usage)
        return framed(events)


class NativeFeed(ForeignFeed):
    """A stream whose events go through as they are. Whatever broke off cannot be gone on with in its own words."""

    __slots__ = ("_passed", "_rest", "_searched", "dialect")

    def __init__(self, reader: Reader, out: Tally, dialect: str) -> None:
        super().__init__(reader, out)
        self.dialect = dialect
        self._rest = bytearray()
        self._searched = 0
        self._passed: list[bytes] = []

    @property
    def so_far(self) -> SoFar | None:
        return None

    def close(self) -> Piece:
        """The provider closed: the last event may be without its blank line."""
        if self._ended:
            return Piece()
        rest = bytes(self._rest)
        failure = super()._read(rest) or self._reader.close(self._out)
        if failure is None and rest.lstrip(BLANK).startswith(b"{"):
            # A whole answer, which is no event: clients of streams would not read it.
            failure = TRUNCATED
        elif failure is None and rest:
            self._passed.append(rest + b"\n\n")
        return self._piece(failure, over=True)

    def _read(self, data: bytes) -> Failure | None:
        """Event by event, so that all that came before an error goes out, and the error does not."""
        rest, begin = self._rest, 0
        rest += data
        for end in [blank.end() for blank in BLANK_LINE.finditer(rest, self._searched)]:
            event = bytes(rest[begin:end])
            failure = super()._read(event)
            if failure is not None:
                return failure
            self._passed.append(event)
            begin = end
        del rest[:begin]
        # Half of a blank line may have come.
        self._searched = max(len(rest) - 3, 0)
        return None if len(rest) <= LARGE_EVENT else Failure("garbage", "an event of the stream never ends")

    def _taken(self, *, done: bool) -> bytes:
        passed = b"".join(self._passed)
        self._passed.clear()
        return passed


class ForeignCollect(ForeignFeed):
    """A stream that becomes one answer, or the JSON that came where a stream was asked for. As protocol.Collect."""

    __slots__ = ("_call", "_deployment", "_plain", "_protocol", "_size", "_writer", "answer")

    def __init__(self, protocol: Foreign, call: Call, deployment: Deployment, reader: Reader) -> None:
        self._writer = AnswerWriter(call, deployment)
        super().__init__(reader, self._writer)
        self.answer: Answer | None = None
        self._protocol = protocol
        self._call = call
        self._deployment = deployment
        self._plain: bytearray | None = None
        self._size = 0

    def feed(self, data: bytes) -> Piece:
        if self._ended:
            return Piece()
        if not self._size:
            data = data.lstrip(BLANK)
            self._plain = bytearray() if data.startswith(b"{") else None
        self._size += len(data)
        if self._size > MAX_ANSWER:
            return self._piece(Failure("garbage", f"the answer is larger than {MAX_ANSWER} bytes"), over=True)
        if self._plain is None:
            return super().feed(data)
        self._plain += data
        return Piece()

    def close(self) -> Piece:
        if self._ended or self._plain is None:
            return super().close()
        answer = self._protocol.parse(bytes(self._plain), self._call, self._deployment)
        self._ended = True
        if isinstance(answer, Failure):
            return Piece(failure=answer)
        self.answer = answer
        return Piece(content=answer.output_bytes > 0, done=True)

    def _taken(self, *, done: bool) -> bytes:
        if done:
            self.answer = self._writer.answer()
        return b""
