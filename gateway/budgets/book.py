"""All accounts of one replica: reservations in them, and what to tell the fleet. Read next: fleet.py, which answers.

A request reserves the upper bound of what a try may cost in all of its budgets or in none, before the try begins, and
settles what it did cost when it has ended, however that was. Neither asks anybody while the lease lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.budgets.account import Account, Row
from gateway.budgets.fleet import Answer, Ask, Turn
from gateway.budgets.period import span_of
from gateway.types import Funds, Scope

__all__ = ["LOOK_S", "MOST_IN_A_TURN", "Book", "Hold"]

#: How old the sums may be before they are looked at, in seconds: decisions go by what is known.
LOOK_S: Final = 0.75
#: For how long after its last use an account is looked at, in seconds.
WATCHED_S: Final = 600.0
#: How often the row of one that is looked at is told though it is the same, in seconds.
RETELL_S: Final = 30.0
#: Accounts from which on new users share one.
MOST: Final = 100_000
#: What the scopes of users begin with.
USER: Final = "user:"
#: How often all that is in use is gone through, in seconds.
ROUND_S: Final = 0.8
#: What was settled of a lease that suffices may wait for so long, in seconds: it is committed already.
TELL_S: Final = 2.0
#: Accounts in one turn at most.
MOST_IN_A_TURN: Final = 500


class Hold(Struct, eq=False):
    """A reservation of ``micros`` in each of these accounts. ``id`` is the decision's, and a number."""

    id: str
    micros: int
    accounts: Sequence[Account]


