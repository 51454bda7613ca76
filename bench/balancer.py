"""A load balancer as small as one can be, and nginx as one: what stands before the replicas of rolling.py.

Read next: rolling.py. The small one is like a Kubernetes service: it passes connections, not requests, to replicas that
say that they are ready, so a kept-alive connection stays where it is until one of its ends closes it.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

from bench.replica import free_port, get

__all__ = ["balancing", "nginx"]

LOOK_S = 0.2


@asynccontextmanager
async def balancing(ports: Sequence[int]) -> AsyncIterator[int]:
    """A balancer before these ports; gives its own."""
    balancer = _Balancer(ports)
    server = await asyncio.start_server(balancer.carry, "127.0.0.1", 0, backlog=1024)
    watching = asyncio.create_task(balancer.watch())
    while not balancer.ready:
        await asyncio.sleep(0.02)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        watching.cancel()
        server.close()
        balancer.hang_up()


class _Balancer:
    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._next = cycle(ports)
        self._lines: set[asyncio.Task[None]] = set()
        self.ready: set[int] = set()

    async def watch(self) -> None:
        while True:
            states = await asyncio.gather(*[get(port, "/readyz", 1.0) for port in self._ports])
            self.ready = {port for port, (status, _) in zip(self._ports, states, strict=True) if status == 200}
            await asyncio.sleep(LOOK_S)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, until either end closes it."""
        for _ in self._ports:
            port = next(port for port in self._next if port in self.ready or not self.ready)
            try:
                back, forth = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue  # it has gone since we last looked: nothing was sent yet, so the next may have it
            lines = {asyncio.create_task(_pump(reader, forth)), asyncio.create_task(_pump(back, writer))}
            self._lines |= lines
            await asyncio.wait(lines, return_when=asyncio.FIRST_COMPLETED)
            self._lines -= lines
            for line in lines:
                line.cancel()
            forth.close()
            break
        writer.close()

    def hang_up(self) -> None:
        for line in self._lines:
            line.cancel()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass


@asynccontextmanager
async def nginx(ports: Sequence[int], directory: Path) -> AsyncIterator[int]:
    """nginx before these ports, with connections kept alive on both sides; gives its own."""
    command, port = shutil.which("nginx"), free_port()
    if command is None:
        raise FileNotFoundError("there is no nginx on the PATH (Debian: apt-get install nginx-light)")
    servers = "".join(f"server 127.0.0.1:{one} max_fails=0; " for one in ports)
    temporary = "".join(f"{kind}_temp_path {directory}/{kind}; " for kind in TEMPORARY)
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/nginx.log warn;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; {temporary} keepalive_requests 100000;\n"
        f"upstream replicas {{ {servers} keepalive 64; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ proxy_pass http://replicas;\n"
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;\n'
        "proxy_next_upstream error; } } }\n"
    )
    process = subprocess.Popen([command, "-c", str(config), "-e", str(directory / "nginx.log")])
    try:
        while (await get(port, "/readyz"))[0] != 200:
            await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
