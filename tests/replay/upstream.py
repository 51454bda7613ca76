"""The provider of a replay: it answers with the recording that the address names, cut at random bytes.

Read next: stage.py, which gives every recording an address of its own, so that nothing in a request has to change.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from types import TracebackType

from msgspec import Struct

from tests.recordings import Recording

__all__ = ["Asked", "Upstream"]

#: Turns of the event loop that the gateway needs to read one piece before the next one is written.
LOOPS = 2
#: Bytes of a body that may also come in very many pieces; more would only take time.
SHORT = 8000

#: What frames a message is this connection's business, not the recording's.
FRAMING = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"connection", b"keep-alive"})


class Asked(Struct, frozen=True):
    """One request as it came, the part of the address that chose the recording taken off ``target``."""

    target: str
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """A server on a real socket. ``asked`` holds what came for each recording, by its id."""

    def __init__(self, recordings: Mapping[str, Recording]) -> None:
        self.asked: dict[str, list[Asked]] = {id: [] for id in recordings}
        self._recordings = recordings
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.url = ""

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        serving = dict(self._open)
        for writer in serving.values():
            writer.close()
        await asyncio.gather(*serving)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._answer(head.decode("latin-1"), reader, writer)
        del self._open[task]
        writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        _, id, target = first.split(" ")[1].split("/", 2)
        self.asked[id].append(Asked(f"/{target}", headers, body))
        for piece in answered(self._recordings[id]):
            writer.write(piece)
            await writer.drain()
            for _ in range(LOOPS):
                await asyncio.sleep(0)


def answered(recorded: Recording) -> Iterator[bytes]:
    """The answer on the wire: its head, then its body in the pieces that its id stands for."""
    chunked = recorded.stream or (b"transfer-encoding", b"chunked") in recorded.headers
    frame = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(recorded.body)
    lines = [b"HTTP/1.1 %d %s" % (recorded.status, HTTPStatus(recorded.status).phrase.encode()), frame]
    lines += [b": ".join(header) for header in recorded.headers if header[0] not in FRAMING]
    yield b"\r\n".join([*lines, b"", b""])
    for piece in cut(recorded.body, random.Random(recorded.id)):
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
    if chunked:
        yield b"0\r\n\r\n"


def cut(body: bytes, dice: random.Random) -> Iterator[bytes]:
    """Up to a dozen pieces, or many of some bytes each, cut anywhere: inside events, lines, and characters."""
    many = len(body) // 20 if len(body) < SHORT and dice.random() < 0.5 else 12
    places = sorted(dice.randrange(len(body) + 1) for _ in range(dice.randrange(many + 1)))
    for start, end in zip([0, *places], [*places, len(body)], strict=True):
        if start < end:
            yield body[start:end]
