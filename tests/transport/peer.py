"""A provider on a real socket that does exactly what a test scripts, byte for byte.

Read next: test_contract.py, which scripts it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from gateway.types import Endpoint

__all__ = ["Line", "Peer", "Says", "echo", "full_backlog", "peer"]

Script = Callable[["Line"], Awaitable[None]]


class Line:
    """One accepted connection, from the side of the peer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heads: list[bytes] = []

    async def request(self) -> bytes:
        """The body of the next request; raises IncompleteReadError at the end of the connection."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return await self.reader.readexactly(int(lengths[0]) if lengths else 0)

    async def say(self, *parts: bytes) -> None:
        """Send each part in a segment of its own, the next when the client has had its turn to read."""
        for part in parts:
            if self.writer.is_closing():
                raise ConnectionResetError("the client has gone")
            self.writer.write(part)
            await self.writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)

    async def answer(self, body: bytes, *, status: str = "200 OK", headers: bytes = b"") -> None:
        """A whole answer with a content-length."""
        await self.say(b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status.encode(), headers, len(body), body))

    async def gone(self) -> None:
        """Wait until the client has closed, in whatever way."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    def reset(self) -> None:
        """Close with a TCP reset."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Peer:
    """A listening provider. ``lines`` holds every connection it accepted; ``failures`` what its scripts raised."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.lines: list[Line] = []
        self.closed: list[Line] = []
        self.failures: list[Exception] = []
        self.host = ""
        self.port = 0
        self.scheme: str = "http"

    def endpoint(self, *, host: str | None = None, cap: int = 1000, target: str = "/v1/chat") -> Endpoint:
        """An endpoint here; each call makes another one."""
        return Endpoint(
            scheme="https" if self.scheme == "https" else "http",
            host=host or self.host,
            port=self.port,
            method="POST",
            target=target,
            headers=((b"content-type", b"application/json"), (b"authorization", b"Bearer k")),
            max_connections=cap,
        )

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the script on a connection, then close it."""
        line = Line(reader, writer)
        self.lines.append(line)
        try:
            await self.script(line)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001 -- shown by the fixture, in the test that scripted it
            self.failures.append(error)
        finally:
            self.closed.append(line)
            writer.close()

    async def until(self, holds: Callable[[], bool], within: float = 2.0) -> None:
        """Wait for a condition, polled on the event loop; fails when it does not hold in time."""
        async with asyncio.timeout(within):
            while not holds():
                await asyncio.sleep(0.001)


@asynccontextmanager
async def peer(script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Listen on a free port while the block runs; what the script raised is raised at its end."""
    here = Peer(script)
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(here.accept(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, host, 0, ssl=tls)
    here.host, here.port = server.sockets[0].getsockname()[:2]
    here.scheme = "https" if tls else "http"
    try:
        yield here
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in here.lines:
            with suppress(AttributeError):  # asyncio's TLS transport of some releases, aborted after its end
                line.writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)
    if here.failures:
        raise here.failures[0]


class Says:
    """A script: take one request, send these bytes each in a segment, then wait for the client or hang up."""

    def __init__(self, *parts: bytes, stay: bool = True) -> None:
        self.parts = parts
        self.stay = stay

    async def __call__(self, line: Line) -> None:
        await line.request()
        await line.say(*self.parts)
        if self.stay:
            await line.gone()


async def echo(line: Line) -> None:
    """Answer each request with its own body."""
    while True:
        await line.answer(await line.request())


@contextmanager
def full_backlog() -> Iterator[tuple[str, int]]:
    """An address where connecting neither succeeds nor fails: nobody accepts, and the queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()
        finally:
            for caller in callers:
                caller.close()
