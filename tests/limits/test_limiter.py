"""Limits of one replica, and of one that cannot ask, on a hand-wound clock."""

from __future__ import annotations

import pytest

from gateway.errors import RateLimited
from gateway.limits.limiter import Limiter, Need, Ticket
from gateway.standing import Standing
from gateway.state.memory import Memory
from gateway.types import Caller, Features, Limits, Scope, Usage
from tests.limits.fleet import Clock, Replica, Store, at_once


def caller(**limits: Limits) -> Caller:
    """A caller with a scope for each."""
    return Caller("k", scopes=tuple(Scope(f"{kind}:x", limits=one) for kind, one in limits.items()))


class Door:
    """A limiter of one replica, and a caller."""

    def __init__(self, who: Caller, user: str | None = None) -> None:
        self.clock = Clock()
        self.limiter = Limiter(Memory(), clock=self.clock, sleep=self.clock.sleep)
        self.who, self.user = who, user

    def enter(self, tokens: int = 1, input_tokens: int = 1) -> Ticket:
        gates = self.limiter.gates(self.who, self.user)
        return at_once(self.limiter.enter(gates, Need(tokens, input_tokens), self.clock.now))

    def refused(self, tokens: int = 1, input_tokens: int = 1) -> RateLimited:
        with pytest.raises(RateLimited) as refused:
            self.enter(tokens, input_tokens)
        return refused.value

    def standing(self) -> tuple[Standing, ...]:
        return self.limiter.standing(self.who, self.user)


def test_a_minutes_worth_may_come_at_once_and_then_as_it_drains() -> None:
    door = Door(caller(key=Limits(rpm=10)))
    for _ in range(10):
        door.enter()
    error = door.refused()
    assert (error.code, error.should_retry) == ("rate_limit_exceeded", True)
    assert error.message == "The key's limit of 10 requests a minute is reached; try again in 6.000 s."
    assert error.retry_after_s == pytest.approx(6.0)
    door.clock.turn(6.0 - 0.001)
    assert door.refused().retry_after_s == pytest.approx(0.001, abs=1e-6)
    door.clock.turn(0.001)
    door.enter()
    door.refused()


@pytest.mark.parametrize("rpm", [1, 7, 60, 999])
def test_who_comes_again_when_told_to_is_let_in(rpm: int) -> None:
    door = Door(caller(key=Limits(rpm=rpm)))
    for _ in range(rpm):
        door.clock.turn(0.0137)
        door.enter()
    for _ in range(50):
        try:
            door.enter()
        except RateLimited as refused:
            door.clock.turn(refused.retry_after_s or 0.0)
            door.enter()


def test_all_scopes_are_taken_from_or_none() -> None:
    door = Door(caller(team=Limits(rpm=3, concurrency=9), key=Limits(tpm=100)))
    door.enter(60)
    assert door.refused(60).message.startswith("The key's limit of 100 tokens a minute is reached")
    assert door.standing() == (
        Standing("team", "requests", 3, 2, 20.0, 20.0),
        Standing("key", "tokens", 100, 40, 36.0, 0.6),
        Standing("team", "concurrency", 9, 8),
    )


def test_tokens_are_reserved_and_settled_once() -> None:
    door = Door(caller(key=Limits(tpm=1000)))
    ticket = door.enter(800)
    door.refused(300)
    ticket.end(Usage(100, 50), door.clock.now)
    ticket.end(Usage(100, 50), door.clock.now)
    assert door.standing()[0].remaining == 850
    ticket = door.enter(100)
    ticket.end(Usage(500, 400), door.clock.now)
    assert door.standing()[0].remaining == 0
    assert door.refused(1).retry_after_s == pytest.approx((1050 + 1 - 1000) / 1000 * 60)


def test_a_request_that_nobody_answered_used_no_tokens() -> None:
    door = Door(caller(key=Limits(rpm=5, tpm=1000)))
    door.enter(800).end(None, door.clock.now)
    assert [s.remaining for s in door.standing()] == [4, 1000]


