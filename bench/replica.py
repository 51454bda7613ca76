"""A gateway process that a bench starts, asks and ends. Read next: rolling.py and aborts.py, which use it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

__all__ = ["Replica", "free_port", "get"]


class Replica:
    """One gateway at two fixed ports, with a configuration, a journal and a log of its own.

    ``more`` is YAML: providers, deployments, and whatever else but ``server`` and ``journal``.
    """

    def __init__(self, directory: Path, name: str, more: str, *, drain_delay_s: float = 0.0) -> None:
        self.port, self.admin = free_port(), free_port()
        self.journal, self._stderr = directory / f"{name}.jsonl", directory / f"{name}.stderr"
        self._config = directory / f"{name}.yaml"
        self._config.write_text(
            f"{more}\njournal: {{path: {self.journal}}}\n"
            f"server: {{port: {self.port}, admin_port: {self.admin}, drain_delay: {drain_delay_s * 1000:.0f}ms}}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started last. Raises RuntimeError when none runs."""
        if self._process is None:
            raise RuntimeError("the replica is not running")
        return self._process.pid

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


async def get(port: int, path: str, within_s: float = 2.0) -> tuple[int, bytes]:
    """A GET on a connection of its own: status and body; status 0 when there is no answer."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return 0, b""
    return (int(head[9:12]) if head else 0), body


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
