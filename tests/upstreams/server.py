"""A provider that answers from a script and judges what it is asked, on a real socket.

Read next: said.py, what it hears and says; anthropic.py, google.py, bedrock.py and openai.py, how.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from tests.upstreams.judging import demand
from tests.upstreams.said import Answer, Heard, Text, Wrong

__all__ = ["Request", "Upstream", "Words", "upstream"]

#: Into pieces of so many bytes a stream is cut, wherever that may be.
PIECE = 173


class Request(Struct, frozen=True):
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


class Words(Protocol):
    """A protocol, as its provider speaks it."""

    name: str
    kind: str
    model: str

    def heard(self, request: Request) -> Heard:
        """What is asked. Raises Wrong for what the provider would refuse."""
        ...

    def whole(self, answer: Answer, turn: int, heard: Heard) -> Any:
        """The answer as one JSON value; ``turn`` is which of the model's it is."""
        ...

    def stream(self, answer: Answer, turn: int, heard: Heard) -> tuple[str, Sequence[bytes]]:
        """The answer as a media type and events."""
        ...

    def refusal(self, status: int, message: str) -> Any:
        """An error as a JSON value."""
        ...


class Upstream:
    """What runs. ``heard`` holds what was asked and ``raw`` its bytes; ``wrong`` what was refused.

    ``down`` is how many requests are yet to be turned away; ``cut`` is a text at which the next stream breaks off.
    """

    def __init__(self, words: Words, story: Sequence[Answer]) -> None:
        self.words = words
        self.story = story
        self.url = ""
        self.heard: list[Heard] = []
        self.raw: list[bytes] = []
        self.wrong: list[str] = []
        self.down = 0
        self.cut = b""
        self._serving: set[asyncio.Task[None]] = set()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until either side hangs up."""
        self._serving.add(task := asyncio.create_task(self._serve(reader, writer)))
        task.add_done_callback(self._serving.discard)

    async def leave(self) -> None:
        """Hang up."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                raw = await reader.readexactly(int(headers.get("content-length", "0")))
                await self._reply(Request(first.split(" ")[1], headers, raw), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if self.down:
            self.down -= 1
            whole(writer, 503, self.words.refusal(503, "It is down."))
            return
        try:
            heard = self.words.heard(request)
            turn, answer = self._answer(heard)
        except Wrong as error:
            self.wrong.append(str(error))
            whole(writer, 400, self.words.refusal(400, str(error)))
            return
        self.heard.append(heard)
        self.raw.append(request.raw)
        if heard.stream:
            kind, events = self.words.stream(answer, turn, heard)
            await self._stream(writer, kind, b"".join(events))
        else:
            whole(writer, 200, self.words.whole(answer, turn, heard))

    def _answer(self, heard: Heard) -> tuple[int, Answer]:
        """Which turn of the model's comes next, and what it says; the rest of it where it has been begun."""
        turn = sum(said.role == "model" for said in heard.turns)
        if heard.turns[-1].role == "user":
            return turn, self.story[turn]
        answer = self.story[turn - 1]
        begun = "".join([part.text for part in heard.turns[-1].parts if isinstance(part, Text)])
        demand(answer.text.startswith(begun), f"the answer does not begin with {begun!r}")
        return turn - 1, replace(answer, text=answer.text[len(begun) :])

    async def _stream(self, writer: asyncio.StreamWriter, kind: str, data: bytes) -> None:
        if cut := self.cut:
            self.cut = b""
            data = data[: data.index(cut)]
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if cut:
            raise ConnectionError
        writer.write(b"0\r\n\r\n")


def whole(writer: asyncio.StreamWriter, status: int, value: Any) -> None:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


@asynccontextmanager
async def upstream(words: Words, story: Sequence[Answer]) -> AsyncIterator[Upstream]:
    """One that serves until the block is left."""
    running = Upstream(words, story)
    server = await asyncio.start_server(running.take, "127.0.0.1", 0)
    running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield running
    finally:
        server.close()
        await running.leave()