def test_what_has_drained_is_not_given_back() -> None:
    door = Door(caller(key=Limits(tpm=600)))
    first = door.enter(600)
    door.clock.turn(60.0)
    door.enter(600)
    first.end(None, door.clock.now)
    assert door.standing()[0].remaining == 0
    door.clock.turn(30.0)
    assert door.standing()[0].remaining == 300


def test_what_is_larger_than_the_limit_is_refused_for_good_and_a_guess_is_not() -> None:
    door = Door(caller(key=Limits(tpm=100)))
    error = door.refused(120, 101)
    assert (error.should_retry, error.retry_after_s, error.param) == (False, None, "messages")
    assert (
        error.message
        == "The request has about 101 tokens, and the key's limit is 100 tokens a minute: send less at once."
    )
    door.enter(5000, 50)
    assert door.standing()[0].remaining == 0


def test_places_come_free_when_a_request_ends_however_often_it_does() -> None:
    door = Door(caller(team=Limits(concurrency=3), key=Limits(concurrency=2)))
    one, _ = door.enter(), door.enter()
    error = door.refused()
    assert error.message == "The key's limit of 2 requests at once is reached; try again in 0.500 s."
    assert error.should_retry
    for _ in range(3):
        one.end(None, door.clock.now)
    door.enter()
    door.refused()


def test_each_end_user_has_limits_of_its_own() -> None:
    who = Caller("k", each_user=(Scope("user:team/t/", limits=Limits(rpm=1)),))
    one = Door(who, "ada")
    one.enter()
    assert one.refused().message.startswith("The user's limit of 1 requests a minute is reached")
    one.user = "bob"
    one.enter()
    one.user = None
    one.enter()
    one.user = "x" * 5000
    one.enter()
    one.refused()
    assert max(len(name) for name in one.limiter._state.buckets._by) < 200


def test_of_several_scopes_the_one_with_the_least_share_left_is_told() -> None:
    door = Door(caller(organisation=Limits(rpm=100), team=Limits(rpm=4), key=Limits(rpm=50)))
    assert door.enter().standing() == (Standing("team", "requests", 4, 3, 15.0, 15.0),)


def test_an_answer_is_taken_to_be_as_long_as_answers_were() -> None:
    limiter = Limiter(Memory(), clock=Clock())
    features = Features(100, None, 1, frozenset(), 1)
    assert limiter.need(features) == Need(900, 100)
    assert limiter.need(Features(100, 50, 1, frozenset(), 1)) == Need(150, 100)
    assert limiter.need(features, counted=False) == Need(0, 0)
    who = caller(key=Limits(tpm=10**6))
    for _ in range(200):
        at_once(limiter.enter(limiter.gates(who), Need(1, 1), 0.0)).end(Usage(1, 10), 0.0)
    assert limiter.need(features) == Need(120, 100)


def test_a_changed_limit_holds_from_the_next_request_on_and_forgets_nothing() -> None:
    door = Door(caller(key=Limits(rpm=2)))
    door.enter()
    door.enter()
    door.who = caller(key=Limits(rpm=4))
    assert door.standing()[0].remaining == 2


# --- several replicas -------------------------------------------------------------------------------------------


def fleet(size: int) -> tuple[Clock, list[Replica]]:
    clock = Clock()
    store = Store(clock)
    replicas = [Replica(store, clock, f"r{n}") for n in range(size)]
    for _ in range(2):
        for replica in replicas:
            replica.sync()
    return clock, replicas


def let_in(replica: Replica, who: Caller, clock: Clock) -> Ticket | None:
    try:
        return at_once(replica.limiter.enter(replica.limiter.gates(who), Need(1, 1), clock.now))
    except RateLimited:
        return None


