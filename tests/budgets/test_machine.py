"""Replicas, their budgets and the store between them, as a state machine on a hand-wound clock: no money leaks.

Turns are answered, unheard, late and lost; processes crash, come back and leave; the store forgets its last second or
everything. Whatever the order, no more is spent than the limits allow, and all sums agree in the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from gateway.budgets.account import Account, Row
from gateway.budgets.book import Book, Hold
from gateway.budgets.fleet import Answer, Ask, Fleet, Turn
from gateway.budgets.past import Past
from gateway.types import Budget, Scope
from tests.budgets.stage import WALL

#: As in state/accounts.py, in seconds.
BARRED_S = 2.0
DAY_S = 86_400
REPLICAS = 3
Rows = dict[str, dict[str, Row]]


class Store:
    """What Redis makes of turns, with its bar and its epochs. It can lose its last second, or everything."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.epoch = 0
        self.new_in_charge = True
        self.since = 0.0
        self.told: set[str] = set()
        self._kept: list[tuple[float, Rows]] = []
        self._short: dict[str, float] = {}

    def take(self, turn: Turn, now: float) -> Answer:
        """The answer to a turn. What it grants is never more than the limit."""
        if self.new_in_charge:
            self.new_in_charge, self.since = False, now
        answer = self.fleet.turn(turn, REPLICAS, barred=self.barred(now))
        for ask, told in zip(turn.asks, answer.told, strict=True):
            if told.allowance > ask.row.committed and self.fleet.rows(ask.account)[turn.replica].n == ask.row.n:
                assert told.allowance == ask.row.allowance or told.others + told.allowance <= ask.limit
        self._short |= dict.fromkeys(answer.short, now)
        self.told.add(turn.replica)
        self._kept = [(at, rows) for at, rows in self._kept if now - at <= 1.0] + [(now, self.rows())]
        short = tuple([name for name, at in self._short.items() if now - at <= 3.0])
        return Answer(answer.told, answer.barred, str(self.epoch), short, answer.sums)

    def barred(self, now: float) -> bool:
        """Whether nothing is granted."""
        return self.new_in_charge or now - self.since < BARRED_S

    def rows(self) -> Rows:
        """All rows, by account and replica."""
        return {name: dict(rows) for name, rows in self.fleet._accounts.items()}

    def fail_over(self, turns: int) -> None:
        """Another is in charge, which lacks the last turns of the last second, but none from before a crash."""
        if turns < len(self._kept):
            self._become(self._kept[-1 - turns][1])

    def forget(self) -> None:
        """Another is in charge that knows nothing."""
        self._become({})

    def keep(self) -> None:
        """What is known now is on all machines."""
        self._kept = self._kept[-1:]

    def _become(self, rows: Rows) -> None:
        self.fleet._accounts = {name: dict(of) for name, of in rows.items()}
        # Its name is a part of the epoch.
        self.epoch += 1
        self.new_in_charge = True
        self.told = set()
        self._kept, self._short = [], {}


class Replica:
    """A process: its book, its ledger where it has one, and turns that are still on their way."""

    def __init__(self, name: str, past: list[Turn]) -> None:
        self.book = Book(name)
        self.holds: dict[str, Hold] = {}
        self.to_tell = past
        self.past = past
        self.late: list[Turn] = []
        self.lines: list[list[object]] = [["replica", name, ""]]
        self.written = 1
        self.epoch, self.barred = "", False

    def account(self, account: Account) -> int:
        """The number of an account in the ledger."""
        for line in self.lines:
            if line[0] == "account" and line[2] == account.name:
                return int(str(line[1]))
        number = sum(line[0] == "account" for line in self.lines)
        self.lines.append(["account", number, account.name, WALL + 1e9])
        return number


