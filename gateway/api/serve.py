"""Listeners: one uvicorn server each, in one event loop, without its signal handling. Read next: protocol.py."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Generator
from functools import partial
from typing import Any

import uvicorn

from gateway.api.protocol import ClientProtocol
from gateway.types import Server

__all__ = ["Listener", "bind"]

BACKLOG = 2048
KEEP_ALIVE_S = 75


class Listener(uvicorn.Server):
    """One application on one socket. Signals are the process's business, not a listener's."""

    def __init__(self, app: Any, sock: socket.socket, *, server: Server) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(ClientProtocol, head_timeout_s=server.header_timeout_s),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=math.ceil(server.drain_s),
                backlog=BACKLOG,
            )
        )
        self._socket = sock

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """None: two servers in one process would fight over them."""
        yield

    def abandon(self) -> None:
        """Cancel the requests in flight, and wait for no connection."""
        for task in self.server_state.tasks:
            task.cancel()
        self.force_exit = True

    async def run_until_stopped(self) -> None:
        """Serve until ``should_exit`` is set and the requests in flight have ended."""
        await self.serve(sockets=[self._socket])


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError that names the address, as when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock
