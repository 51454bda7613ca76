"""Who may spend what: reservations for requests, leases for this replica. Read next: budgets/book.py, its bookkeeping.

A request waits for the fleet only where the lease of one of its budgets does not hold it, and then 50 ms at most. All
else goes out in turns, within a second, or 100 ms where a lease runs low. What is reserved is written to the ledger
before a provider is asked, so that no crash loses it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from gateway.budgets.account import Account
from gateway.budgets.book import LOOK_S, MOST_IN_A_TURN, Book
from gateway.budgets.fleet import Ask, Turn
from gateway.budgets.past import Past
from gateway.budgets.period import Span
from gateway.errors import GatewayError, Unavailable
from gateway.state.ledger import Ledger
from gateway.state.verbs import State
from gateway.types import Funds, Money, Scope

__all__ = ["Chapter", "Purse", "Treasury"]

#: How long a request waits for a lease, in seconds.
AWAIT_S: Final = 0.05
#: For how long what the fleet said of a budget is gone by without asking again, in seconds.
FRESH_S: Final = 1.0
#: How often there is a turn while there is something to tell, in seconds.
TURN_S: Final = 0.1
#: How often the disk is to have what the ledger says, in seconds.
SYNC_S: Final = 1.0
#: When to come again while budgets cannot be looked up, in seconds.
RETRY_S: Final = 1.0
#: Changes with each start of the machine: what it had not yet given to its disk by then is gone.
BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Chapter:
    """What the ledger holds of money: that of processes before this one, and what this one does."""

    name = "money"

    def __init__(self, replica: str, wall: Callable[[], float]) -> None:
        self.past = Past()
        self.replica = replica
        self.book: Book | None = None
        self.numbers: dict[str, int] = {}
        self._named = 0
        self._wall = wall

    def read(self, value: Any) -> None:
        """A line of an earlier process."""
        with contextlib.suppress(ValueError, TypeError, KeyError, IndexError):
            self.past.read(value)

    def begin(self) -> Iterator[Any]:
        """All lines of this process, as it stands. Whoever is reckoned with no more has no number from here on."""
        self.past.end()
        yield ["replica", self.replica, boot()]
        if self.book is None:
            return
        accounts = self.book.accounts
        self.numbers = {name: number for name, number in self.numbers.items() if name in accounts}
        for account in accounts.values():
            yield ["account", self.account(account)[0], account.name, self._until(account)]
            yield ["row", self.replica, account.name, account.settled, account.lost, self._until(account)]
        for hold in self.book.holds.values():
            yield ["hold", hold.id, hold.micros, *(self.account(account)[0] for account in hold.accounts)]

    def account(self, account: Account) -> tuple[int, list[Any] | None]:
        """The number of an account, and the line that introduces it where it is new."""
        number = self.numbers.get(account.name)
        if number is not None:
            return number, None
        number = self.numbers[account.name] = self._named
        self._named += 1
        return number, ["account", number, account.name, self._until(account)]

    def whole(self) -> Iterator[Any]:
        """All lines that are still needed."""
        yield from self.past.whole(self._wall())
        yield from self.begin()

    def _until(self, account: Account) -> float:
        now = self._wall()
        return now + account.span.keep_s(now)


class Treasury:
    """The budgets of one replica. ``awaited`` counts requests that waited for the fleet.

    ``state`` takes the turns. ``ledger`` is where ``chapter`` is written; without it a crash leaves its whole lease
    spent.
    """

    def __init__(
        self,
        state: State,
        money: Money,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        chapter: Chapter | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.money = money
        self.awaited = 0
        self.refused = 0
        self.chapter = chapter or Chapter(state.replica, wall)
        self.book = self.chapter.book = Book(self.chapter.replica)
        self.barred = False
        self.error: str | None = None
        self._state = state
        self._ledger: Ledger | None = None
        self._clock, self._wall = clock, wall
        self._turning: asyncio.Task[bool] | None = None
        self._rendered = False
        self.chapter.past.end()
        self._past = [turn for turn in self._turns_of_the_past(shared=state.health().kind != "memory") if turn.asks]
        self._to_tell = list(self._past)
        self._epoch = ""
        self._heard_at = -inf
        if ledger is not None:
            self.keep_in(ledger)

    @property
    def kept(self) -> bool:
        """Whether what is reserved is written down."""
        return self._ledger is not None

    def keep_in(self, ledger: Ledger) -> None:
        """Write down what is spent and reserved now, and all that will be."""
        self._ledger = ledger
        for line in self.chapter.begin():
            ledger.later("money", line)
        ledger.flush()

    def __repr__(self) -> str:
        how = f"not heard of the fleet: {self.error}" if self.error else "barred" if self.barred else "in touch"
        return f"{self.book!r}, {how}"

    # --- for requests -------------------------------------------------------------------------------------------

    def purse(self, id: str, scopes: Sequence[Scope]) -> Purse | None:
        """What a request pays with; None where none of its scopes has a budget."""
        budgeted = [scope for scope in scopes if scope.budget is not None]
        if not budgeted:
            return None
        wall, now = self._wall(), self._clock()
        return Purse(self, id, [self.book.open(scope, wall, now) for scope in budgeted])

    async def lease(self, accounts: Sequence[Account], micros: int) -> bool:
        """Until the lease of these accounts holds so much; whether it does.

        Raises Unavailable where nobody can say: the store is gone, or has only just come back.
        """
        if not (short := self.book.short_of(accounts, micros)):
            return True
        if self.known_short(short, micros):
            return False
        self.awaited += 1
        until = asyncio.get_running_loop().time() + AWAIT_S
        while short:
            for account in short:
                account.need(micros)
            heard = await self._turn(until)
            if not heard and self.error is None:
                self._lost("no answer in time")
            short = self.book.short_of(accounts, micros)
            if not short:
                return True
            if not heard or self.barred:
                raise self._nobody_knows(short)
            if any(account.left < micros for account in short):
                self.refused += 1
                return False
            if asyncio.get_running_loop().time() >= until:
                raise self._nobody_knows(short)
        return True

    def known_short(self, accounts: Sequence[Account], micros: int) -> bool:
        """Whether one of them was known not to hold so much a moment ago. The others are told that it is wanted."""
        since = self._clock() - FRESH_S
        known = [account for account in accounts if account.left < micros and account.heard_at >= since]
        for account in known:
            account.need(micros)
            account.exhausted = True
        return bool(known)

    def hold(self, id: str, accounts: Sequence[Account], micros: int) -> bool:
        """Reserve now, and write it down; False, and nothing done, when the lease does not hold it."""
        if self.book.hold(id, accounts, micros) is None:
            return False
        self._written(id)
        return True

    def split(self, id: str, part: str, micros: int) -> None:
        """As Book.split, and write it down."""
        self.book.split(id, part, micros)
        if self._ledger is not None:
            self._ledger.later("money", self._line(id))
        self._written(part)

    def settle(self, id: str, micros: int) -> None:
        """What was reserved has cost this much. A second time changes nothing."""
        if self.book.settle(id, micros) is not None and self._ledger is not None:
            self._ledger.later("money", ("settle", id, micros))

    @property
    def _closed(self) -> bool:
        return self.money.on_state_loss == "closed"

    def _written(self, id: str) -> None:
        """Write a reservation down. Raises Unavailable, and gives it back, where nothing may go on without."""
        if self._ledger is not None and not self._ledger.write("money", self._line(id)) and self._closed:
            self.settle(id, 0)
            raise Unavailable(f"The ledger takes nothing: {self._ledger.error}.", code="ledger_unavailable")

    def _line(self, id: str) -> tuple[Any, ...]:
        """What the ledger says of a reservation; after the lines that introduce its accounts."""
        assert self._ledger is not None
        hold, numbers = self.book.holds[id], []
        for account in hold.accounts:
            number, line = self.chapter.account(account)
            numbers.append(number)
            if line is not None:
                self._ledger.later("money", line)
        return "hold", id, hold.micros, *numbers

    def _nobody_knows(self, short: Sequence[Account]) -> GatewayError:
        # What the store said is the operator's: it may name machines.
        why = "others ask for what is left of it at the same moment"
        if self.barred or self.error is not None:
            why = "the shared state has just come back" if self.barred else "the shared state does not answer"
        said = f"Whether the budget of {short[0].scope} holds this request cannot be said now, for {why}."
        error = Unavailable(said, code="budget_unavailable", retry_after_s=RETRY_S)
        error.should_retry = True
        return error

    # --- turns --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turns, for as long as it runs."""
        loop = asyncio.get_running_loop()
        synced_at = loop.time()
        while True:
            if self._to_tell or self.book.is_due(self._clock()):
                await self._turn(loop.time() + 1)
            if self._ledger is not None:
                self._ledger.flush()
                if loop.time() - synced_at >= SYNC_S:
                    synced_at = loop.time()
                    await asyncio.to_thread(self._ledger.sync())
            await asyncio.sleep(TURN_S)

    async def stop(self) -> None:
        """Give back all that is leased, and close the ledger."""
        with contextlib.suppress(Unavailable):
            if self._turning is not None:
                await asyncio.wait({self._turning})
            self._flush()
            for turn in self.book.leave(self._clock(), self._wall()):
                await self._state.accounts(turn)
        if self._ledger is not None:
            await asyncio.to_thread(self._ledger.close)

    async def _turn(self, until: float) -> bool:
        """A turn that says all that is needed now; whether it was answered by ``until`` (the loop's time)."""
        loop = asyncio.get_running_loop()
        if self._turning is not None and self._rendered:
            # What it says was said before.
            await asyncio.wait({self._turning}, timeout=max(0.0, until - loop.time()))
            if not self._turning.done():
                return False
        if self._turning is None or self._turning.done():
            self._rendered = False
            self._turning = loop.create_task(self._take())
        turning = self._turning
        await asyncio.wait({turning}, timeout=max(0.0, until - loop.time()))
        return turning.done() and turning.result()

    async def _take(self) -> bool:
        try:
            while self._to_tell:
                await self._state.accounts(self._to_tell[-1])
                self._to_tell.pop()
        except Unavailable as error:
            self._lost(error.message)
            return False
        self._flush()
        turn = self.book.render(self._clock(), self._wall())
        self._rendered = True
        if not turn.asks and not turn.looks and not self._is_due():
            return True
        try:
            answer = await self._state.accounts(turn)
        except Unavailable as error:
            self.book.unheard(turn)
            self._lost(error.message)
            return False
        self._heard_at = self._clock()
        self.book.feed(turn, answer, self._heard_at)
        if (answer.barred and not self.barred) or answer.epoch != self._epoch:
            # A store that is new in charge may not know of earlier processes what the one before it did.
            self._to_tell, self._epoch = list(self._past), answer.epoch
        self.error, self.barred = None, answer.barred
        self.book.grace = self.money.grace if answer.barred and not self._closed else 0
        return True

    def _is_due(self) -> bool:
        """Whether to ask though there is nothing to say: a store that has lost all must be told in time."""
        return bool(self.book.accounts) and self._clock() - self._heard_at >= LOOK_S

    def _flush(self) -> None:
        """Before a turn: what it gives back, the fleet grants to others, so that no crash may undo it."""
        if self._ledger is not None:
            self._ledger.flush()

    def _lost(self, said: str) -> None:
        self.error = said
        self.book.grace = 0 if self._closed else self.money.grace

    def _turns_of_the_past(self, *, shared: bool) -> Iterator[Turn]:
        """What processes before this one have settled, as their ledger tells it.

        Of another boot of the machine the ledger may lack the end: the fleet then goes on reckoning with their leases.
        """
        past, wall, this = self.chapter.past, self._wall(), boot()
        for replica, rows in past.rows(wall).items():
            if shared and past.boots.get(replica) != this:
                continue
            asks = [
                Ask(name, 0, max(1, int(past.until(name) - wall)), row, row.allowance, row.allowance)
                for name, row in rows.items()
            ]
            for start in range(0, len(asks), MOST_IN_A_TURN):
                yield Turn(replica, tuple(asks[start : start + MOST_IN_A_TURN]))


