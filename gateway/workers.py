"""Several processes behind one address: a parent that binds, starts, watches and ends them. Read next: launch.py.

Every worker is a whole gateway with an admin port of its own, ``admin_port`` counting up; what they must agree on goes
through Redis. One process in each container is the better choice where something else starts processes.

A parent that is killed can tell its workers nothing; but a pipe of which it holds the other end then ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from msgspec import Struct

from gateway.api.serve import bind
from gateway.errors import ConfigError
from gateway.state.link import first_contact
from gateway.types import World

__all__ = ["MOST", "supervise"]

MOST: Final = 64
#: How long a worker that died is left down, in seconds: one that cannot start must not burn a core.
REST_S: Final = 1.0

Command = Callable[[int, int, int, int], Sequence[str]]


class Worker(Struct, eq=False):
    """One worker: its number, its admin socket, and its process, None while it rests."""

    n: int
    admin: socket.socket
    process: subprocess.Popen[bytes] | None = None
    down_at: float = 0.0


def supervise(load: Callable[[], World], command: Command, workers: int) -> int:
    """Serve with this many workers until told to stop. The exit status: 0, or 1 with the reason said.

    ``command`` gives the command line of worker ``n`` for three descriptors: those of its public and admin sockets,
    and of the pipe that ends with this process.
    """
    try:
        world = load()
        if world.state is None:
            raise OSError(
                f"--workers {workers} needs `state:` with a Redis address, where cooling, spend and the decision log"
                " of several processes meet; set it, or run one worker"
            )
        asyncio.run(first_contact(world.state.reveal(), world.source))
        public = bind(world.server.host, world.server.port)
        crew = [Worker(n, bind(world.server.admin_host, _admin_port(world, n))) for n in range(workers)]
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{workers} workers on http://{world.server.host}:{public.getsockname()[1]}, each with an admin port:")
    for worker in crew:
        print(
            f"  worker {worker.n}  http://{world.server.admin_host}:{worker.admin.getsockname()[1]}/metrics", flush=True
        )
    _Parent(crew, public, command).run()
    return 0


class _Parent:
    def __init__(self, crew: Sequence[Worker], public: socket.socket, command: Command) -> None:
        self._crew = crew
        self._public = public
        self._command = command
        self._told: list[int] = []
        # Only the reading end is passed on, or the pipe would live as long as the workers.
        self._alive, self._held = os.pipe()

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._hear)
        while not self._forward():
            for worker in self._crew:
                self._look_after(worker)
            time.sleep(0.1)
        # Or clients would be let in where nobody serves any more, once the workers have closed theirs.
        for sock in (self._public, *(worker.admin for worker in self._crew)):
            sock.close()
        while any(worker.process is not None and worker.process.poll() is None for worker in self._crew):
            time.sleep(0.1)
            self._forward()

    def _look_after(self, worker: Worker) -> None:
        now = time.monotonic()
        if worker.process is not None and worker.process.poll() is not None:
            print(
                f"worker {worker.n} ended with status {worker.process.returncode}; starting it again", file=sys.stderr
            )
            worker.process, worker.down_at = None, now
        if worker.process is None and now >= worker.down_at + REST_S * bool(worker.down_at):
            descriptors = (self._public.fileno(), worker.admin.fileno(), self._alive)
            # A group of their own, so that a Ctrl-C reaches the workers once: from here.
            worker.process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command(worker.n, *descriptors), pass_fds=descriptors, start_new_session=True
            )

    def _hear(self, number: int, frame: FrameType | None) -> None:
        # Not forwarded from here: a worker that is being started at this moment would not get it.
        self._told.append(number)

    def _forward(self) -> bool:
        """Tell the workers what this process was told since; whether that was to stop."""
        told = [self._told.pop(0) for _ in range(len(self._told))]
        for number in told:
            for worker in self._crew:
                if worker.process is not None and worker.process.poll() is None:
                    worker.process.send_signal(number)
        return any(number != signal.SIGHUP for number in told)


def _admin_port(world: World, n: int) -> int:
    return world.server.admin_port + n if world.server.admin_port else 0
