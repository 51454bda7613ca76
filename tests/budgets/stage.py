"""A store of budgets that does as it is told, and a treasury over it. Read next: test_lease.py, which uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from gateway.budgets.account import Account
from gateway.budgets.fleet import Answer, Turn
from gateway.errors import Unavailable
from gateway.state.ledger import Ledger
from gateway.state.memory import Memory
from gateway.testing.clock import Clock, HandWoundLoop
from gateway.treasury import Chapter, Treasury
from gateway.types import Budget, Money, Scope

__all__ = ["OPEN", "TEAM", "WALL", "Store", "account", "on_hand_wound_time", "treasury"]

OPEN = Money()
#: Half past eight on a Saturday.
WALL = 1_795_854_600.0
TEAM = Scope("team:support", Budget(1_000))


class Store(Memory):
    """State whose turns go as it is told. ``turns`` are those that came; ``short`` is what others were refused in."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Literal["answers", "gone", "silent", "barred"] = "answers"
        self.kind = "redis"
        self.epoch = ""
        self.turns: list[Turn] = []
        self.short: tuple[str, ...] = ()
        self.wake = asyncio.Event()

    def __repr__(self) -> str:
        return f"a store that {self.mood}, after {len(self.turns)} turns"

    async def accounts(self, turn: Turn) -> Answer:
        """Take a turn."""
        self.turns.append(turn)
        if self.mood == "gone":
            raise Unavailable("Redis is gone.")
        if self.mood == "silent":
            await self.wake.wait()
        answer = self._fleet.turn(turn, barred=self.mood == "barred")
        return replace(answer, epoch=self.epoch, short=answer.short + self.short)

    def health(self) -> Any:
        """As that of a shared one."""
        return replace(super().health(), kind=self.kind)


def treasury(store: Store, money: Money = OPEN, *, clock: Clock | None = None, ledger: Path | None = None) -> Treasury:
    """A treasury over such a store."""
    chapter = Chapter(store.replica, lambda: WALL)
    return Treasury(
        store,
        money,
        clock=clock or Clock(),
        wall=lambda: WALL,
        chapter=chapter,
        ledger=Ledger(str(ledger), [chapter]) if ledger is not None else None,
    )


def account(treasury: Treasury, scope: Scope = TEAM) -> Account:
    """The account of a scope."""
    return treasury.book.open(scope, WALL, 0.0)


def on_hand_wound_time(test: Callable[[HandWoundLoop], Awaitable[None]]) -> Callable[[], None]:
    """A test whose loop and clock are turned by hand."""

    def run() -> None:
        with asyncio.Runner(loop_factory=HandWoundLoop) as runner:
            loop = runner.get_loop()
            assert isinstance(loop, HandWoundLoop)
            runner.run(_awaited(test(loop)))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def _awaited(test: Awaitable[None]) -> None:
    await test
