"""One process that spends a budget through a Treasury of its own, and is killed on the way. Read next: crew.py.

What it does it also writes to a file of its own, line by line, each before the treasury hears of it: what the provider
would know. A process that is started again goes on with the number of calls that file has.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any, Final, Literal

import uvloop
from msgspec import Struct

from gateway.errors import Unavailable
from gateway.state.ending import end
from gateway.state.ledger import Ledger
from gateway.state.over_redis import Redis
from gateway.treasury import Chapter, Purse, Treasury
from gateway.types import Budget, Money, Scope

__all__ = ["SCOPE", "Orders", "spend"]

#: The one budget that all spend.
SCOPE: Final = "team:torture"
AT_ONCE: Final = 32
#: The bound of a call is drawn from these, in micro-dollars.
BOUNDS: Final = (2_000, 40_000)
#: Of a hundred calls: those that cost exactly their bound, and those that cost more.
EXACTLY, MORE = 0.19, 0.01
#: When somebody comes again who was told that nobody knows, in seconds.
AGAIN_S: Final = 0.1


class Orders(Struct, frozen=True):
    """What a process is to do. ``hold_s`` is the mean time that a call takes, ``crash`` and ``twice`` are shares."""

    name: str
    folder: str
    url: str
    calls: int
    limit: int
    on_loss: Literal["closed", "grace"] = "closed"
    grace: int = 0
    hold_s: float = 0.02
    crash: float = 0.01
    twice: float = 0.05

    @property
    def truth(self) -> Path:
        """What it writes itself."""
        return Path(self.folder) / f"{self.name}.truth"

    @property
    def ledger(self) -> Path:
        """What its treasury writes."""
        return Path(self.folder) / f"{self.name}.ledger"


def spend(orders: Orders) -> None:
    """The process. It ends with status 0 when all calls are made, or is killed by itself."""
    uvloop.run(Spender(orders).run())


class Spender:
    """Makes what is left of the calls, so many at once."""

    def __init__(self, orders: Orders) -> None:
        lines = orders.truth.read_text().splitlines() if orders.truth.exists() else []
        begun = sum(line.startswith(('["begin"', '["refused"')) for line in lines)
        self._life = sum(line.startswith('["start"') for line in lines)
        self._orders = orders
        self._left = orders.calls - begun
        self._n = 0
        self._dice = random.Random(f"{orders.name}.{self._life}")
        self._fd = os.open(orders.truth, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._over = self._again = 0
        self._scopes = (Scope(SCOPE, Budget(orders.limit, "total")),)
        self._state = Redis(orders.url)
        chapter = Chapter(self._state.replica, time.time)
        self._treasury = Treasury(
            self._state,
            Money(on_state_loss=orders.on_loss, grace=orders.grace),
            clock=time.monotonic,
            wall=time.time,
            chapter=chapter,
            ledger=Ledger(str(orders.ledger), [chapter]),
        )

    async def run(self) -> None:
        """All of it."""
        self._tell("start", self._treasury.book.replica)
        await self._state.sync(time.monotonic())
        background = [asyncio.create_task(self._treasury.run()), asyncio.create_task(self._sync())]
        await asyncio.gather(*[self._slot() for _ in range(AT_ONCE)])
        # What earlier lives have left behind is told with the first turns.
        await asyncio.sleep(0.5)
        for task in background:
            await end(task)
        await self._treasury.stop()
        await self._state.aclose()
        self._tell("stop", self._treasury.book.overshoot, self._over, self._treasury.book.again, self._again)

    async def _sync(self) -> None:
        while True:
            await self._state.sync(time.monotonic())
            await asyncio.sleep(0.1)

    async def _slot(self) -> None:
        while self._left > 0:
            self._left -= 1
            await self._call()

    async def _call(self) -> None:
        dice, bound = self._dice, self._dice.randint(*BOUNDS)
        self._n += 1
        id = f"{self._orders.name}-{self._life}-{self._n}"
        purse = self._treasury.purse(id, self._scopes)
        assert purse is not None
        takes_s = dice.expovariate(1 / self._orders.hold_s)
        if not await self._secured(purse, bound):
            self._tell("refused", id, bound, time.time())
            await asyncio.sleep(takes_s)
            return
        if (reserved := purse.begin(bound)) is None:
            raise AssertionError("what was secured is not there")
        self._tell("begin", reserved.id, bound, time.time())
        crashes = dice.random() < self._orders.crash
        await asyncio.sleep(takes_s * (dice.random() if crashes else 1))
        if crashes:
            os.kill(os.getpid(), signal.SIGKILL)
        cost = self._cost(bound)
        self._tell("end", reserved.id, cost)
        for _ in range(2 if dice.random() < self._orders.twice else 1):
            reserved.settle(cost)
            self._again += 1
        self._again -= 1
        self._over += max(0, cost - bound)

    async def _secured(self, purse: Purse, bound: int) -> bool:
        """Whether the budget holds it; asked again for as long as nobody knows."""
        while True:
            asked_at = time.time()
            try:
                return await purse.secure(bound)
            except Unavailable as error:
                self._tell("unknown", asked_at, time.time(), error.message)
                await asyncio.sleep(AGAIN_S)

    def _cost(self, bound: int) -> int:
        which = self._dice.random()
        if which < MORE:
            return bound + self._dice.randint(1, bound)
        return bound if which < MORE + EXACTLY else self._dice.randint(0, bound - 1)

    def _tell(self, *what: Any) -> None:
        os.write(self._fd, (json.dumps(what) + "\n").encode())
