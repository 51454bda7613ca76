"""Servers for the judges, each in a process of its own that ends with the block. Read next: __main__.py."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "free_port", "gateway", "llmock", "served", "steady"]

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 30


@asynccontextmanager
async def gateway(config: str, environ: Mapping[str, str]) -> AsyncIterator[str]:
    """`signalbox run` with this YAML; gives its address, without ``/v1``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.yaml"
        path.write_text(config)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "run", "--config", str(path)),
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield await banner(process)
        finally:
            await end(process)


@asynccontextmanager
async def steady(command: Path, spec: Path) -> AsyncIterator[str]:
    """The mock of OpenAI's API, made from its description; gives its address."""
    brackets = ("--validator-query-array-format=brackets", "--validator-query-object-format=brackets")
    port = free_port()
    options = ("--host", "127.0.0.1", "--port", str(port), "--quiet", *brackets, str(spec))
    async with served(port, "/_x-steady/health", str(command), *options) as url:
        yield url


@asynccontextmanager
async def llmock(command: Path, *options: str) -> AsyncIterator[str]:
    """A provider that fails as it is told, and judges its client; gives its address, without ``/v1``."""
    port = free_port()
    where = ("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning")
    async with served(port, "/health", str(command), "serve", *where, *options) as url:
        yield url


@asynccontextmanager
async def served(port: int, health: str, *command: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[str]:
    """A server in a process of its own, from when it is healthy until the block is left."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, env=environ
    )
    try:
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(answers, url + health):
                await asyncio.sleep(0.1)
        yield url
    finally:
        await end(process)


async def banner(process: asyncio.subprocess.Process) -> str:
    """The address that the gateway says it serves clients at."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        async for line in process.stdout:
            if found := re.search(r"clients +(\S+)/v1", line.decode()):
                return found[1]
    raise RuntimeError("the gateway ended before it served: run it by hand with this configuration")


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
