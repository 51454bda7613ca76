"""One HTTP/1.1 answer: its connection feeds it bytes, its one reader takes the body.

Read next: connection.py, which feeds it. Every answer has a parser and a buffer of its own, so that bytes of one
answer cannot turn up in another, whatever the pool does.
"""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

import httptools

from gateway.errors import ConnectFailed, Disconnected, ProtocolViolation, Timeout, TransportError
from gateway.upstream.transport import Limits, Take

__all__ = ["HIGH_WATER", "Answer", "Wire"]

#: Unread bytes above which the connection is asked to stop reading.
HIGH_WATER = 256 * 1024
#: The longest rest of a body that is thrown away to keep its connection, in bytes.
REST = 64 * 1024

#: Chunks that may lie in a list before they are joined: a chunk of one byte takes forty in a list.
MANY = 1024
BODYLESS = frozenset({204, 304})
#: Headers that say how a body is to be read.
FRAMING = frozenset({b"content-length", b"transfer-encoding", b"content-encoding"})
Phase = Literal["connect", "first_byte", "stall"]


class Wire(Protocol):
    """What an answer may ask of the connection that it comes from."""

    origin: str

    def pause(self) -> None:
        """Stop reading from the peer."""

    def resume(self) -> None:
        """Read on."""

    def finish(self, answer: Answer, keep: bool) -> None:
        """The body was taken to its end. ``keep``: the peer has said nothing against using the connection again."""

    def abort(self) -> None:
        """Close at once, whatever is under way."""


