"""Clients as applications have them: connections that are kept, answers read as OpenAI's SDKs read them.

Read next: load.py, which sends many. Lighter than an SDK by far, since client and gateway share a machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from itertools import cycle
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
from msgspec import Struct

from gateway.testing.wall.reading import Events, Reading

__all__ = ["Clients", "Told"]


class Told(Struct, frozen=True):
    """How one request ended for its caller. Times are monotonic seconds (``*_at``) and seconds since it was sent.

    ``ended``: ``whole`` is whatever an SDK would take for a good answer with a finish reason, ``cut`` what it would
    take for a good answer without one, ``error`` what it would raise for. ``said`` is the text.
    """

    ended: Literal["whole", "cut", "error"]
    asked_at: float
    total_s: float
    first_s: float | None = None
    status: int = 0
    said: str = ""
    why: str = ""
    headers: Mapping[str, str] = {}


class Clients:
    """Asks gateways at some ports in turn. It never tries again.

    async with Clients(8080) as clients:
        told = await clients.ask("auto", stream=True)
    """

    def __init__(self, *ports: int) -> None:
        self._ports = cycle(ports)
        self._idle: dict[int, list[Connection]] = {port: [] for port in ports}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    async def ask(
        self, model: str, *, stream: bool, limit_s: float = 60.0, headers: Mapping[str, str] = {}, **fields: Any
    ) -> Told:
        """One request, which may take ``limit_s`` seconds. ``fields`` are more members of its body."""
        port = next(self._ports)
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "stream": stream, **fields}
        connection = await self._connection(port)
        answer = Answer(connection, stream=stream)
        try:
            async with asyncio.timeout(limit_s):
                await answer.take(msgspec.json.encode(body), headers)
        except (OSError, EOFError, TimeoutError) as error:
            answer.reading.error = f"{type(error).__name__} {error}".strip()
        if answer.over and connection.kept:
            self._idle[port].append(connection)
        else:
            connection.close()
        return answer.told()

    async def _connection(self, port: int) -> Connection:
        idle = self._idle[port]
        while idle:
            if not (connection := idle.pop()).reader.at_eof():
                return connection
            connection.close()
        return Connection(*await asyncio.open_connection("127.0.0.1", port))


class Connection:
    """One connection to a gateway. ``kept`` until the gateway says that it is not to be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.kept = reader, writer, True

    def close(self) -> None:
        """At once."""
        self.writer.transport.abort()


class Answer:
    """One answer on its way. ``over`` when its end was reached in good order."""

    def __init__(self, connection: Connection, *, stream: bool) -> None:
        self.over = False
        self.reading = Reading()
        self._connection = connection
        self._stream = stream
        self._events = Events()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._asked_at = time.monotonic()
        self._first_s: float | None = None

    async def take(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Ask, and read all of it. Raises OSError and EOFError when the connection breaks."""
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        self._connection.writer.write(f"{head}content-length: {len(body)}\r\n{more}\r\n".encode() + body)
        reader = self._connection.reader
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self._status = int(first[9:12])
        self._headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        self._connection.kept = self._headers.get("connection") != "close"
        if "content-length" in self._headers:
            self._whole(await reader.readexactly(int(self._headers["content-length"])))
        else:
            await self._chunks(reader)
        self.over = True

    async def _chunks(self, reader: asyncio.StreamReader) -> None:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            self._part((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)

    def _whole(self, data: bytes) -> None:
        if self._status != 200:
            self.reading.refusal(self._status, data)
        elif self._stream:
            self._part(data)
        else:
            self.reading.body(data)

    def _part(self, data: bytes) -> None:
        for event in self._events.feed(data):
            if self.reading.error is None:
                self.reading.event(event)
        if self._first_s is None and self.reading.started:
            self._first_s = time.monotonic() - self._asked_at

    def told(self) -> Told:
        """How it ended."""
        reading = self.reading
        return Told(
            "error" if reading.error is not None else "whole" if reading.finish else "cut",
            self._asked_at,
            time.monotonic() - self._asked_at,
            self._first_s,
            self._status,
            reading.said,
            reading.error or "",
            self._headers,
        )
