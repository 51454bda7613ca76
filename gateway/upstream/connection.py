"""One HTTP/1.1 connection: routes bytes to the one answer that is under way on it.

Read next: pool.py, which lends connections out.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import Protocol, cast

from gateway.errors import ConnectFailed
from gateway.upstream.answer import Answer
from gateway.upstream.transport import Limits

__all__ = ["Connection", "Keeper"]


class Keeper(Protocol):
    """What a connection tells the pool that it belongs to."""

    def back(self, connection: Connection) -> None:
        """It may carry another request."""

    def gone(self, connection: Connection) -> None:
        """It is being closed, and its place is free. Told once."""

    def lost(self, connection: Connection) -> None:
        """Its socket is closed."""


class Connection(asyncio.Protocol):
    """A connection to ``origin``. ``answer`` is the one under way, or None while it is idle.

    ``idle_since`` is the loop's time at which it was given back. Bytes that come while there is no answer under
    way belong to nothing: the connection is closed.
    """

    __slots__ = ("_gone", "_keeper", "_limits", "_loop", "_poll", "_transport", "answer", "idle_since", "origin")

    def __init__(self, origin: str, keeper: Keeper, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.origin = origin
        self.answer: Answer | None = None
        self.idle_since = 0.0
        self._keeper = keeper
        self._limits = limits
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._gone = False

    def __repr__(self) -> str:
        state = "closed" if self._gone else "idle" if self.answer is None else "busy"
        return f"<Connection to {self.origin}, {state}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def begin(self, message: bytes) -> Answer:
        """Send a whole request; the answer to come."""
        answer = self.answer = Answer(self, self._limits, self._loop)
        if self._transport is None or self._gone:
            answer.fail(ConnectFailed(f"{self.origin}: the connection was closed as soon as it was open"))
        else:
            self._transport.write(message)
        return answer

    @property
    def quiet(self) -> bool:
        """Whether it is open and nothing has come that the event loop has not seen yet (an end, or stray bytes)."""
        return not self._gone and self._poll is not None and not self._poll.poll(0)

    @property
    def open(self) -> bool:
        """Whether nobody has closed it, as far as the event loop has seen."""
        return not self._gone

    def data_received(self, data: bytes) -> None:
        if self.answer is None:
            self.abort()
        else:
            self.answer.feed(data)

    def eof_received(self) -> None:
        if self.answer is not None:
            if self._said_goodbye():
                self.answer.eof()
            else:
                self.answer.cut("the connection was cut")
        self.abort()

    def _said_goodbye(self) -> bool:
        """Whether the end is the peer's word: under TLS, anybody on the way can end a connection without one."""
        tls = self._transport and self._transport.get_extra_info("ssl_object")
        if not tls:
            return True
        try:
            return bool(tls.read(1) == b"")
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None:
            self.answer.cut(f"the connection was cut ({exc})" if exc else "the connection was cut")
        self._leave()
        self._transport = None  # asyncio's TLS transport of some releases breaks when it is aborted after its end
        self._keeper.lost(self)

    def pause(self) -> None:
        if self._transport is not None and not self._gone:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._gone:
            self._transport.resume_reading()

    def finish(self, answer: Answer, keep: bool) -> None:
        if self.answer is not answer:
            return
        self.answer = None
        if keep and not self._gone and self._transport is not None and not self._transport.get_write_buffer_size():
            self._keeper.back(self)
        else:
            self.abort()

    def abort(self) -> None:
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def _leave(self) -> None:
        if not self._gone:
            self._gone = True
            self._keeper.gone(self)
