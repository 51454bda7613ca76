"""A process that serves: its sockets, its signals, its event loop. Read next: app.py, what it runs.

SIGTERM ends it as an orchestrator wants it: it goes on serving until load balancers have noticed, and then waits for
the requests in flight. SIGINT is a person's and skips the first part, as does the death of a worker's parent. A second
signal ends the requests too, and a third everything at once. SIGHUP reads the configuration again.
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
from gateway.state.link import first_contact
from gateway.telemetry.log import Log, to_stderr
from gateway.types import World

__all__ = ["Inherited", "launch"]

Banner = Callable[[World, str, str], None]


class Inherited(Struct, frozen=True):
    """What a worker gets from its parent: its number, and descriptors.

    Those of its public and admin sockets, and of a pipe that says nothing and ends with its parent.
    """

    n: int
    public: int
    admin: int
    parent: int


def launch(load: Load, banner: Banner, *, path: str, worker: Inherited | None = None) -> int:
    """Load, listen, say so with ``banner``, and serve until told to stop.

    The exit status: 0, or 1 with the reason said.
    """

    def read() -> World:
        return _for_worker(load(), worker)

    try:
        world = read()
        if world.state is not None:
            asyncio.run(first_contact(world.state.reveal(), world.source))
        public, admin = _sockets(world, worker)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    banner(world, _address(public), _address(admin))
    try:
        uvloop.run(_serve(world, read, path, public, admin, parent=worker.parent if worker is not None else None))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _serve(
    world: World, load: Load, path: str, public: socket.socket, admin: socket.socket, *, parent: int | None
) -> None:
    log = Log(to_stderr)
    app = App(world, load=load, log=log)
    end = _End(app)
    loop = asyncio.get_running_loop()
    watcher = Watcher(path, load, app.swap, app.refuse)
    reloads: set[asyncio.Task[bool]] = set()

    def reload() -> None:
        # Not in the signal's own callback: reading takes a while, and discovery runs a loop of its own.
        reloads.add(task := asyncio.create_task(app.reload()))
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGTERM, end.on_signal, True)
    loop.add_signal_handler(signal.SIGINT, end.on_signal, False)
    loop.add_signal_handler(signal.SIGHUP, reload)
    if parent is not None:
        loop.add_reader(parent, end.on_orphaned, parent)
    watching = asyncio.create_task(watcher.run())
    try:
        await app.run(public, admin, end.stop)
    finally:
        watching.cancel()
        await asyncio.to_thread(log.close)


class _End:
    """How far the process is on its way out. ``stop`` is what closes the listeners."""

    def __init__(self, app: App) -> None:
        self.stop = asyncio.Event()
        self._app = app
        self._signals = 0

    def on_signal(self, in_turn: bool) -> None:
        """One more signal; the first lets load balancers notice when it is ``in_turn``."""
        self._signals += 1
        if self._signals > 2:
            os._exit(1)
        if self._signals > 1:
            self._app.abandon()
        elif in_turn and (delay_s := self._app.move_on()):
            asyncio.get_running_loop().call_later(delay_s, self.stop.set)
            return
        self.stop.set()

    def on_orphaned(self, parent: int) -> None:
        """The parent is dead, and its successor will want all addresses. What is under way may still finish."""
        asyncio.get_running_loop().remove_reader(parent)
        self._app.make_room()
        self.stop.set()


def _for_worker(world: World, worker: Inherited | None) -> World:
    """Each worker writes a journal and a ledger of its own."""
    if worker is None:
        return world
    journal, ledger = world.journal.path, world.money.ledger
    return replace(
        world,
        journal=replace(world.journal, path=f"{journal}.{worker.n}") if journal is not None else world.journal,
        money=replace(world.money, ledger=f"{ledger}.{worker.n}") if ledger is not None else world.money,
    )


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
