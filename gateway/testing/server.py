"""A simulated provider on a real socket: it answers by script, breaks on cue, and keeps what it was sent.

Read next: script.py, what can be scripted; docs/testing.md, how tests use it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast

import httptools
import msgspec

from gateway.testing.acts import Abort, Act, Close, End, Head, Send, Wait
from gateway.testing.play import play
from gateway.testing.script import Script, Scripts

__all__ = ["Received", "SimulatedProvider"]

#: Close with a reset: no lingering, zero seconds.
LINGER_ZERO = struct.pack("ii", 1, 0)
PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Received:
    """One request as it came, and what became of it. Times are seconds of the provider's clock.

    ``ended_at`` is when the answer was complete, or broken on purpose; ``left_at`` is when the client closed before
    that. ``sent`` counts the bytes of the answer's body. ``connection`` numbers the connection it came on.
    """

    def __init__(
        self, n: int, at: float, *, method: str, path: str, headers: Mapping[str, str], body: bytes, connection: int
    ) -> None:
        self.n = n
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.at = at
        self.connection = connection
        self.sent = 0
        self.ended_at: float | None = None
        self.left_at: float | None = None
        self._over = asyncio.Event()

    def __repr__(self) -> str:
        state = "under way"
        if self.left_at is not None:
            state = f"client left after {self.left_at - self.at:.3f} s and {self.sent} bytes"
        elif self.ended_at is not None:
            state = f"ended after {self.ended_at - self.at:.3f} s and {self.sent} bytes"
        return f"Received({self.method} {self.path} #{self.n}: {state})"

    @property
    def fields(self) -> dict[str, Any]:
        """The body, decoded. Raises msgspec.DecodeError when it is not JSON."""
        return cast(dict[str, Any], msgspec.json.decode(self.body))

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.fields.get("model"))

    async def over(self, within: float = 5.0) -> None:
        """Wait until it has ended or the client has left. Raises TimeoutError after ``within`` seconds."""
        async with asyncio.timeout(within):
            await self._over.wait()

    def end(self, at: float) -> None:
        """The answer is over, by our own doing."""
        if not self._over.is_set():
            self.ended_at = at
            self._over.set()

    def leave(self, at: float) -> None:
        """The client closed the connection while the answer was under way."""
        if not self._over.is_set():
            self.left_at = at
            self._over.set()


class SimulatedProvider:
    """An OpenAI-compatible server that does as it is told.

        async with SimulatedProvider() as provider:
            provider.script("gpt-4o-mini", Script(fault="overloaded", times=1))
            ...                                  # requests to provider.url
            assert [r.model for r in provider.requests] == ["gpt-4o-mini", "gpt-4o-mini"]

    ``port`` 0 takes a free one. ``keep`` bounds how many requests are kept. Every model answers ``default`` unless
    it was given scripts.
    """

    def __init__(
        self,
        default: Script | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        keep: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scripts = Scripts(default)
        self.requests: deque[Received] = deque(maxlen=keep)
        self.count = 0
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.clock = clock
        self._address = (host, port)
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        where = self.url if self._server else "not started"
        return f"SimulatedProvider({where}: {self.count} requests, {len(self.connections)} connections open)"

    @property
    def port(self) -> int:
        """The port it listens on. Raises RuntimeError before it is started."""
        if self._server is None:
            raise RuntimeError("the simulated provider is not started: use it with `async with`, or call start()")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The base URL for clients, with ``/v1`` at its end."""
        return f"http://{self._address[0]}:{self.port}/v1"

    def script(self, model: str, *scripts: Script) -> None:
        """What a model does from now on; ``*`` for every model that has no scripts of its own."""
        self.scripts.put(model, *scripts)

    def asked(self, model: str) -> list[Received]:
        """The requests for one model that were kept, oldest first."""
        return [request for request in self.requests if request.body and request.model == model]

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), *self._address, backlog=4096)

    async def stop(self) -> None:
        """Stop listening and break off every connection."""
        if self._server is None:
            return
        self._server.close()
        while self.connections:
            for connection in tuple(self.connections):
                connection.break_off()
            await asyncio.sleep(0)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class Connection(asyncio.Protocol):
    """One client connection: requests are answered one after the other, pipelined ones in their order."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self._provider = provider
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._headers: dict[str, str] = {}
        self._path = ""
        self._body: list[bytes] = []
        self._waiting: deque[Received] = deque()
        self._current: Received | None = None
        self._acts: Iterator[Act] = iter(())
        self._timer: asyncio.TimerHandle | None = None
        self._framing: bytes | None = b""
        self._full = False
        self._held = False
        self.number = 0

    # asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._provider.connections.add(self)
        self._provider.accepted += 1
        self.number = self._provider.accepted

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._provider.connections.discard(self)
        self._stop_waiting()
        self._acts = iter(())
        for request in (self._current, *self._waiting):
            if request is not None:
                request.leave(self._provider.clock())

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._held:
            self._go_on()

    # httptools calls these

    def on_message_begin(self) -> None:
        self._headers, self._path, self._body = {}, "", []

    def on_url(self, url: bytes) -> None:
        self._path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        provider = self._provider
        provider.count += 1
        request = Received(
            provider.count,
            provider.clock(),
            method=self._parser.get_method().decode(),
            path=self._path,
            headers=self._headers,
            body=b"".join(self._body),
            connection=self.number,
        )
        provider.requests.append(request)
        self._waiting.append(request)
        if self._current is None and len(self._waiting) == 1:
            self._next()

    # the acts

    def _next(self) -> None:
        """Begin with the next request that waits."""
        if not self._waiting:
            return
        request = self._current = self._waiting.popleft()
        self._acts = play(
            self._provider.scripts,
            method=request.method,
            path=request.path.partition("?")[0],
            headers=request.headers,
            body=request.body,
            n=request.n,
            now=request.at,
            created=int(time.time()),
        )
        self._framing = None
        self._go_on()

    def _go_on(self) -> None:
        """Carry out acts until one has to wait. What can go in one write does."""
        self._timer, self._held = None, False
        out: list[bytes] = []
        body: list[bytes] = []
        for act in self._acts:
            match act:
                case Send(data):
                    body.append(data)
                    if len(data) < 65536:
                        continue
                    self._write(out, body)
                    if self._full:
                        self._held = True
                        return
                case Head():
                    out.append(self._head(act))
                case Wait(seconds):
                    self._write(out, body)
                    self._wait(seconds)
                    return
                case End():
                    self._end(out, body)
                    return
                case Close() | Abort():
                    self._write(out, body)
                    self._leave(act)
                    return
        self._write(out, body)

    def _head(self, head: Head) -> bytes:
        declared = any(name == "content-length" for name, _ in head.headers)
        self._framing = b"" if declared else b"chunked"
        lines = [f"HTTP/1.1 {head.status} {PHRASES.get(head.status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in head.headers]
        if not declared:
            lines.append("transfer-encoding: chunked")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _framed(self, body: list[bytes]) -> bytes:
        data = b"".join(body)
        if self._current is not None:
            self._current.sent += len(data)
        return b"%x\r\n%b\r\n" % (len(data), data) if data and self._framing == b"chunked" else data

    def _write(self, out: list[bytes], body: list[bytes]) -> None:
        if data := b"".join([*out, self._framed(body)]):
            self._transport.write(data)
        out.clear()
        body.clear()

    def _wait(self, seconds: float) -> None:
        if seconds != float("inf"):
            self._timer = self._loop.call_later(seconds, self._go_on)

    def _end(self, out: list[bytes], body: list[bytes]) -> None:
        framed = self._framed(body)
        last = b"0\r\n\r\n" if self._framing == b"chunked" else b""
        self._transport.write(b"".join([*out, framed, last]))
        request = self._current
        if request is not None:
            request.end(self._provider.clock())
            if request.headers.get("connection", "").lower() == "close":
                self._transport.close()
        self._current = None
        if self._waiting:
            self._loop.call_soon(self._next)

    def _leave(self, act: Act) -> None:
        if self._current is not None:
            self._current.end(self._provider.clock())
        if isinstance(act, Abort):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            self._transport.abort()
        else:
            self._transport.close()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def break_off(self) -> None:
        """Close at once, whatever is under way."""
        self._transport.abort()
