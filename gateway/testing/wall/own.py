"""Our own gateway between the suite and the wall: its configuration, and a process that serves it.

Read next: scenarios.py, which the configuration is made from.
"""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

import yaml

from gateway.testing.wall.scenarios import FALLBACKS, SCENARIOS
from gateway.testing.wall.seen import Profile

__all__ = ["NotServing", "config", "own_gateway"]

#: Until the gateway listens, in seconds.
START_S = 20.0
#: Until it has ended after SIGTERM, in seconds.
END_S = 5.0


def config(wall: str, profile: Profile) -> str:
    """The YAML of a gateway before the wall at that base URL: all that we tell it, and nothing of what goes wrong.

    Each model is behind an account of its own, so that what befalls one scenario is not held against another.
    """

    def seconds(full: float) -> str:
        return f"{profile.seconds(full):g}s"

    limits = {"connect": 3, "first_byte": 10, "first_token": 10, "stall": 10, "no_content": 10, "total": 30}
    timeouts = {part: seconds(full) for part, full in limits.items()}
    account = {"kind": "openai_compatible", "base_url": wall, "allow_private": True, "timeouts": timeouts}
    windows = {**dict.fromkeys(SCENARIOS, "8k"), **dict.fromkeys(FALLBACKS, "128k")}
    pools: dict[str, dict[str, Any]] = {"healthy": {"pool": ["at-healthy"]}}
    for scenario in SCENARIOS.values():
        pools[scenario.id] = {
            "pool": [f"at-{scenario.id}"],
            "fallback": [f"at-{scenario.fallback}"],
            "rescue": "splice",
        }
    parts: Mapping[str, Any] = {
        "providers": {f"wall-{model}": account for model in windows},
        "deployments": {
            f"at-{model}": {
                "provider": f"wall-{model}",
                "model": model,
                "context_window": window,
                "prefill": model in FALLBACKS,
            }
            for model, window in windows.items()
        },
        "routes": [{"name": name, "when": {"model": name}, "policy": policy} for name, policy in pools.items()],
        "reliability": {
            "breaker": {"window": seconds(30), "open": seconds(30), "idle_probe": seconds(5)},
            "keep_alive": seconds(15),
        },
        "server": {"port": 0, "admin_port": 0, "drain_delay": "0s", "drain": "1s"},
    }
    return str(yaml.dump(parts, Dumper=Plain, sort_keys=False, default_flow_style=None, width=120))


class Plain(yaml.SafeDumper):
    """YAML without anchors, which configurations do not have."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whatever occurs twice is written twice."""
        return True


class NotServing(Exception):
    """There is no gateway to judge; the message says why."""


@asynccontextmanager
async def own_gateway(text: str) -> AsyncIterator[str]:
    """The base URL of a gateway process with that configuration, which ends with the block.

    Raises NotServing, with what the process said, when it does not start.
    """
    with files(text) as (path, log):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "run", "--config", path), stdin=DEVNULL, stdout=PIPE, stderr=log
        )
        try:
            yield await address(process, log)
        finally:
            await end(process)


@contextmanager
def files(text: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The path of the configuration, and a file for what the process says; both go with the block."""
    with TemporaryDirectory() as directory, TemporaryFile() as log:
        path = Path(directory, "gateway.yaml")
        path.write_text(text, encoding="utf-8")
        yield str(path), log


async def address(process: Process, log: IO[bytes]) -> str:
    """The base URL that a starting gateway prints."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_S):
            while line := await process.stdout.readline():
                if found := re.search(rb"clients\s+(\S+/v1)", line):
                    return found[1].decode()
    except TimeoutError:
        pass
    log.seek(0)
    raise NotServing(f"the gateway did not start: {log.read().decode(errors='replace')[-2000:] or 'it said nothing'}")


async def end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