class Machine(RuleBasedStateMachine):
    """``limits`` are the highest that there were; ``beyond`` is what was settled above its reservation; by account."""

    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.now, self.wall = 1000.0, WALL
        self.store = Store()
        self.replicas: list[Replica] = []
        self.ids = 0
        self.scopes: list[Scope] = []
        self.grace = 0
        self.limits: defaultdict[str, int] = defaultdict(int)
        self.beyond: defaultdict[str, int] = defaultdict(int)
        self.spent: defaultdict[str, int] = defaultdict(int)
        #: By how much each process has overdrawn its lease at most, by account and process.
        self.overdrawn: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        #: What rows must say of processes that are no more, once all is told: of those that had a ledger.
        self.dead: dict[tuple[str, str], Row] = {}

    @initialize(grace=st.sampled_from([0, 50]), team=st.integers(0, 1000), key=st.integers(0, 1000))
    def begin(self, grace: int, team: int, key: int) -> None:
        self.grace = grace
        self.scopes = [Scope("team:a", Budget(team, "day")), Scope("key:b", Budget(key, "day"))]
        self.replicas = [self.process([]) for _ in range(REPLICAS)]

    def process(self, past: list[Turn]) -> Replica:
        """A new process, which knows of its accounts from the beginning."""
        self.ids += 1
        replica = Replica(f"r{self.ids}", past)
        self.open(replica)
        return replica

    def open(self, replica: Replica) -> list[Account]:
        accounts = [replica.book.open(scope, self.wall, self.now) for scope in self.scopes]
        for account in accounts:
            self.limits[account.name] = max(self.limits[account.name], account.limit)
        return accounts

    # --- requests -----------------------------------------------------------------------------------------------

    @rule(target=holds, which=st.integers(0, REPLICAS - 1), micros=st.integers(0, 300), many=st.booleans())
    def hold(self, which: int, micros: int, many: bool) -> object:
        replica = self.replicas[which]
        accounts = self.open(replica)[: 2 if many else 1]
        for account in replica.book.short_of(accounts, micros):
            account.need(micros)
        return self.reserve(replica, accounts, micros)

    @rule(target=holds, which=st.integers(0, REPLICAS - 1), share=st.floats(0, 1))
    def hold_of_the_lease(self, which: int, share: float) -> object:
        """Nobody is asked as long as there is any."""
        replica = self.replicas[which]
        accounts = self.open(replica)
        micros = int(share * max(0, min(account.free for account in accounts)))
        done = self.reserve(replica, accounts, micros)
        assert done != multiple()
        return done

    def reserve(self, replica: Replica, accounts: list[Account], micros: int) -> object:
        self.ids += 1
        id = f"h{self.ids}"
        if (hold := replica.book.hold(id, accounts, micros)) is None:
            return multiple()
        for account in accounts if micros else ():
            assert account.free >= -self.grace
            by_process = self.overdrawn[account.name]
            by_process[replica.book.replica] = max(by_process[replica.book.replica], -account.free)
        numbers = [replica.account(account) for account in accounts]
        replica.lines.append(["hold", id, micros, *numbers])
        replica.written = len(replica.lines)
        replica.holds[id] = hold
        return id

    @rule(id=holds, share=st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.5]))
    def settle(self, id: str, share: float) -> None:
        """Once, again, or for a process that is no more."""
        for replica in self.replicas:
            hold = replica.holds.pop(id, None)
            again = replica.book.again
            micros = int(share * (hold.micros if hold is not None else 100))
            assert (replica.book.settle(id, micros) is None) == (hold is None)
            assert replica.book.again == again + (hold is None)
            if hold is not None:
                replica.lines.append(["settle", id, micros])
                for account in hold.accounts:
                    self.spent[account.name] += micros
                    self.beyond[account.name] += max(0, micros - hold.micros)

    # --- turns --------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, REPLICAS - 1))
    def turn(self, which: int) -> None:
        self.take(self.replicas[which])

    def take(self, replica: Replica) -> None:
        """As Treasury does."""
        for turn in replica.to_tell:
            self.store.take(turn, self.now)
        replica.to_tell = []
        turn = replica.book.render(self.now, self.wall)
        answer = self.store.take(turn, self.now)
        replica.book.feed(turn, answer, self.now)
        if (answer.barred and not replica.barred) or answer.epoch != replica.epoch:
            replica.to_tell, replica.epoch = list(replica.past), answer.epoch
        replica.barred = answer.barred
        replica.book.grace = self.grace if answer.barred else 0

    @rule(which=st.integers(0, REPLICAS - 1), arrives=st.booleans())
    def unheard(self, which: int, arrives: bool) -> None:
        """The answer is lost, or the turn itself; that may still come."""
        replica = self.replicas[which]
        if replica.to_tell:
            return
        turn = replica.book.render(self.now, self.wall)
        if arrives:
            self.store.take(turn, self.now)
        else:
            replica.late.append(turn)
        replica.book.unheard(turn)
        replica.book.grace = self.grace

    @rule(which=st.integers(0, REPLICAS - 1), nth=st.integers(0, 3))
    def late(self, which: int, nth: int) -> None:
        """A turn that was sent long ago comes now."""
        late = self.replicas[which].late
        if late:
            self.store.take(late[nth % len(late)], self.now)

    # --- time ---------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 0.1, 0.5, 1.0, 3.0, 700.0]))
    def wait(self, seconds: float) -> None:
        """Time passes; a store that is new in charge is found by all replicas before it grants anything."""
        until = self.now + seconds
        while self.now < until:
            step = min(0.5, until - self.now) if self.store.barred(self.now) else until - self.now
            self.now += step
            self.wall += step
            if self.store.barred(self.now):
                for replica in self.replicas:
                    self.take(replica)

    @rule()
    def next_day(self) -> None:
        self.wait(0.1)
        self.wall += DAY_S
        for replica in self.replicas:
            self.open(replica)

    @rule(micros=st.integers(0, 1000), which=st.integers(0, 1))
    def change_limit(self, micros: int, which: int) -> None:
        self.scopes[which] = Scope(self.scopes[which].name, Budget(micros, "day"))
        for replica in self.replicas:
            self.open(replica)

    # --- trouble ------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, REPLICAS - 1), kept=st.booleans(), written=st.booleans())
    def crash(self, which: int, kept: bool, written: bool) -> None:
        """With its ledger, all of it or what was written when a provider was last asked; or without."""
        replica = self.replicas[which]
        for hold in replica.holds.values():
            for account in hold.accounts:
                self.spent[account.name] += hold.micros
        past = self.past_of(replica, written) if kept else []
        self.replicas[which] = self.process(past + (replica.past if kept else []))
        self.all_have_heard()

    def past_of(self, replica: Replica, written: bool) -> list[Turn]:
        past = Past()
        for line in replica.lines if written else replica.lines[: replica.written]:
            past.read(line)
        past.end()
        asks = []
        for name, row in past.rows(self.wall).get(replica.book.replica, {}).items():
            asks.append(Ask(name, 0, 60, row, row.allowance, row.allowance))
            self.dead[replica.book.replica, name] = row
        return [Turn(replica.book.replica, tuple(asks))] if asks else []

    @rule(which=st.integers(0, REPLICAS - 1), arrives=st.booleans())
    def leave(self, which: int, arrives: bool) -> None:
        """A process ends in peace, as soon as nothing is under way."""
        replica = self.replicas[which]
        if replica.holds or replica.to_tell:
            return
        for turn in replica.book.leave(self.now, self.wall):
            if arrives:
                self.store.take(turn, self.now)
                for ask in turn.asks:
                    assert ask.row.allowance <= ask.row.settled + ask.row.lost or ask.row.allowance == 0
        self.replicas[which] = self.process(replica.past)
        self.all_have_heard()

    def all_have_heard(self) -> None:
        """What nobody but a process that is no more has heard, nobody can tell a store again that lost it."""
        self.wait(1.0)
        for replica in self.replicas:
            self.take(replica)
        self.store.keep()

    @rule(turns=st.integers(0, 6))
    def fail_over(self, turns: int) -> None:
        self.store.fail_over(turns)

    @rule()
    def forget(self) -> None:
        self.store.forget()

    # --- what must hold -----------------------------------------------------------------------------------------

    @invariant()
    def no_more_is_spent_than_the_limit(self) -> None:
        """But for what was settled above its bound, and for the grace."""
        taken = self.spent.copy()
        for replica in self.replicas:
            for hold in replica.holds.values():
                for account in hold.accounts:
                    taken[account.name] += hold.micros
        for name, micros in taken.items():
            graced = sum(self.overdrawn[name].values())
            assert micros <= self.limits[name] + self.beyond[name] + graced, name

    @invariant()
    def nobody_has_more_than_the_store_knows(self) -> None:
        rows = self.store.rows()
        for account, replica in self.accounts():
            if replica.book.replica in self.store.told and not self.store.barred(self.now):
                row = rows.get(account.name, {}).get(replica.book.replica, Row(0, 0, 0))
                assert account.allowance <= row.allowance, (account, row)

    @invariant()
    def nothing_is_negative_and_all_figures_agree(self) -> None:
        for account, replica in self.accounts():
            assert min(account.held, account.settled, account.lost, account.allowance, account.others) >= 0
            assert account.held == sum(h.micros for h in replica.holds.values() if account in h.accounts)
            funds = replica.book.funds([account], self.now)
            assert funds.left == account.limit - account.others - account.taken
            assert account.used == account.others + max(account.allowance, account.taken)

    def accounts(self) -> Iterator[tuple[Account, Replica]]:
        for replica in self.replicas:
            for account in replica.book.accounts.values():
                yield account, replica

    @precondition(lambda self: bool(self.replicas))
    @rule()
    def all_tell(self) -> None:
        """Once all have told, the store knows of each what it did, and of those with a ledger what they left."""
        self.wait(3.0)
        for _ in range(2):
            for replica in self.replicas:
                replica.book.tell_all()
                self.take(replica)
        rows = self.store.rows()
        for account, replica in self.accounts():
            row = rows[account.name][replica.book.replica]
            assert (row.settled, row.lost) == (account.settled, account.lost)
        today = {account.name for account in self.open(self.replicas[0])}
        for (name, of), row in self.dead.items():
            if of in today:
                told = rows[of][name]
                # Of a store that had lost all, an older row that others had heard may be all there is: never of less.
                assert told == row or (told.n < row.n and told.committed >= row.committed)

    def teardown(self) -> None:
        """When all has ended and somebody is short, all that was leased ahead comes back."""
        if not self.replicas:
            return
        for replica in self.replicas:
            for id in list(replica.holds):
                self.settle(id, 1.0)
        self.all_tell()
        for replica in self.replicas:
            replica.book._short = {account.name for account in self.open(replica)}
            replica.book.tell_all()
            turn = replica.book.render(self.now, self.wall)
            replica.book.feed(turn, self.store.take(turn, self.now), self.now)
            for account in self.open(replica):
                assert (account.held, max(0, account.free)) == (0, 0), account


TestMoney = Machine.TestCase
TestMoney.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
