"""Looks at an account in Redis every 5 ms, and keeps the most that was ever committed. Read next: layer.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self, cast

from redis import Redis
from redis.exceptions import RedisError

from gateway.budgets.account import Row
from gateway.state.accounts import SUMS

__all__ = ["Watch", "committed", "rows"]

EVERY_S: Final = 0.005


class Watch(threading.Thread):
    """``most`` is the most that the rows came to together, in micro-dollars; ``looks`` counts how often that was seen.

    ``where`` gives the port of the server that is in charge.
    """

    def __init__(self, account: str, where: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self.most = self.looks = 0
        self._account, self._where = account, where
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Look until it is over."""
        while not self._over.is_set():
            try:
                with Redis(port=self._where(), socket_timeout=0.5, protocol=2) as client:
                    self._look(client)
            except (RedisError, OSError):
                time.sleep(0.05)

    def _look(self, client: Redis) -> None:
        while not self._over.wait(EVERY_S):
            self.most = max(self.most, committed(rows(client, self._account)))
            self.looks += 1


def rows(client: Redis, account: str) -> dict[str, Row]:
    """The rows of an account, by replica. Raises what redis-py raises."""
    found = cast(Mapping[bytes, bytes], client.hgetall(f"gw:account:{account}"))
    return {replica.decode(): Row(*map(int, row.split())) for replica, row in found.items() if replica != SUMS}


def committed(all_rows: Mapping[str, Row]) -> int:
    """What they come to."""
    return sum(row.committed for row in all_rows.values())