class Answer:
    """A response as gateway/upstream/transport.py promises it, over one HTTP/1.1 connection."""

    # Defaults stand in the class: an answer then costs half to make, and there is one for every request.
    status = 0
    _unread = 0
    _body = 0
    _framing = 0  # bytes since the last byte of body that were not body: head, chunk sizes, trailers
    _line = 0  # bytes of the line in the head that has not ended yet
    _trailers = 0
    _length: int | None = None
    _chunked = False
    _touched = False
    _head_done = False
    _complete = False
    _deaf = False
    _keep = False
    _released = False
    _paused = False
    _error: TransportError | None = None
    _waiter: asyncio.Future[None] | None = None
    _take_each: Take | None = None
    _heard_at = 0.0
    _defect: Exception | None = None

    def __init__(self, wire: Wire, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self._wire = wire
        self._limits = limits
        self._loop = loop
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []

    def __repr__(self) -> str:
        state = "failed" if self._error else "complete" if self._complete else "under way"
        return f"<Answer {self.status or 'without a head'} from {self._wire.origin}, {state}, {self._unread} B unread>"

    # --- for the reader -----------------------------------------------------------------------------------------

    async def head(self, timeout: float) -> None:
        """Wait until status and headers are there, ``timeout`` seconds in all."""
        if not self._head_done and self._error is None:
            await self._wait(timeout, "first_byte")
        if self._error is not None:
            raise self._error

    async def next(self, timeout: float) -> bytes:
        """What has come since; see Response.next."""
        while not self._chunks:
            if self._complete:
                self._release()
                return b""
            if self._error is not None:
                raise self._error
            await self._wait(timeout, "stall")
        return self._take()

    async def flow(self, take: Take, timeout: float, within: float) -> None:
        """Hand on what comes as it comes; see Response.flow."""
        if self._chunks and not take(self._take()):
            return
        if self._complete or self._error is not None:
            return
        self._take_each = take
        try:
            await self._wait_for_silence(timeout, self._loop.time() + within)
        finally:
            self._take_each = None
        if self._defect is not None:
            raise self._defect

    def close(self) -> None:
        """End it; see Response.close."""
        if self._complete and not self._chunks:
            self._release()
        elif not self._released:
            self._released = True
            self._complete = False
            self._chunks.clear()
            self.fail(Disconnected(f"{self._wire.origin}: the answer was closed by its reader before its end"))

    def finish(self, within: float) -> None:
        """Throw the rest away; see Response.finish."""
        self._chunks.clear()
        self._unread = 0
        if self._complete or self._error is not None:
            self.close()
        elif not self._released:
            self._deaf = True
            self._unpause()
            self._loop.call_later(within, self.close)

    def _take(self) -> bytes:
        chunks = self._chunks
        taken = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._unread = 0
        if self._complete:
            self._release()
        else:
            self._unpause()
        return taken

    def _release(self) -> None:
        if not self._released:
            self._released = True
            self._unpause()
            self._wire.finish(self, self._keep)

    def _unpause(self) -> None:
        if self._paused:
            self._paused = False
            self._wire.resume()

    async def _wait(self, timeout: float, phase: Phase) -> None:
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout, self._expire, waiter, timeout, phase)
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            timer.cancel()
            self._waiter = None

    async def _wait_for_silence(self, timeout: float, until: float) -> None:
        """Until somebody wakes us. One timer looks after all the reads on the way: to set one for each costs more."""
        loop = self._loop
        waiter = self._waiter = loop.create_future()
        self._heard_at = loop.time()

        def look() -> None:
            due = min(self._heard_at + timeout, until)
            if loop.time() < due:
                timers[0] = loop.call_at(due, look)
            elif due < until:
                self._expire(waiter, timeout, "stall")
            else:
                self._wake()

        timers = [loop.call_at(min(self._heard_at + timeout, until), look)]
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            timers[0].cancel()
            self._waiter = None

    def _hand_over(self, take: Take) -> None:
        """What has come to whoever takes each read, for as long as it wants to."""
        chunks, self._chunks, self._unread = self._chunks, [], 0
        self._heard_at = self._loop.time()
        try:
            more = take(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
            self._defect, more = error, False
        if not more:
            self._take_each = None
            self._wake()

    def _expire(self, waiter: asyncio.Future[None], timeout: float, phase: Phase) -> None:
        if not waiter.done():
            what = "no head of an answer" if phase == "first_byte" else "not one more byte of the body"
            self.fail(Timeout(f"{self._wire.origin}: {what} within {timeout:g} s", phase))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- for the connection -------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes have come. Never raises: what is wrong with them is told to the reader."""
        self._touched = True
        self._framing += len(data)
        if self._parser is None:
            self._keep = False
            return
        try:
            self._parser.feed_data(data)
            self._check_framing(data)
        except httptools.HttpParserUpgrade:
            self._violated("it switched to another protocol, which nobody asked for")
        except httptools.HttpParserCallbackError as error:
            self._violated(str(error.__context__))
        except httptools.HttpParserError as error:
            self._violated(f"what came is not HTTP/1.1: {error}")
        except ProtocolViolation as error:
            self._violated(str(error))
        if self._complete:
            self._parser = None  # it holds our methods: without this, every answer would wait for the cycle collector
        if self._deaf:
            self._overhear()
            return
        if self._take_each is not None and self._chunks:
            self._hand_over(self._take_each)
            if self._complete:
                self._wake()
        elif self._head_done:  # not before: whoever waits for the head has one time for all of it
            self._wake()
        if len(self._chunks) > MANY:
            self._chunks = [b"".join(self._chunks)]
        if self._unread > HIGH_WATER and not (self._paused or self._complete):
            self._paused = True
            self._wire.pause()

    def _overhear(self) -> None:
        """Bytes that nobody wants have come."""
        self._chunks.clear()
        if self._complete:
            self._release()
        elif self._unread > REST:
            self.close()

    def eof(self) -> None:
        """The peer has ended its side in good order."""
        self._keep = False
        if self._head_done and self._length is None and not self._chunked and self._error is None:
            self._complete = True
            self._wake()
        else:
            self.cut("the connection was closed")

    def cut(self, how: str) -> None:
        """The connection is gone."""
        self._keep = False
        origin = self._wire.origin
        if self._complete:
            return
        if not self._touched:
            self.fail(ConnectFailed(f"{origin}: {how} before any byte of an answer"))
        elif not self._head_done:
            self.fail(Disconnected(f"{origin}: {how} within the head of the answer"))
        else:
            self.fail(Disconnected(f"{origin}: {how} within the body, after {self._body} B of it"))

    def fail(self, error: TransportError) -> None:
        """Nothing more will come, because of this."""
        if self._error is None and not self._complete:
            self._error = error
            self._parser = None
            self._wire.abort()
            self._wake()

    def _violated(self, what: str) -> None:
        self._keep = False
        self.fail(ProtocolViolation(f"{self._wire.origin}: {what}"))

    def _check_framing(self, data: bytes) -> None:
        if self._complete:
            return
        if self._framing > self._limits.head:
            raise self._over("head of the answer" if not self._head_done else "chunk framing", self._limits.head)
        if not self._head_done:
            newline = data.rfind(b"\n")
            self._line = self._line + len(data) if newline < 0 else len(data) - newline - 1
            self._check_line(self._line)

    def _check_line(self, length: int) -> None:
        if length > self._limits.head_line:
            raise self._over("line in the head of the answer", self._limits.head_line)

    def _over(self, what: str, limit: int) -> ProtocolViolation:
        return ProtocolViolation(f"a {what} is over the limit of {limit} B")

    # --- called by the parser -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise ProtocolViolation("bytes came after the end of the answer")

    def on_status(self, reason: bytes) -> None:
        self._check_line(len(reason))

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(name) + len(value) + 2 > self._limits.head_line:
            self._check_line(len(name) + len(value) + 2)
        if self._head_done:
            self._trailers += 1
            self._check_count(self._trailers)
            return
        name = name.lower()
        value = value.rstrip(b" \t")
        self.headers.append((name, value))
        if name in FRAMING:
            self._note(name, value)

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._length = int(value)
        elif name == b"content-encoding":
            if value.lower() != b"identity":
                raise ProtocolViolation(f"content-encoding {value[:40]!r} is not read: identity was asked for")
        elif value.lower() != b"chunked":
            raise ProtocolViolation(f"transfer-encoding {value[:40]!r} is not read, only chunked")
        else:
            self._chunked = True

    def _check_count(self, count: int) -> None:
        if count > self._limits.head_count:
            raise ProtocolViolation(f"the answer has more than {self._limits.head_count} headers")

    def _check_head(self) -> None:
        self._check_count(len(self.headers))
        if self._framing > self._limits.head:
            size = sum([len(name) + len(value) + 4 for name, value in self.headers])
            if size > self._limits.head:
                raise self._over("head of the answer", self._limits.head)

    def on_headers_complete(self) -> None:
        if self._parser is None:
            return
        self._check_head()
        status = self._parser.get_status_code()
        if status < 200:
            self._forget_head()
            return
        if self._length is not None and self._length > self._limits.body and status not in BODYLESS:
            raise self._over(f"body of {self._length} B", self._limits.body)
        if status in BODYLESS:
            self._length = 0
        self.status = status
        self._head_done = True

    def _forget_head(self) -> None:
        self.headers.clear()
        self._length = None
        self._chunked = False

    def on_body(self, data: bytes) -> None:
        self._framing = 0
        self._body += len(data)
        if self._body > self._limits.body:
            raise self._over("body", self._limits.body)
        self._unread += len(data)
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        if self._head_done and self._parser is not None:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
