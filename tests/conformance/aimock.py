"""aimock as the provider: one port for every protocol, which answers by the words of the request and keeps a journal.

Read next: clients.py, which puts the gateway before it; client_base.py, what a client finds here.

Its journal says what it understood. What is on the wire is kept too, since aimock does not look at pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from gateway.keys.form import Pepper
from gateway.providers.anthropic.forced import ANSWER
from tests.conformance.client_base import KEY, NARROW_KEY, SAID, THOUGHT, WEATHER_ARGUMENTS
from tests.conformance.running import free_port, served

__all__ = ["PROVIDER_KEY", "Aimock", "aimock", "config_for"]

#: Each protocol's account: its kind, its address below aimock's, and a model there.
ACCOUNTS: Final = {
    "openai": ("openai", "/v1", "gpt-5-mini"),
    "azure": ("azure_openai", "", "gpt-4.1-mini"),
    "anthropic": ("anthropic", "", "claude-sonnet-4-5"),
    "gemini": ("gemini", "/v1beta", "gemini-2.5-flash"),
    "bedrock": ("bedrock", "", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "nova": ("bedrock", "", "eu.amazon.nova-pro-v1:0"),
    "mistral": ("mistral", "/v1", "mistral-large-latest"),
}

#: The only key that aimock takes: one of a client that came through would be refused.
PROVIDER_KEY: Final = "sk-of-the-provider"
USAGE: Final = {"prompt_tokens": 11, "completion_tokens": 7}
PLACE: Final = {"city": "Paris", "degrees": 21}
#: Tools that only mean an answer of a schema, as instructor, LangChain, pydantic-ai and the gateway name them.
OUTPUTS: Final = ("Place", "final_result", ANSWER)


def fixtures(folder: Path) -> list[dict[str, Any]]:
    """What is answered, by the words of the last user turn; the first that matches."""
    return [
        said("Say hello", content=SAID),
        said("Cut this short", content="It was a dark and", finishReason="length"),
        *called("weather in Berlin", [tool("weather", WEATHER_ARGUMENTS)], "It is sunny in Berlin."),
        *called("Compare", [tool("weather", {"city": c}) for c in ("Berlin", "Rome")], "Rome is warmer."),
        *called("What time is it", [tool("clock", {})], "It is noon."),
        *called("Look and think", [tool("weather", {"city": "Berlin"})], "It is mild.", reasoning=THOUGHT),
        *called("Read the notes", [tool("Read", {"file_path": str(folder / "notes.txt")})], "The notes are read."),
        said("Think hard", content=SAID, reasoning=THOUGHT),
        said("What is in the picture", content="A pixel."),
        *(said("Where is it", {"toolName": name}, toolCalls=[tool(name, PLACE)]) for name in OUTPUTS),
        said("Where is it", content=msgspec.json.encode(PLACE).decode()),
        refused("Break the rules", 400, "invalid_request_error", "That is against the rules."),
        refused("Come back later", 429, "rate_limit_error", "Too many requests."),
        {"match": {}, "response": {"content": "Fine.", "usage": USAGE}},
    ]


def said(words: str, match: dict[str, Any] | None = None, **response: Any) -> dict[str, Any]:
    return {"match": {"userMessage": words, **(match or {})}, "response": {"usage": USAGE, **response}}


def tool(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def called(words: str, calls: list[dict[str, Any]], then: str, **more: Any) -> list[dict[str, Any]]:
    """Calls of tools; and when their results are there, an answer."""
    return [
        said(words, {"hasToolResult": False}, toolCalls=calls, **more),
        said(words, {"hasToolResult": True}, content=then),
    ]


def refused(words: str, status: int, kind: str, message: str) -> dict[str, Any]:
    error = {"message": message, "type": kind}
    return {"match": {"userMessage": words}, "response": {"error": error, "status": status}}


class Aimock(Struct, frozen=True):
    """``url`` is where the gateway asks; ``seen`` tells a client what came; ``folder`` is where notes.txt is."""

    url: str
    seen: str
    folder: Path


@asynccontextmanager
async def aimock(command: Path) -> AsyncIterator[Aimock]:
    """aimock with its fixtures, behind a wire that remembers, until the block is left."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "fixtures.json").write_bytes(msgspec.json.encode({"fixtures": fixtures(folder)}))
        (folder / "notes.txt").write_text("Buy milk.\n")
        port = free_port()
        where = ("--host", "127.0.0.1", "--port", str(port), "--strict", "--log-level", "silent")
        options = (*where, "--fixtures", str(folder / "fixtures.json"), "--journal-max", "10000")
        opened = {**os.environ, "AIMOCK_API_KEYS": PROVIDER_KEY}
        await stack.enter_async_context(served(port, "/health", str(command), *options, environ=opened))
        wire = Wire(port)
        relay = await stack.enter_async_context(await asyncio.start_server(wire.carry, "127.0.0.1", 0))
        seen = await stack.enter_async_context(await asyncio.start_server(wire.tell, "127.0.0.1", 0))
        yield Aimock(address(relay), address(seen), folder)


def address(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Wire:
    """Carries requests to a port of this machine, and keeps what they were."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._requests: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return f"a wire to port {self._port} that carried {len(self._requests)} requests"

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection's requests there, and the answers back, for as long as both sides keep it."""
        there, to = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(copy(there, writer))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head, body = await request_of(reader)
                self._requests.append(noted(head, body))
                to.write(head + body)
        to.close()
        back.cancel()
        writer.close()

    async def tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What was carried that holds the words of the path; and of aimock's journal what it understood of it."""
        head = await reader.readuntil(b"\r\n\r\n")
        mark = unquote(head.split(b" ")[1].decode().removeprefix("/"))
        carried = [one for one in self._requests if mark in one["body"]]
        journal = [one for one in await asyncio.to_thread(self._journal) if mark.encode() in msgspec.json.encode(one)]
        body = msgspec.json.encode({"wire": carried, "journal": journal})
        writer.write(b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    def _journal(self) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/__aimock/journal", headers={"authorization": f"Bearer {PROVIDER_KEY}"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return msgspec.json.decode(response.read())


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body. The gateway always says how long a body is."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
    return head, await reader.readexactly(int(length))


def noted(head: bytes, body: bytes) -> dict[str, Any]:
    line, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
    return {"path": line.split(" ")[1], "headers": headers, "body": body.decode()}


def config_for(upstream: str) -> str:
    """The gateway's YAML: a deployment for each account, named after it, that is tried once and never left alone."""
    lines = [
        "providers:",
        *(
            f"  {name}: {{kind: {kind}, allow_private: true, api_key: '${{PROVIDER_KEY}}',"
            f" base_url: '{upstream}{path}'}}"
            for name, (kind, path, _) in ACCOUNTS.items()
        ),
        "deployments:",
        *(
            f"  at.{name}: {{provider: {name}, model: '{model}', price: {{input: 1, output: 2}}}}"
            for name, (_, _, model) in ACCOUNTS.items()
        ),
        "routes:",
        *(
            f"  - {{name: {name}, policy: {{pool: [at.{name}], retry: {{attempts: 1, same_target: 0}}}}}}"
            for name in ACCOUNTS
        ),
        "keys:",
        f"  - {{id: team, secret_hash: {Pepper().digest(KEY)}}}",
        f"  - {{id: narrow, secret_hash: {Pepper().digest(NARROW_KEY)}, routes: [openai]}}",
        "reliability: {breaker: {min_failures: 1000}}",
        "server: {port: 0, admin_port: 0, drain_delay: 0s}",
    ]
    return "\n".join(lines) + "\n"
