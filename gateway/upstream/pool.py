"""The connections to one origin: lent to one request at a time, last used first.

Read next: connection.py, what is lent; http1.py, who borrows.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from gateway.errors import ConnectFailed, Timeout
from gateway.types import Endpoint
from gateway.upstream.cause import cause
from gateway.upstream.connection import Connection
from gateway.upstream.transport import Limits

__all__ = ["Pool"]


class Pool:
    """Connections to the origin of ``endpoint``; https is spoken with ``context``, http without.

    ``_taken`` counts places: connections that are open and those being opened. Who finds no place waits in a queue;
    a connection given back goes to the head of the queue, and a place that becomes free does too (as None).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext | None,
        limits: Limits,
        idle_s: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.origin = endpoint.origin
        self._address = (endpoint.host, endpoint.port)
        self._context = context
        self._limits = limits
        self._idle_s = idle_s
        self._loop = loop
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()
        self._closing: set[Connection] = set()
        self._taken = 0
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Pool of {self.origin}: {len(self._open)} open, {len(self._idle)} idle, {len(self._queue)} waiting>"

    def take(self) -> Connection | None:
        """An idle connection that looks alive, the one used last first; None when there is none."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.quiet:
                return connection
            connection.abort()
        return None

    async def connect(self, cap: int, timeout: float) -> Connection:
        """A connection within ``timeout`` seconds, opened unless one of the ``cap`` is given back first."""
        until = self._loop.time() + timeout
        while self._taken >= cap:
            given = await self._wait(until - self._loop.time(), cap)
            if given is None:
                return await self._dial(until, timeout)
            if given.quiet:
                return given
            given.abort()
        self._taken += 1
        return await self._dial(until, timeout)

    async def _wait(self, left: float, cap: int) -> Connection | None:
        turn: asyncio.Future[Connection | None] = self._loop.create_future()
        self._queue.append(turn)
        timer = self._loop.call_later(left, self._expire, turn, cap)
        try:
            return await turn
        except asyncio.CancelledError:
            self._pass_on(turn)
            raise
        finally:
            timer.cancel()

    def _expire(self, turn: asyncio.Future[Connection | None], cap: int) -> None:
        if not turn.done():
            self._queue.remove(turn)
            what = f"all {cap} connections are in use, and none became free in the time to connect"
            turn.set_exception(Timeout(f"{self.origin}: {what}; raise max_connections if this is usual", "connect"))

    def _pass_on(self, turn: asyncio.Future[Connection | None]) -> None:
        if turn.cancelled():
            if turn in self._queue:
                self._queue.remove(turn)
        elif turn.exception() is None:
            given = turn.result()
            if given is None:
                self._vacate()
            elif given.open:
                self.back(given)

    async def _dial(self, until: float, timeout: float) -> Connection:
        host, port = self._address
        connected = False
        try:
            async with asyncio.timeout_at(until):
                _, connection = await self._loop.create_connection(
                    self._make, host, port, ssl=self._context, server_hostname=host if self._context else None
                )
            self._admit(connection)
            connected = True
        except TimeoutError as error:
            raise Timeout(f"{self.origin}: not connected within {timeout:g} s", "connect") from error
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"{self.origin}: {cause(error)}") from error
        finally:
            if not connected:
                self._vacate()
        return connection

    def _make(self) -> Connection:
        return Connection(self.origin, self, self._limits, self._loop)

    def _admit(self, connection: Connection) -> None:
        if not connection.open or self._closed:
            connection.abort()
            raise ConnectFailed(f"{self.origin}: the connection was closed as soon as it was open")
        self._open.add(connection)

    # --- told by connections ------------------------------------------------------------------------------------

    def back(self, connection: Connection) -> None:
        """See Keeper.back."""
        turn = self._first()
        if turn is not None:
            turn.set_result(connection)
            return
        connection.idle_since = self._loop.time()
        self._idle[connection] = None
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._idle_s, self._sweep)

    def gone(self, connection: Connection) -> None:
        """See Keeper.gone."""
        if connection in self._open:
            self._open.discard(connection)
            self._idle.pop(connection, None)
            self._closing.add(connection)
            self._vacate()

    def lost(self, connection: Connection) -> None:
        """See Keeper.lost."""
        self._closing.discard(connection)
        if self._empty is not None and not self._closing and not self._empty.done():
            self._empty.set_result(None)

    def _vacate(self) -> None:
        turn = self._first()
        if turn is not None:
            turn.set_result(None)
        else:
            self._taken -= 1

    def _first(self) -> asyncio.Future[Connection | None] | None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                return turn
        return None

    # --- ends ---------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for connection in list(self._idle):
            left = connection.idle_since + self._idle_s - now
            if left > 0:
                self._sweeper = self._loop.call_later(left, self._sweep)
                return
            connection.abort()

    async def aclose(self) -> None:
        """Close every connection, and wait until their sockets are closed."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        while (turn := self._first()) is not None:
            turn.set_exception(ConnectFailed(f"{self.origin}: the gateway is closing its connections"))
        for connection in list(self._open):
            connection.abort()
        if self._closing:
            self._empty = self._loop.create_future()
            await self._empty
