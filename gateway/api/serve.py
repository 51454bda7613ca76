"""Listeners: one uvicorn server each, in one event loop, without its signal handling. Read next: protocol.py.

The end of a listener is not uvicorn's. It first lets its connections move on, then closes with nobody waiting at the
door, waits for what is under way, tells the rest that it was cut off, and goes when they have said their last words.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, cast

import uvicorn

from gateway.api.protocol import ClientProtocol, Clients
from gateway.types import Server

__all__ = ["Listener", "bind"]

BACKLOG = 2048
KEEP_ALIVE_S = 75
#: How long requests that are cut off have for their records and last words, in seconds.
LAST_WORDS_S = 2.0
#: Between two looks at what is still under way, in seconds.
LOOK_S = 0.02


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
                backlog=BACKLOG,
            )
        )
        self._socket = sock
        self._drain_s = server.drain_s
        self.server_state: Clients = Clients()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """None: two servers in one process would fight over them."""
        yield

    def move_on(self) -> None:
        """Serve as before, but let every connection end with its next answer, so that clients connect elsewhere."""
        self.server_state.moving_on = True
        for connection in self._connections():
            connection.move_on()

    def abandon(self) -> None:
        """Wait no longer for the requests in flight: they are cut off as soon as the listener is closed."""
        self.force_exit = True

    async def run_until_stopped(self) -> None:
        """Serve until ``should_exit`` is set and the requests in flight have ended."""
        await self.serve(sockets=[self._socket])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listener, wait for the requests in flight, cut off those that take longer than they may."""
        self.move_on()
        # Who is connected but not yet taken in would be reset by the closing.
        await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        for connection in self._connections():
            connection.shutdown()
        await self._over(self._drain_s, unless=lambda: self.force_exit)
        for task in self.server_state.tasks:
            task.cancel()
        await self._over(LAST_WORDS_S)
        for connection in self._connections():
            connection.transport.abort()

    async def _over(self, within_s: float, unless: Callable[[], bool] = lambda: False) -> None:
        """Wait until no request and no connection is left, or for so long."""
        now = asyncio.get_running_loop().time
        until = now() + within_s
        state = self.server_state
        # uvicorn's sets do not tell when they are empty.
        while (state.tasks or state.connections) and now() < until and not unless():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)

    def _connections(self) -> list[ClientProtocol]:
        return cast("list[ClientProtocol]", list(self.server_state.connections))


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
