"""Gateway processes that a bench starts, asks and ends. Read next: rolling.py, aborts.py and chaos/, which use them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

__all__ = ["Replica", "crew", "free_port", "get"]


class Replica:
    """One gateway at two fixed ports, with a configuration, a journal and a log of its own.

    ``more`` is YAML: providers, deployments, and whatever else but ``server`` and ``journal``.
    """

    def __init__(self, directory: Path, name: str, more: str, *, drain_delay_s: float = 0.0) -> None:
        self.port, self.admin = free_port(), free_port()
        self.journal, self._stderr = directory / f"{name}.jsonl", directory / f"{name}.stderr"
        self._config = directory / f"{name}.yaml"
        self._own = (
            f"journal: {{path: {self.journal}}}\n"
            f"server: {{port: {self.port}, admin_port: {self.admin}, drain_delay: {drain_delay_s * 1000:.0f}ms}}\n"
        )
        self._config.write_text(f"{more}\n{self._own}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started last. Raises RuntimeError when none runs."""
        if self._process is None:
            raise RuntimeError("the replica is not running")
        return self._process.pid

    async def configure(self, more: str, *, whole: bool = False) -> int:
        """Put another configuration in its file's place and have it read at once: the status of that, 200 or 422.

        ``more`` is as for a new one; with ``whole`` it is all that the file holds.
        """
        new = self._config.with_suffix(".new")
        new.write_text(more if whole else f"{more}\n{self._own}")
        new.rename(self._config)
        status, _ = await get(self.admin, "/admin/config/reload", method="POST")
        return status

    def records(self) -> list[dict[str, Any]]:
        """What its journal holds."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_bytes().splitlines()]

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "gateway", "run", "--config", str(self._config)]
        with self._stderr.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        while await get(self.port, "/readyz") != (200, b'{"status":"ok"}'):
            if self._process.poll() is not None:
                raise RuntimeError(f"the gateway did not start: {self._stderr.read_text()}")
            await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """SIGTERM, and wait for its end. The exit status."""
        if self._process is None:
            raise RuntimeError("the replica is not running")
        self._process.send_signal(signal.SIGTERM)
        while (status := self._process.poll()) is None:
            await asyncio.sleep(0.02)
        self._process = None
        return status

    def kill(self) -> None:
        """End it, if it runs, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def open_files(self) -> int:
        """File descriptors of the process."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    async def inflight(self) -> float:
        """What the gauge says."""
        _, text = await get(self.admin, "/metrics")
        found = re.search(rb"^gateway_inflight_requests ([\d.]+)$", text, re.MULTILINE)
        return float(found[1]) if found else -1.0

    def trouble(self) -> str:
        """What it said that is no line of its log: tracebacks."""
        lines = self._stderr.read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("{"))


@asynccontextmanager
async def crew(directory: Path, more: str, *, drain_delay_s: float = 0.0) -> AsyncIterator[list[Replica]]:
    """Two replicas of one configuration that run, until the block is left."""
    replicas = [Replica(directory, name, more, drain_delay_s=drain_delay_s) for name in ("one", "other")]
    try:
        await asyncio.gather(*[replica.start() for replica in replicas])
        yield replicas
    finally:
        for replica in replicas:
            replica.kill()


async def get(port: int, path: str, within_s: float = 2.0, *, method: str = "GET") -> tuple[int, bytes]:
    """A request without a body on a connection of its own: status and body; status 0 when there is no answer."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                head = f"{method} {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n"
                writer.write(f"{head}content-length: 0\r\n\r\n".encode())
                status, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return 0, b""
    return (int(status[9:12]) if status else 0), body


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
