"""What a killed process leaves of its budgets: its ledger, the fleet and the next process agree. Read next:
bench/money/, where that happens thousands of times.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from gateway.budgets.account import Row
from gateway.budgets.past import FINAL
from gateway.state.ledger import Ledger
from gateway.state.memory import Memory
from gateway.treasury import Chapter, Purse, Treasury
from gateway.types import Budget, Money, Scope

SCOPES = (Scope("team:a", Budget(1_000_000, "total")),)
ACCOUNT = "team:a/total"


class Process:
    """A treasury that can be killed: its ledger is let go of, and nothing more is written."""

    def __init__(self, name: str, state: Memory, path: Path) -> None:
        self.now = 0.0
        chapter = Chapter(name, time.time)
        self.ledger = Ledger(str(path), [chapter])
        self.treasury = Treasury(
            state,
            Money(on_state_loss="closed"),
            clock=lambda: self.now,
            wall=time.time,
            chapter=chapter,
            ledger=self.ledger,
        )

    async def call(self, id: str, bound: int) -> Purse:
        purse = self.treasury.purse(id, SCOPES)
        assert purse is not None
        assert await purse.secure(bound)
        return purse

    async def turn(self) -> None:
        """What is told within the next seconds."""
        self.now += 3.0
        assert await self.treasury._turn(asyncio.get_running_loop().time() + 1)

    def kill(self) -> None:
        os.close(self.ledger._fd)


async def test_what_was_reserved_when_a_process_was_killed_is_lost_and_the_next_one_says_so_at_once(
    tmp_path: Path,
) -> None:
    state = Memory()
    killed = Process("killed", state, tmp_path / "ledger")
    await killed.call("one", 300)
    killed.kill()
    await Process("next", state, tmp_path / "ledger").turn()
    assert (await state.rows([ACCOUNT]))[ACCOUNT]["killed"] == Row(FINAL, 300, 0, 300)


async def test_what_is_given_back_to_the_fleet_is_in_the_ledger_before(tmp_path: Path) -> None:
    """Else a process that is killed just then is reckoned with as if it had never been given back."""
    state = Memory()
    killed = Process("killed", state, tmp_path / "ledger")
    reserved = (await killed.call("one", 300)).begin(300)
    assert reserved is not None
    reserved.settle(10)
    await killed.turn()
    told = (await state.rows([ACCOUNT]))[ACCOUNT]["killed"]
    killed.kill()
    await Process("next", state, tmp_path / "ledger").turn()
    assert told.settled == 10
    assert (await state.rows([ACCOUNT]))[ACCOUNT]["killed"] == Row(FINAL, 10, 10, 0)
