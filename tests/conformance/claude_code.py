"""Claude Code, without a screen, before providers of every protocol. Read next: clients.py, aimock.py.

It is given nothing of this machine's environment, a home of its own, and the gateway as its only address.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from tests.conformance.aimock import Aimock
from tests.conformance.client_base import KEY, PROTOCOLS, SAID, Ask
from tests.conformance.workshop import CLAUDE, Missing

__all__ = ["judged"]

PATIENCE_S: Final = 60
QUIET: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}
NAME: Final = CLAUDE.rpartition("/")[2].replace("@", " ")


class Said(Struct):
    """What it prints at the end, of which there is more."""

    result: str = ""
    is_error: bool = True


async def judged(command: Path, url: str, upstream: Aimock) -> AsyncIterator[tuple[str, str]]:
    """A word and a line for each promise; a line without a word says more of the one before. Raises Missing."""
    await version(command)
    for name, promise in (("a prompt is answered", answered), ("a file is read by a tool", read)):
        wrong = [(model, why) for model in PROTOCOLS if (why := await promise(command, url, upstream, model))]
        kept = f"{len(PROTOCOLS) - len(wrong)} of {len(PROTOCOLS)}"
        yield "FAILED" if wrong else "ok", f"{NAME}: {name}: {kept}"
        for model, why in wrong:
            yield "", f"{model}: {why}"


async def answered(command: Path, url: str, upstream: Aimock, model: str) -> str:
    """Why not, or nothing."""
    said = await ask(command, url, upstream, model, "Say hello, please.")
    return "" if said.result == SAID and not said.is_error else f"{said.result[:300]!r}"


async def read(command: Path, url: str, upstream: Aimock, model: str) -> str:
    """It is told to read a file, does so with its own tool, and sends what is in it."""
    mark = f"of {model}, asked for once"
    said = await ask(command, url, upstream, model, f"Read the notes {mark}")
    if said.result != "The notes are read.":
        return f"{said.result[:300]!r}"
    requests = await asyncio.to_thread(Ask(url, upstream.seen, model, mark).wire)
    return "" if "Buy milk." in requests[-1]["body"] else f"the file did not come: {requests[-1]['body'][-300:]}"


async def ask(command: Path, url: str, upstream: Aimock, model: str, prompt: str) -> Said:
    """One run. What it prints where that is no answer is taken for one that is an error."""
    options = ("--output-format", "json", "--strict-mcp-config", "--add-dir", str(upstream.folder))
    opened = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_SMALL_FAST_MODEL": model}
    printed = await run(command, "-p", prompt, "--model", model, *options, "--allowedTools", "Read", **opened)
    try:
        return msgspec.json.decode(printed, type=Said)
    except msgspec.DecodeError:
        return Said(printed.decode(errors="replace"))


async def version(command: Path) -> None:
    if b"Claude Code" not in (said := await run(command, "--version")):
        raise Missing(f"{NAME} does not run here: {said.decode(errors='replace').strip()[-200:]}")


async def run(command: Path, *arguments: str, **environ: str) -> bytes:
    """What it prints, within a minute, in an empty folder with an empty home."""
    with tempfile.TemporaryDirectory() as home:
        kept: dict[str, Any] = {"PATH": "/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8", **QUIET, **environ}
        process = await asyncio.create_subprocess_exec(
            *(str(command), *arguments),
            cwd=home,
            env=kept,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            return b"it was silent for a minute"
    return printed
