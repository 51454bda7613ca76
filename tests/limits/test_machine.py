"""Limits over a fleet to which anything may happen: what is let in stays within them, and nothing leaks."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.errors import RateLimited
from gateway.limits.limiter import Need, Ticket
from gateway.limits.rate import SLACK
from gateway.types import Caller, Limits, Scope, Usage
from tests.limits.fleet import Clock, Replica, Store, at_once

LIMITS = {
    "team:rates": Limits(rpm=60),
    "key:few": Limits(rpm=10),
    "key:more": Limits(rpm=45),
    "team:places": Limits(concurrency=5),
    "key:one": Limits(concurrency=3),
    "key:many": Limits(concurrency=60),
    "key:tokens": Limits(tpm=3000),
    "key:all": Limits(rpm=30, tpm=9000, concurrency=10),
}
SCOPES = (
    ("team:rates", "key:few"),
    ("team:rates", "key:more"),
    ("team:places", "key:one"),
    ("team:places",),
    ("key:many",),
    ("key:tokens",),
    ("team:rates", "key:all"),
)
CALLERS = tuple(Caller(names[-1], scopes=tuple(Scope(name, limits=LIMITS[name]) for name in names)) for names in SCOPES)


#: Replicas sync every 100 ms, more or less.
LATE_S = 0.3


class Admitted:
    """A request that was let in."""

    def __init__(self, replica: Replica, caller: Caller, ticket: Ticket, at: float, reserved: int) -> None:
        self.replica, self.caller, self.ticket, self.at = replica, caller, ticket, at
        self.tokens = reserved
        self.reserved = reserved


class Limited(RuleBasedStateMachine):
    """Replicas come, go and tell at any time; the store always answers."""

    size = 3
    cuts = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = Store(self.clock)
        self.replicas: list[Replica] = []
        self.flying: list[Admitted] = []
        self.admitted: list[Admitted] = []
        self.waits: list[float | None] = []
        self.crashes = 0
        self.cut_at_all = False

    @initialize()
    def all_have_met(self) -> None:
        self.replicas = [Replica(self.store, self.clock, f"r{n}") for n in range(self.size)]
        for _ in range(2):
            for replica in self.replicas:
                replica.sync()
        self.clock.turned = self.sync_who_is_late

    def sync_who_is_late(self) -> None:
        """A replica that is silent for long is not there, as far as others can tell."""
        for replica in self.replicas:
            if self.clock.now - replica.synced_at > LATE_S:
                replica.sync()

    @rule(caller=st.sampled_from(CALLERS), n=st.integers(0, 5), tokens=st.integers(1, 900), times=st.integers(1, 20))
    def enter(self, caller: Caller, n: int, tokens: int, times: int) -> None:
        self.let_in(self.replicas[n % self.size], caller, tokens, times)

    @rule(caller=st.sampled_from(CALLERS), tokens=st.integers(1, 900), times=st.integers(1, 20))
    def a_burst_at_all_replicas(self, caller: Caller, tokens: int, times: int) -> None:
        for _ in range(times):
            for replica in self.replicas:
                self.let_in(replica, caller, tokens, 1)

    def let_in(self, replica: Replica, caller: Caller, tokens: int, times: int) -> None:
        for _ in range(times):
            gates = replica.limiter.gates(caller)
            try:
                ticket = at_once(replica.limiter.enter(gates, Need(tokens, 1), self.clock.now))
            except RateLimited as refused:
                self.waits.append(refused.retry_after_s)
                return
            one = Admitted(replica, caller, ticket, self.clock.now, tokens)
            self.flying.append(one)
            self.admitted.append(one)

    @precondition(lambda self: self.flying)
    @rule(used=st.integers(0, 900))
    def end_all(self, used: int) -> None:
        while self.flying:
            self.end_one(0, used, twice=False)

    @precondition(lambda self: self.flying)
    @rule(n=st.integers(0, 1000), used=st.integers(0, 1500), twice=st.booleans())
    def end(self, n: int, used: int, twice: bool) -> None:
        self.end_one(n, used, twice=twice)

    def end_one(self, n: int, used: int, *, twice: bool) -> None:
        one = self.flying.pop(n % len(self.flying))
        usage = Usage(used, 0) if used else None
        one.ticket.end(usage, self.clock.now)
        one.tokens = min(one.tokens, used)
        if twice:
            one.ticket.end(usage, self.clock.now)

    @rule(n=st.integers(0, 5))
    def sync(self, n: int) -> None:
        self.replicas[n % self.size].sync()

    @rule(seconds=st.floats(0.001, 0.1))
    def a_moment_passes(self, seconds: float) -> None:
        self.clock.turn(seconds)

    @rule(tenths=st.integers(1, 100))
    def time_passes_and_all_sync_as_they_do(self, tenths: int) -> None:
        for _ in range(tenths):
            self.clock.now += 0.1
            for replica in self.replicas:
                replica.sync()

    @precondition(lambda self: self.size > 1)
    @rule(n=st.integers(0, 5))
    def crash(self, n: int) -> None:
        """Its requests end with it; another takes its place, and is heard at once."""
        gone = self.replicas[n % self.size]
        self.crashes += 1
        new = self.replicas[n % self.size] = Replica(self.store, self.clock, f"{gone.id}'")
        self.flying = [one for one in self.flying if one.replica is not gone]
        for replica in (new, *self.replicas):
            replica.sync()

    @invariant()
    def no_window_has_more_than_its_limit(self) -> None:
        for name, limits in LIMITS.items():
            of = [one for one in self.admitted if any(scope.name == name for scope in one.caller.scopes)]
            if limits.rpm is not None:
                self.within([(one.at, 1.0) for one in of], limits.rpm)
            if limits.tpm is not None and self.size == 1:
                self.within([(one.at, one.tokens) for one in of], limits.tpm)

    def within(self, amounts: list[tuple[float, float]], limit: int) -> None:
        """In any window: what drains in it, a bucketful, and what the fleet had not heard of yet."""
        most = limit * (1 + (SLACK * (1 + self.crashes) if self.size > 1 else 0) + self.cuts)
        # The fullest that a bucket of final amounts ever was bounds all windows at once.
        level, last = 0.0, 0.0
        for at, amount in amounts:
            level = max(0.0, level - limit / 60 * (at - last)) + amount
            last = at
            assert level <= most * (1 + 1e-6), f"{level} of {most}"

    @invariant()
    def who_is_refused_is_told_when_to_come_again(self) -> None:
        assert all(wait is not None and wait > 0 for wait in self.waits)
        self.waits.clear()

    @invariant()
    def no_more_are_served_at_once_than_may_be(self) -> None:
        if self.cuts:
            return
        for name, limits in LIMITS.items():
            flying = sum(any(scope.name == name for scope in one.caller.scopes) for one in self.flying)
            assert limits.concurrency is None or flying <= limits.concurrency

    def teardown(self) -> None:
        """Nothing leaks: when all have ended, every limit is there again."""
        for one in self.flying:
            one.ticket.end(None, self.clock.now)
        for replica in self.replicas:
            assert replica.places.used == 0
            replica.cut = False
        # What was used beyond its reservation drains first.
        self.clock.now += 7200.0
        for _ in range(60):
            self.clock.now += 0.1
            for replica in self.replicas:
                replica.sync()
        for replica in self.replicas[:1]:
            for caller in CALLERS:
                gates = replica.limiter.gates(caller)
                tickets = [at_once(replica.limiter.enter(gates, Need(1, 1), self.clock.now)) for _ in range(3)]
                for ticket in tickets:
                    ticket.end(None, self.clock.now)


class Alone(Limited):
    """One replica."""

    size = 1


class Cut(Limited):
    """The store may stop answering some replicas: each then has its part of every limit."""

    @rule(n=st.integers(0, 5))
    def cut(self, n: int) -> None:
        self.replicas[n % self.size].cut = True
        self.cuts += 1

    @rule(n=st.integers(0, 5))
    def heal(self, n: int) -> None:
        self.replicas[n % self.size].cut = False


TestLimited = Limited.TestCase
TestAlone = Alone.TestCase
TestCut = Cut.TestCase
TestLimited.settings = TestAlone.settings = TestCut.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
