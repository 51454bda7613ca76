"""A process that serves: its sockets, its signals, its event loop. Read next: app.py, what it runs.

SIGTERM and SIGINT end it after the requests in flight; a second one ends those too, and a third everything at once.
SIGHUP reads the configuration again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable

import uvloop
from msgspec import Struct
from msgspec.structs import replace

from gateway.api.serve import bind
from gateway.app import App, Load
from gateway.config.watch import Watcher
from gateway.errors import ConfigError
from gateway.telemetry.log import Log, to_stderr
from gateway.types import World

__all__ = ["Inherited", "launch"]

Banner = Callable[[World, str, str], None]


class Inherited(Struct, frozen=True):
    """What a worker gets from its parent: its number, and the descriptors of its public and admin sockets."""

    n: int
    public: int
    admin: int


def launch(load: Load, banner: Banner, *, path: str, worker: Inherited | None = None) -> int:
    """Load, listen, say so with ``banner``, and serve until told to stop.

    The exit status: 0, or 1 with the reason said.
    """

    def read() -> World:
        return _for_worker(load(), worker)

    try:
        world = read()
        public, admin = _sockets(world, worker)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    banner(world, _address(public), _address(admin))
    uvloop.run(_serve(world, read, path, public, admin))
    return 0


async def _serve(world: World, load: Load, path: str, public: socket.socket, admin: socket.socket) -> None:
    log = Log(to_stderr)
    app = App(world, load=load, log=log)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    watcher = Watcher(path, load, app.swap, app.refuse)

    signals = 0
    reloads: set[asyncio.Task[bool]] = set()

    def end() -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            stop.set()
        elif signals == 2:
            app.abandon()
        else:
            os._exit(1)

    def reload() -> None:
        # Not in the signal's own callback: reading takes a while, and discovery runs a loop of its own.
        reloads.add(task := asyncio.create_task(app.reload()))
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGINT, end)
    loop.add_signal_handler(signal.SIGHUP, reload)
    watching = asyncio.create_task(watcher.run())
    try:
        await app.run(public, admin, stop)
    finally:
        watching.cancel()
        await asyncio.to_thread(log.close)


def _for_worker(world: World, worker: Inherited | None) -> World:
    """Each worker writes a journal of its own."""
    if worker is None or world.journal.path is None:
        return world
    return replace(world, journal=replace(world.journal, path=f"{world.journal.path}.{worker.n}"))


def _sockets(world: World, worker: Inherited | None) -> tuple[socket.socket, socket.socket]:
    if worker is not None:
        return socket.socket(fileno=worker.public), socket.socket(fileno=worker.admin)
    server = world.server
    public = bind(server.host, server.port)
    try:
        return public, bind(server.admin_host, server.admin_port)
    except OSError:
        public.close()
        raise


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
