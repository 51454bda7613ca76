"""A protocol of our own with a provider that speaks it on a socket: it signs each answer, and wants the signature back.

Read next: test_kept.py. A turn is ``{"by": "user" | "model", "blocks": [...]}`` with blocks that are a ``text``, a
``call`` (id, name, input), a ``result`` or a ``signed`` (a signature of the rest); an answer is ``{"blocks", "end"}``,
and a stream has one block or the end in each line.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
import pytest

from gateway.errors import CannotSay, Failure
from gateway.providers import registry, turns
from gateway.providers.foreign import Foreign
from gateway.providers.protocol import Headers, Rendered
from gateway.providers.rows import ROWS, Row
from gateway.providers.tally import Tally
from gateway.types import Call, Deployment, Endpoint, Secret, Usage

__all__ = ["Toy", "ToyProvider", "spoken", "toy_provider"]


class Toy:
    """The tongue. Implements foreign.Tongue."""

    dialect = "toy"

    def endpoint(self, deployment: Deployment, key: Secret | None, *, stream: bool) -> Endpoint:
        host, _, port = deployment.account.base_url.removeprefix("http://").partition(":")
        return Endpoint("http", host, int(port), "POST", "/stream" if stream else "/whole")

    def models(self, deployment: Deployment, key: Secret | None) -> Endpoint:
        return self.endpoint(deployment, key, stream=False)

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        raise CannotSay("It cannot be gone on with.")

    def render(self, call: Call, deployment: Deployment, *, stream: bool) -> Rendered:
        _, said = turns.read(call.fields)
        body = {"turns": [{"by": _by(turn), "blocks": list(_blocks(turn))} for turn in said]}
        return Rendered(msgspec.json.encode(body))

    def whole(self, body: bytes, out: Tally, call: Call, deployment: Deployment) -> Failure | None:
        try:
            answer = json.loads(body)
        except ValueError:
            return Failure("truncated", "half an answer")
        _tell([*answer["blocks"], {"end": answer["end"]}], out, [])
        return None

    def reader(self, call: Call, deployment: Deployment) -> ToyReader:
        return ToyReader()

    def fault(self, status: int, headers: Headers, body: bytes, deployment: Deployment) -> Failure:
        return Failure("client" if status == 400 else "overloaded", body.decode(), status=status)


class ToyReader:
    """Reads lines."""

    over = False

    def __init__(self) -> None:
        self._rest = b""
        self._kept: list[Any] = []

    def read(self, data: bytes, out: Tally) -> Failure | None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        blocks = [json.loads(line) for line in lines]
        _tell(blocks, out, self._kept)
        self.over = any("end" in block for block in blocks)
        return None

    def close(self, out: Tally) -> Failure | None:
        return None


def _by(turn: turns.Turn) -> str:
    return "user" if turn.role == "user" else "model"


def _blocks(turn: turns.Turn) -> Iterator[Any]:
    if "toy" in turn.native:
        yield from turn.native["toy"]
        return
    for part in turn.parts:
        if isinstance(part, turns.Text):
            yield {"text": part.text}
        elif isinstance(part, turns.Called):
            yield {"call": {"id": part.id, "name": part.name, "input": part.input()}}
        elif isinstance(part, turns.Result):
            yield {"result": part.text()}
        elif isinstance(part, turns.Image | turns.Document):
            if part.data is None:
                raise CannotSay("It takes no URL.", param="messages")
            yield {"bytes": part.data, "type": part.media_type}


def _tell(blocks: list[Any], out: Tally, kept: list[Any]) -> None:
    for block in blocks:
        out.begin("toy-1", "toy-model")
        if "end" not in block:
            kept.append(block)
        if "text" in block:
            out.text(block["text"])
        elif "call" in block:
            index = out.call(block["call"]["id"], block["call"]["name"])
            out.arguments(index, json.dumps(block["call"]["input"]))
        elif "end" in block:
            if any("signed" in one for one in kept):
                out.keep("toy", kept)
            out.used(Usage(10, 5))
            out.finish(block["end"])


def sign(blocks: list[Any]) -> str:
    """The signature that belongs to these blocks."""
    return hashlib.sha256(json.dumps(blocks, sort_keys=True).encode()).hexdigest()[:16]


def answer_to(request: dict[str, Any]) -> list[Any]:
    """A tool call to whoever brings ``tool``, text to all others; signed unless they bring ``plain``."""
    said = json.dumps(request["turns"][-1])
    n = len(request["turns"])
    blocks: list[Any] = [{"text": f"Answer {n}."}]
    if "tool" in said:
        blocks += [{"call": {"id": f"toy_{n}_{i}", "name": "look", "input": {"n": i}}} for i in range(2)]
    return blocks if "plain" in said else [*blocks, {"signed": sign(blocks)}]


class ToyProvider:
    """What runs: its address, what it was asked, and how it answers. Without its signatures it answers 400."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], list[Any]] = answer_to
        self.under_way = self.most = 0
        self.wait: asyncio.Event | None = None
        self.pause: asyncio.Event | None = None
        self.paused = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await self._reply(
                    json.loads(await reader.readexactly(length)), head.startswith(b"POST /stream"), writer
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _reply(self, request: dict[str, Any], stream: bool, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.wait is not None:
            await self.wait.wait()
        self.under_way -= 1
        blocks = [] if _unsigned(request) else self.answer(request)
        end = "tool_calls" if any("call" in block for block in blocks) else "stop"
        broken = {"broken": True} in blocks
        if not blocks:
            status, body = "400 Bad Request", b"a turn has not the signature that it was given"
        elif blocks == [{"broken": True}]:
            status, body, broken = "503 Service Unavailable", b"not now", False
        elif stream:
            lines = [*blocks, *([] if broken else [{"end": end}])]
            status, body = "200 OK", b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        else:
            status, body = "200 OK", json.dumps({"blocks": blocks, "end": end})[: -5 if broken else None].encode()
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        if self.pause is not None:
            # The first block, then the rest.
            first, body = body[: body.index(b"\n") + 1], body[body.index(b"\n") + 1 :]
            writer.write(first)
            self.paused += 1
            await self.pause.wait()
        writer.write(body)
        await writer.drain()
        if broken:
            writer.close()


def _unsigned(request: dict[str, Any]) -> bool:
    for turn in request["turns"]:
        said = [block for block in turn["blocks"] if "signed" not in block]
        signed = [block["signed"] for block in turn["blocks"] if "signed" in block]
        if turn["by"] == "model" and signed != [sign(said)]:
            return True
    return False


@asynccontextmanager
async def toy_provider() -> AsyncIterator[ToyProvider]:
    """One that serves until the block is left."""
    provider = ToyProvider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    provider.url = f"http://{host}:{port}"
    try:
        yield provider
    finally:
        server.close()


@contextmanager
def spoken(**row: Any) -> Iterator[None]:
    """Configurations may name providers of kind ``toy`` until the block is left."""
    made = Row(**{"kind": "toy", "key_required": False, "cannot": frozenset({"choices"}), **row})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ROWS, "toy", made)
        patch.setitem(registry.SPOKEN, "toy", Foreign(made, Toy()))
        yield