class Purse:
    """What one request pays with. Each of its tries reserves from it before it begins."""

    __slots__ = ("_accounts", "_id", "_n", "_prepaid", "_treasury")

    def __init__(self, treasury: Treasury, id: str, accounts: Sequence[Account]) -> None:
        self._treasury = treasury
        self._id = id
        self._accounts = accounts
        self._n = 0
        self._prepaid: tuple[str, int] | None = None

    def __repr__(self) -> str:
        return f"{self._n} reservations in {', '.join(account.name for account in self._accounts)}"

    def funds(self, now: float) -> Funds:
        """How the budgets stand."""
        return self._treasury.book.funds(self._accounts, now)

    def spans(self) -> dict[str, Span]:
        """The period of each budget, by scope."""
        return {account.scope: account.span for account in self._accounts}

    def refused(self, micros: int) -> None:
        """A request was turned away that might have cost this much: what others lease ahead may hold it soon."""
        self._treasury.known_short(self._accounts, micros)

    async def secure(self, micros: int) -> bool:
        """Reserve so much for the first try; False when a budget does not hold it. Raises Unavailable."""
        if self._prepaid is not None:
            if self._prepaid[1] >= micros:
                return True
            self.close()
        while (held := self._hold(micros)) is None:
            if not await self._treasury.lease(self._accounts, micros):
                return False
        self._prepaid = held
        return True

    def begin(self, micros: int) -> Reservation | None:
        """Reserve for a try; None when the lease does not hold it now."""
        prepaid = self._prepaid
        if prepaid is not None and prepaid[1] > micros:
            part = f"{self._id}.{self._n}"
            self._n += 1
            self._prepaid = prepaid[0], prepaid[1] - micros
            self._treasury.split(prepaid[0], part, micros)
            return Reservation(self._treasury, part, micros)
        if prepaid is not None and prepaid[1] == micros:
            self._prepaid = None
            return Reservation(self._treasury, *prepaid)
        self.close()
        held = self._hold(micros)
        return Reservation(self._treasury, *held) if held is not None else None

    def close(self) -> None:
        """Give back what no try has taken."""
        if self._prepaid is not None:
            self._treasury.settle(self._prepaid[0], 0)
            self._prepaid = None

    def _hold(self, micros: int) -> tuple[str, int] | None:
        id = f"{self._id}.{self._n}"
        if not self._treasury.hold(id, self._accounts, micros):
            return None
        self._n += 1
        return id, micros


class Reservation(Struct, frozen=True, eq=False):
    """What one try has reserved. Settle it once."""

    treasury: Treasury
    id: str
    micros: int

    def settle(self, micros: int) -> None:
        """It did cost this much."""
        self.treasury.settle(self.id, micros)


def boot() -> str:
    """Which start of the machine this is; empty where it does not say."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""
