"""Clients name as many users as they like: what that takes is bounded. Read next: ../../gateway/budgets/book.py."""

from __future__ import annotations

import pytest

from gateway.budgets import book as module
from gateway.budgets.account import Row
from gateway.budgets.book import Book
from gateway.budgets.fleet import Ask, Fleet, Turn
from gateway.budgets.period import span_of
from gateway.budgets.scopes import scopes_of
from gateway.types import Budget, Caller, Period, Scope

NOON = 1_795_867_200.0


def caller() -> Caller:
    day = Budget(1_000_000, "day")
    return Caller("k", scopes=(Scope("key:k/x", day),), each_user=(Scope("user:key/k/x/", day),))


def test_beyond_so_many_accounts_new_users_share_one_and_known_ones_keep_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    book = Book("r")

    def accounts(user: str) -> list[str]:
        return [book.open(scope, NOON, 0.0).scope for scope in scopes_of(caller(), user)]

    assert accounts("a/b") == ["key:k/x", "user:key/k/x/a/b"]
    assert accounts("c") == ["key:k/x", "user:key/k/x/c"]
    assert accounts("d") == accounts("e") == ["key:k/x", "user:key/k/x/"]
    assert accounts("c") == ["key:k/x", "user:key/k/x/c"]
    assert len(book.accounts) == 4


def test_a_turn_looks_only_at_what_was_used_lately_or_has_something_to_tell() -> None:
    book = Book("r")
    accounts = [book.open(scope, NOON, 0.0) for scope in scopes_of(caller(), "a")]
    assert book.hold("x", accounts, 0) is not None
    assert len(book.render(1.0, NOON).asks) == 2
    assert [ask.account for ask in book.render(100.0, NOON).asks] == [account.name for account in accounts]
    assert [ask.account for ask in book.render(700.0, NOON).asks] == [accounts[0].name]
    assert book.render(701.0, NOON).asks == ()
    assert (len(book.awake), len(book.accounts)) == (0, 2)
    book.settle("x", 5)
    assert [ask.row.settled for ask in book.render(702.0, NOON).asks] == [5, 5]


@pytest.mark.parametrize(
    ("per", "days"), [("hour", 2), ("day", 2), ("week", 14), ("month", 40), ("year", 40), ("total", 400)]
)
def test_an_account_is_kept_for_a_while_after_its_period_and_those_of_a_day_not_for_weeks(
    per: Period, days: int
) -> None:
    span = span_of(per, NOON)
    after = span.ends_at - NOON if span.ends_at is not None else 0
    assert span.keep_s(NOON) == after + days * 86_400


def test_whoever_is_refused_what_nobody_has_makes_no_replica_look() -> None:
    fleet = Fleet()

    def refused(*rows: tuple[str, Row]) -> tuple[str, ...]:
        for replica, row in rows:
            fleet.turn(Turn(replica, (Ask("a", 100, 60, row, row.committed, row.committed),)))
        return fleet.turn(Turn("me", (Ask("a", 100, 60, Row(9, 0, 0), 101, 101),))).short

    assert refused() == ()
    assert refused(("other", Row(1, 40, 40))) == ()
    assert refused(("other", Row(2, 60, 40))) == ("a",)
