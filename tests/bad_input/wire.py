"""Requests as bytes, so that a test can send what no HTTP client would. Read next: test_table.py, which sends them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

__all__ = ["MEMBERS", "Answered", "Wire", "chat", "head", "send", "wire"]

PATH = "/v1/chat/completions"
MEMBERS = {"message", "type", "param", "code"}


class Answered(Struct, frozen=True):
    """One response as it came. ``closed`` says that the gateway ended the connection after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    took_s: float
    closed: bool = False

    @property
    def error(self) -> dict[str, Any]:
        """The members of the envelope; fails when the body is no envelope."""
        document = json.loads(self.body)
        assert set(document) == {"error"}, self.body[:200]
        error: dict[str, Any] = document["error"]
        assert set(error) == MEMBERS, error
        assert isinstance(error["message"], str), error
        assert error["message"], error
        return error


class Wire:
    """One connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, *parts: bytes) -> None:
        """Send each part in a segment of its own; a gateway that has hung up does not hear the rest."""
        for n, part in enumerate(parts):
            if n:
                await asyncio.sleep(0.002)
            self.writer.write(part)
            try:
                await self.writer.drain()
            except ConnectionError:
                return

    async def hear(self, *, method: str = "POST", within: float = 10.0) -> Answered:
        """The next response. Raises IncompleteReadError when the connection ends without one."""
        async with asyncio.timeout(within):
            return await self._response(method)

    async def _response(self, method: str) -> Answered:
        started = time.perf_counter()
        while (lines := (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n"))[0][9:12] == "100":
            pass
        pairs = (line.partition(":") for line in lines[1:-2])
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = b"" if method == "HEAD" else await self._body(headers)
        return Answered(int(lines[0][9:12]), headers, body, time.perf_counter() - started)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    async def ended(self, within: float = 1.0) -> bool:
        """Whether the gateway ends the connection in that time."""
        try:
            async with asyncio.timeout(within):
                return not await self.reader.read(1)
        except TimeoutError:
            return False
        except ConnectionError:
            return True


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A connection to the gateway at ``url``."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def send(url: str, *parts: bytes, within: float = 1.0, method: str = "POST") -> Answered:
    """One request on a connection of its own; fails when no answer comes in time."""
    async with asyncio.timeout(within), wire(url) as line:
        started = time.perf_counter()
        await line.say(*parts)
        heard = await line.hear(method=method)
        took = time.perf_counter() - started
        closed = heard.headers.get("connection") == "close" and await line.ended(within)
        return Answered(heard.status, heard.headers, heard.body, took, closed)


def head(*lines: str, method: str = "POST", path: str = PATH, host: str | None = "x", version: str = "1.1") -> bytes:
    """A request's head; ``lines`` are headers as they go on the wire."""
    hosts = [f"Host: {host}"] if host is not None else []
    return "\r\n".join([f"{method} {path} HTTP/{version}", *hosts, *lines, "", ""]).encode("latin-1")


def chat(body: bytes, *lines: str, kind: str | None = "application/json") -> bytes:
    """A whole chat request with this body."""
    kinds = [f"Content-Type: {kind}"] if kind is not None else []
    return head(*kinds, f"Content-Length: {len(body)}", *lines) + body
