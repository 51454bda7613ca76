"""An HTTP client that adds and hides nothing: one connection, kept alive, and the answer's bytes as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import Struct

__all__ = ["Got", "Wire"]


class Got(Struct, frozen=True):
    """An answer, its chunks put together."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """A connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, url: str) -> Wire:
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def post(self, body: bytes) -> Got:
        """One chat request. Raises asyncio.IncompleteReadError when the gateway hangs up before the answer is whole."""
        self._writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer none\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Got(int(first.split(" ")[1]), headers, await self._body(headers))

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        assert headers["transfer-encoding"] == "chunked"
        parts: list[bytes] = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readexactly(2)
        return b"".join(parts)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()
