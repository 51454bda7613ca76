"""Clients that others wrote, before the gateway, with aimock as the provider of every protocol.

Read next: aimock.py, the provider; client_base.py and client_openai.py, what is promised to a client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.conformance import claude_code
from tests.conformance.aimock import PROVIDER_KEY, Aimock, aimock, config_for
from tests.conformance.running import ROOT, gateway
from tests.conformance.workshop import Missing, fetch_aimock, fetch_claude, fetch_python

__all__ = ["CLIENTS", "Client", "judged"]

#: How long one client may take for all of its promises.
PATIENCE_S: Final = 300


class Client(Struct, frozen=True):
    """``judge`` is a module beside this one, which runs where ``packages`` are."""

    judge: str
    packages: tuple[str, ...]

    @property
    def name(self) -> str:
        """In a word."""
        return self.packages[0].replace("==", " ")


#: Each in the newest release when this was last looked at, and SDKs in an older major too.
CLIENTS: Final = (
    Client("client_openai", ("openai==2.54.0",)),
    Client("client_openai", ("openai==3.52.0",)),
    Client("client_anthropic", ("anthropic==1.17.0",)),
    Client("client_anthropic", ("anthropic==2.14.0",)),
    Client("client_langchain", ("langchain-openai==1.7.4", "langchain-anthropic==1.7.10")),
    Client("client_pydantic_ai", ("pydantic-ai-slim[openai,anthropic]==2.68.0",)),
    Client("client_instructor", ("instructor[anthropic]==1.17.0",)),
)


async def judged(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """A word and a line for each promise; lines without a word say more of the one before. Raises Missing."""
    command = await fetch_aimock(folder)
    async with aimock(command) as upstream, gateway(config_for(upstream.url), {"PROVIDER_KEY": PROVIDER_KEY}) as url:
        for client in CLIENTS:
            try:
                python = await fetch_python(client.packages, folder)
            except Missing as why:
                yield "skipped", f"{client.name}: {why}"
                continue
            async for line in of_client(client, python, url, upstream):
                yield line
        try:
            async for line in claude_code.judged(await fetch_claude(folder), url, upstream):
                yield line
        except Missing as why:
            yield "skipped", f"Claude Code: {why}"


async def of_client(client: Client, python: Path, url: str, upstream: Aimock) -> AsyncIterator[tuple[str, str]]:
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", f"tests.conformance.{client.judge}", url, upstream.seen),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    heard = 0
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for line in process.stdout:
                heard += 1
                word, _, rest = line.decode().rstrip().partition(" ")
                yield word, rest.strip()
            ended = await process.wait()
    except TimeoutError:
        process.kill()
        ended = await process.wait()
    if ended not in (0, 1) or not heard:
        yield "FAILED", f"{client.name}: {client.judge} ended with {ended}"
