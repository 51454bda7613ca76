"""What the judges need, fetched once by pip and npm, pinned: a place for each SDK, its tests, a mock of the API.

Read next: running.py, which starts servers.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
import tarfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

__all__ = [
    "CLAUDE",
    "Missing",
    "Sdk",
    "fetch_aimock",
    "fetch_claude",
    "fetch_llmock",
    "fetch_oracle",
    "fetch_python",
    "fetch_sdk",
    "fetch_steady",
]

TOOLS: Final = (
    "pytest==9.2.0",
    "pytest-asyncio==1.5.0",
    "pytest-xdist==3.8.0",
    "respx==0.23.1",
    "rich==15.0.0",
)
STEADY: Final = "@stdy/cli@0.22.2"
AIMOCK: Final = "@copilotkit/aimock@1.43.0"
CLAUDE: Final = "@anthropic-ai/claude-code@2.1.332"
LLMOCK: Final = "llmock==0.2.2"
#: The SDKs of the providers whose words we translate, in one environment.
ORACLE: Final = (
    "anthropic==2.14.0",
    "botocore==1.44.8",
    "google-genai==3.6.1",
    "mistralai==3.7.0",
    "openai==3.57.0",
)


class Missing(Exception):
    """A judge cannot be asked here; the message says why."""


class Sdk(Struct, frozen=True):
    """One release of OpenAI's SDK: the python that has it, and the folder with its own tests."""

    version: str
    python: Path
    tests: Path


async def fetch_sdk(version: str, into: Path) -> Sdk:
    """Install a release and unpack its source. Raises Missing when pip cannot."""
    place = into / f"openai-{version}"
    sdk = Sdk(version, place / "bin" / "python", place / "source")
    if not sdk.tests.exists():
        shutil.rmtree(place, ignore_errors=True)
        pip = (str(sdk.python), "-m", "pip", "--disable-pip-version-check")
        await run(sys.executable, "-m", "venv", str(place))
        await run(*pip, "install", "--quiet", f"openai[aiohttp]=={version}", *TOOLS)
        await run(
            *pip, "download", "--quiet", "--no-deps", "--no-binary=openai", f"--dest={place}", f"openai=={version}"
        )
        unpack(place / f"openai-{version}.tar.gz", sdk.tests)
    return sdk


async def fetch_steady(into: Path) -> Path:
    """Install the mock server that the SDK's own tests are written for. Raises Missing when npm cannot."""
    command = into / "steady" / "node_modules" / ".bin" / "steady"
    if not command.exists():
        if shutil.which("npm") is None:
            raise Missing("there is no npm to install the mock server with")
        (into / "steady").mkdir(parents=True, exist_ok=True)
        await run("npm", "install", "--silent", "--no-audit", "--no-fund", f"--prefix={into / 'steady'}", STEADY)
    return command


async def fetch_aimock(into: Path) -> Path:
    """Install the provider of many protocols. Raises Missing when npm cannot."""
    return await fetch_node(AIMOCK, into / "aimock", "@copilotkit/aimock/dist/cli.js")


async def fetch_claude(into: Path) -> Path:
    """Install Claude Code, whose program is in a package for each kind of machine. Raises Missing when npm cannot."""
    arch = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    program = f"@anthropic-ai/claude-code-{sys.platform}-{arch}/claude"
    return await fetch_node(CLAUDE, into / "claude-code", program)


async def fetch_node(package: str, place: Path, program: str) -> Path:
    """Install a package of npm's, none of whose scripts is run, and give a file of it. Raises Missing."""
    installed = place / package.replace("/", "+")
    command = installed / "node_modules" / program
    if not command.exists():
        if shutil.which("npm") is None:
            raise Missing(f"there is no npm to install {package} with")
        installed.mkdir(parents=True, exist_ok=True)
        quiet = ("--silent", "--ignore-scripts", "--no-audit", "--no-fund")
        await run("npm", "install", *quiet, f"--prefix={installed}", package)
    if not command.exists():
        raise Missing(f"{package} has no {program}")
    return command


async def fetch_llmock(into: Path) -> Path:
    """Install the provider that judges its client. Raises Missing when pip cannot."""
    place = into / LLMOCK
    command = place / "bin" / "llmock"
    if not command.exists():
        await run(sys.executable, "-m", "venv", str(place))
        await run(str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", LLMOCK)
    return command


async def fetch_oracle(into: Path) -> Path:
    """Install the providers' SDKs; gives the python that has them. Raises Missing when pip cannot."""
    return await fetch_python(ORACLE, into, "oracle")


async def fetch_python(packages: Sequence[str], into: Path, name: str = "client") -> Path:
    """Install packages in an environment of their own; gives its python. Raises Missing when pip cannot."""
    place = into / f"{name}-{sha256(' '.join(packages).encode()).hexdigest()[:8]}"
    python, complete = place / "bin" / "python", place / "complete"
    if not complete.exists():
        await run(sys.executable, "-m", "venv", str(place))
        await run(str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *packages)
        complete.touch()
    return python


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise Missing(f"{' '.join(command[:4])} … failed: {said.decode(errors='replace').strip()[-300:]}")


def unpack(archive: Path, to: Path) -> None:
    """The source of a release. It appears under its name only when it is complete."""
    half = to.with_suffix(".half")
    with tarfile.open(archive) as source:
        source.extractall(half, filter="data")
    (only,) = half.iterdir()
    only.rename(to)
    half.rmdir()