def test_four_replicas_let_in_ten_of_ten() -> None:
    clock, replicas = fleet(4)
    who = caller(key=Limits(rpm=10))
    assert sum(let_in(replica, who, clock) is not None for _ in range(20) for replica in replicas) == 10
    assert sum(replica.awaited["limit"] for replica in replicas) <= 10 + 4


def test_a_replica_asks_nobody_far_from_the_limit() -> None:
    clock, replicas = fleet(4)
    who = caller(key=Limits(rpm=600))
    for _ in range(100):
        clock.turn(0.1)
        for replica in replicas:
            assert let_in(replica, who, clock)
            replica.sync()
    assert sum(replica.awaited.get("limit", 0) for replica in replicas) < 20


def test_who_cannot_ask_has_its_part() -> None:
    clock, replicas = fleet(4)
    who = caller(key=Limits(rpm=20, concurrency=7))
    replicas[0].cut = True
    tickets = [ticket for _ in range(20) if (ticket := let_in(replicas[0], who, clock))]
    assert len(tickets) == 2
    for ticket in tickets:
        ticket.end(None, clock.now)
    clock.turn(3.0)
    let_in_alone = 0
    while (ticket := let_in(replicas[0], who, clock)) is not None:
        ticket.end(None, clock.now)
        let_in_alone += 1
    assert let_in_alone == 3
    clock.turn(12.0)
    assert let_in(replicas[0], who, clock)
    assert not let_in(replicas[0], who, clock)


def test_a_limit_of_one_is_no_limit_of_none_for_who_cannot_ask() -> None:
    clock, replicas = fleet(4)
    who = caller(key=Limits(rpm=1, tpm=100, concurrency=1))
    replicas[0].cut = True
    clock.turn(3.0)
    assert let_in(replicas[0], who, clock)
    assert not let_in(replicas[0], who, clock)


def test_a_replica_that_nobody_has_heard_of_does_not_hold_itself_to_be_the_only_one() -> None:
    clock, (one, *_) = fleet(3)
    new = Replica(one._store, clock, "new")
    assert sum(let_in(new, caller(key=Limits(rpm=10)), clock) is not None for _ in range(20)) == 10
    assert new.awaited["limit"] >= 10


def test_places_of_a_replica_that_is_gone_are_free_after_three_seconds() -> None:
    clock, (one, other) = fleet(2)
    who = caller(key=Limits(concurrency=4))
    assert all(let_in(one, who, clock) for _ in range(4))
    assert not let_in(other, who, clock)
    for _ in range(31):
        clock.turn(0.1)
        other.sync()
    assert sum(let_in(other, who, clock) is not None for _ in range(6)) == 4


def test_a_place_that_was_left_here_is_free_there_at_once() -> None:
    clock, replicas = fleet(3)
    who = caller(key=Limits(concurrency=1))
    for turn in range(30):
        ticket = let_in(replicas[turn % 3], who, clock)
        assert ticket is not None
        assert let_in(replicas[(turn + 1) % 3], who, clock) is None
        ticket.end(None, clock.now)


def test_places_that_stand_by_are_given_back_when_others_are_short() -> None:
    clock, (one, other) = fleet(2)
    who = caller(key=Limits(concurrency=32))
    held = let_in(one, who, clock)
    assert held
    assert sum(let_in(other, who, clock) is not None for _ in range(40)) >= 29
    for _ in range(6):
        clock.turn(0.1)
        one.sync()
        other.sync()
    while let_in(other, who, clock):
        pass
    assert other.places.used == 31


def test_many_places_are_had_without_asking() -> None:
    clock, (one, other) = fleet(2)
    who = caller(key=Limits(concurrency=160))
    for _ in range(200):
        for replica in (one, other):
            ticket = let_in(replica, who, clock)
            assert ticket
            ticket.end(None, clock.now)
        clock.turn(0.1)
        one.sync()
        other.sync()
    assert [replica.awaited["concurrency"] for replica in (one, other)] == [1, 1]