class Book:
    """Accounts by name, and the reservations that are not settled yet, by id.

    ``grace`` is by how much the lease of each account may be overdrawn now, in micro-dollars. ``overshoot`` sums what
    was settled beyond its reservation, ``again`` counts what was settled a second time.
    """

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self.grace = 0
        self.overshoot = 0
        self.again = 0
        self._accounts: dict[str, Account] = {}
        self._awake: dict[str, Account] = {}
        self._by_scope: dict[str, Account] = {}
        self._holds: dict[str, Hold] = {}
        self._n = 0
        self._epoch = ""
        self._restoring: set[str] = set()
        self._short: set[str] = set()
        self._turned_at = 0.0
        self._dropped_at = 0.0
        self._looked_at = -inf
        self._looks: list[str] = []
        self._all = False

    def __repr__(self) -> str:
        return f"{len(self._accounts)} accounts, {len(self._holds)} reservations, {self._n} turns"

    # --- accounts -----------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> Mapping[str, Account]:
        """All of them, by name: always the same mapping."""
        return self._accounts

    @property
    def awake(self) -> Mapping[str, Account]:
        """Those that were used lately or have something to tell, by name: always the same mapping."""
        return self._awake

    @property
    def holds(self) -> Mapping[str, Hold]:
        """What is reserved, by id."""
        return self._holds

    def open(self, scope: Scope, wall: float, now: float) -> Account:
        """The account of a scope that has a budget, in the period that ``wall`` (Unix time) is in."""
        budget = scope.budget
        assert budget is not None
        account = self._by_scope.get(scope.name)
        if account is None or account.per != budget.per or not account.span.has(wall):
            if account is None and len(self._accounts) >= MOST and scope.of is not None:
                # Clients name users as they like: beyond so many the rest of a team or key are one.
                return self.open(replace(scope, name=scope.of, of=None), wall, now)
            span = span_of(budget.per, wall)
            name = f"{scope.name}/{span.name}"
            account = self._accounts.setdefault(name, Account(name, scope.name, budget.micros, span, budget.per))
            self._by_scope[scope.name] = account
        if account.limit != budget.micros:
            account.limit, account.exhausted = budget.micros, False
            account.changed = True
        account.alert_at, account.used_at = budget.alert_at, now
        self._awake[account.name] = account
        return account

    def funds(self, accounts: Sequence[Account], now: float) -> Funds:
        """How the tightest of these accounts stands, and what may still be reserved in all of them."""
        tightest = max(accounts, key=_share_used)
        least = min(accounts, key=_left)
        age = min(now - min([account.heard_at for account in accounts]), 1e6)
        other = least.scope if least.left < tightest.left else None
        return Funds(tightest.scope, _thousandths(tightest), least.left, round(age, 3), other)

    # --- reservations -------------------------------------------------------------------------------------------

    def short_of(self, accounts: Sequence[Account], micros: int) -> list[Account]:
        """The accounts that do not hold so much now. All hold nothing, even when more than all is spent."""
        return [account for account in accounts if self._free(account) < micros] if micros else []

    def hold(self, id: str, accounts: Sequence[Account], micros: int) -> Hold | None:
        """Reserve in all of these accounts; None, and nothing done, when one of them does not hold it."""
        lacking = [account for account in accounts if account.free < micros] if micros else ()
        if lacking and any(self._free(account) < micros for account in lacking):
            return None
        for account in accounts:
            account.hold(micros)
        hold = self._holds[id] = Hold(id, micros, accounts)
        return hold

    def split(self, id: str, part: str, micros: int) -> None:
        """A reservation of its own out of one that is at least as large, which keeps the rest."""
        hold = self._holds[id]
        self._holds[id] = Hold(id, hold.micros - micros, hold.accounts)
        self._holds[part] = Hold(part, micros, hold.accounts)

    def settle(self, id: str, micros: int) -> Hold | None:
        """A reservation has cost this much; None for one that is settled already, which changes nothing."""
        hold = self._holds.pop(id, None)
        if hold is None:
            self.again += 1
            return None
        for account in hold.accounts:
            account.settle(hold.micros, micros)
            self._awake[account.name] = account
        self.overshoot += max(0, micros - hold.micros)
        return hold

    def _free(self, account: Account) -> int:
        return min(account.left, account.free + self.grace) if self.grace else account.free

    # --- turns --------------------------------------------------------------------------------------------------

    def is_due(self, now: float) -> bool:
        """Whether a turn has anything to say; to find out costs less than a turn."""
        return (
            self._all
            or now - self._looked_at >= ROUND_S
            or any(account.changed and self._presses(account) for account in self._awake.values())
        )

    def render(self, now: float, wall: float) -> Turn:
        """What to tell and to ask. One turn at a time: ``feed`` its answer before the next, if it has one."""
        passed, self._turned_at = now - self._turned_at, now
        self._n += 1
        self._drop(now, wall)
        asks = [self._ask(a, passed if a.told_at < 0 else now - a.told_at, wall) for a in self._due(now)]
        looks, self._looks = tuple(self._looks), []
        return Turn(self.replica, tuple(asks), looks)

    def feed(self, turn: Turn, answer: Answer, now: float) -> None:
        """Take the answer to a turn."""
        if answer.epoch != self._epoch:
            # The store knows nothing any more of what it was told: it is told all again, also what others had said.
            forgotten, self._epoch = bool(self._epoch), answer.epoch
            self.tell_all()
            if forgotten:
                self._restoring = set(self._accounts)
                return
        for ask, told in zip(turn.asks, answer.told, strict=True):
            account = self._accounts.get(ask.account)
            if account is not None:
                account.heard(ask.row, told, now)
                self._restoring.discard(ask.account)
        for name, sums in zip(turn.looks, answer.sums, strict=True):
            account = self._accounts.get(name)
            if account is not None and sums is not None:
                account.seen(sums, now)
        self._short = set(answer.short)
        for name in self._short & self._accounts.keys():
            self._wake(self._accounts[name])

    def unheard(self, turn: Turn) -> None:
        """Whether the turn has arrived is not known: it is told again."""
        for ask in turn.asks:
            if (account := self._accounts.get(ask.account)) is not None:
                self._wake(account)

    def tell_all(self) -> None:
        """Another store is in charge, or may be: what the one before was told last it may not know."""
        self._all = True
        for account in self._accounts.values():
            self._wake(account)

    def leave(self, now: float, wall: float) -> Iterator[Turn]:
        """Turns that give back all that is leased and not reserved."""
        names = list(self._accounts)
        for start in range(0, len(names), MOST_IN_A_TURN):
            self._n += 1
            accounts = [self._accounts[name] for name in names[start : start + MOST_IN_A_TURN]]
            for account in accounts:
                account.allowance = min(account.allowance, account.taken)
            yield Turn(self.replica, tuple([_asked(account, self._n, wall, account.allowance) for account in accounts]))

    def _wake(self, account: Account) -> None:
        account.changed = True
        self._awake[account.name] = account

    def _due(self, now: float) -> list[Account]:
        if self._all or now - self._looked_at >= ROUND_S:
            due = self._look(now)
        else:
            due = [a for a in self._awake.values() if a.changed and self._presses(a)]
        if len(due) > MOST_IN_A_TURN:
            # Those that somebody waits for come first, then those not heard of for longest.
            due.sort(key=lambda account: (not account.needed, account.heard_at))
        else:
            self._all = False
        return due[:MOST_IN_A_TURN]

    def _look(self, now: float) -> list[Account]:
        """All that has something to tell, and what to look at; who has not been used for long is looked at no more."""
        self._looked_at, self._looks, due = now, [], []
        for account in list(self._awake.values()):
            if self._tells(account, now):
                due.append(account)
            elif now - account.heard_at >= LOOK_S:
                self._looks.append(account.name)
            if not account.changed and now - account.used_at >= _watched_s(account):
                del self._awake[account.name]
        return due

    def _tells(self, account: Account, now: float) -> bool:
        """Whether its row is to be told; else its sums are only looked at."""
        passed = now - account.told_at
        if not account.changed:
            return passed >= RETELL_S
        return self._all or passed >= TELL_S or self._presses(account)

    def _presses(self, account: Account) -> bool:
        """Whether what has changed is to be told now: somebody waits or was refused, or the lease runs low."""
        return account.needed > 0 or account.free < account.ahead // 2 or account.name in self._short

    def _ask(self, account: Account, passed_s: float, wall: float) -> Ask:
        need, want = account.turn(passed_s, short=account.name in self._short)
        return _asked(account, self._n, wall, need, want, account.rows if account.name in self._restoring else ())

    def _drop(self, now: float, wall: float) -> None:
        """Now and then forget accounts whose period is over, once all is told."""
        if now - self._dropped_at < WATCHED_S / 10:
            return
        self._dropped_at = now
        gone = [a for a in self._accounts.values() if not a.held and not a.changed and _over(a, now, wall)]
        for account in gone:
            del self._accounts[account.name]
            self._awake.pop(account.name, None)
            if self._by_scope.get(account.scope) is account:
                del self._by_scope[account.scope]


def _asked(
    account: Account, n: int, wall: float, need: int, want: int = 0, rows: tuple[tuple[bytes, bytes], ...] = ()
) -> Ask:
    row = Row(n, account.allowance, account.settled, account.lost)
    return Ask(account.name, account.limit, account.span.keep_s(wall), row, need, max(need, want), rows)


def _watched_s(account: Account) -> float:
    """There may be very many users."""
    return WATCHED_S / 10 if account.scope.startswith(USER) else WATCHED_S


def _over(account: Account, now: float, wall: float) -> bool:
    return account.span.ends_at is not None and wall - account.span.ends_at > WATCHED_S


def _left(account: Account) -> int:
    return account.left


def _share_used(account: Account) -> float:
    return account.used / account.limit if account.limit > 0 else 1.0


def _thousandths(account: Account) -> int:
    return min(1_000_000, account.used * 1000 // account.limit) if account.limit > 0 else 1000
