"""The ledger: what a crash leaves of it, what a full disk does to it, and who may write to it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.budgets.account import Row
from gateway.errors import ConfigError, Unavailable
from gateway.state.keybook import Keybook
from gateway.state.ledger import Ledger
from gateway.treasury import Chapter, Treasury
from gateway.types import Budget, Money, Scope
from tests.budgets.stage import OPEN, TEAM, WALL, Store, account, treasury

NAME = "team:support/2026-11"


@contextmanager
def full_disk(path: Path, room: int = 0) -> Iterator[None]:
    """Files of this process may grow to ``room`` bytes more than this one has."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def crash(treasury: Treasury) -> None:
    """End as by ``kill -9``: nothing is written any more, and the kernel gives the lock back."""
    assert treasury._ledger is not None
    os.close(treasury._ledger._fd)


def read(path: Path) -> dict[str, Row]:
    """The rows that the next process reads, by replica."""
    chapter = Chapter("reader", lambda: WALL)
    ledger = Ledger(str(path), [chapter])
    chapter.past.end()
    ledger.close()
    return {replica: rows[NAME] for replica, rows in chapter.past.rows(WALL).items() if NAME in rows}


def sums(path: Path) -> list[tuple[int, int]]:
    """What the processes before have settled and lost."""
    return [(row.settled, row.lost) for row in read(path).values()]


def with_money(path: Path, money: Money = OPEN) -> Treasury:
    """A treasury with a ledger and a lease of 500."""
    made = treasury(Store(), money, ledger=path)
    account(made).allowance = 500
    return made


# --- a crash ----------------------------------------------------------------------------------------------------------


def test_what_was_reserved_when_a_process_ended_is_lost_to_the_bound_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    money = with_money(path)
    for n, micros in enumerate((10, 20, 30)):
        assert money.hold(f"a.{n}", [account(money)], micros)
    money.settle("a.0", 4)
    money.settle("a.1", 25)
    assert money._ledger is not None
    money._ledger.flush()
    crash(money)
    assert sums(path) == [(29, 30)]


def test_what_is_settled_and_not_yet_written_is_lost_to_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    money = with_money(path)
    assert money.hold("a.0", [account(money)], 10)
    money.settle("a.0", 4)
    crash(money)
    assert sums(path) == [(0, 10)]


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_torn_line_costs_nothing_but_itself(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "ledger"
    money = with_money(path)
    assert money.hold("a.0", [account(money)], 10)
    assert money.hold("a.1", [account(money)], 20)
    crash(money)
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    money = with_money(path)
    assert money.hold("b.0", [account(money)], 5)
    crash(money)
    assert sorted(sums(path)) == [(0, 5), (0, 10 if cut > 1 else 30)]


# --- the next process -------------------------------------------------------------------------------------------------


async def heard(store: Store, path: Path) -> dict[str, Row]:
    """The rows that the fleet has once the next process has told them."""
    money = treasury(store, ledger=path)
    assert await money.lease([account(money)], 1)
    crash(money)
    return {replica: row for replica, row in store._fleet.rows(NAME).items() if replica != store.replica}


@pytest.mark.parametrize("kind", ["redis", "memory"])
async def test_the_next_process_tells_what_the_one_before_has_settled_and_lost(tmp_path: Path, kind: str) -> None:
    money = with_money(tmp_path / "ledger")
    for n, micros in enumerate((10, 20)):
        assert money.hold(f"a.{n}", [account(money)], micros)
    money.settle("a.0", 4)
    assert money._ledger is not None
    money._ledger.flush()
    crash(money)
    store = Store()
    store.kind = kind
    assert await heard(store, tmp_path / "ledger") == {money.chapter.replica: Row(2**52, 24, 4, 20)}


async def test_what_earlier_processes_did_in_very_many_budgets_is_told_in_turns_that_a_store_answers_in_time(
    tmp_path: Path,
) -> None:
    money = with_money(tmp_path / "ledger")
    for n in range(1_200):
        one = account(money, Scope(f"user:team/a/{n}", Budget(1_000)))
        one.allowance = 500
        assert money.hold(f"a.{n}", [one], 10)
    crash(money)
    store = Store()
    assert money.chapter.replica not in await heard(store, tmp_path / "ledger")
    assert [len(turn.asks) for turn in store.turns if turn.replica == money.chapter.replica] == [200, 500, 500]


async def test_of_another_boot_the_fleet_keeps_the_lease_and_a_gateway_alone_takes_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    money = with_money(tmp_path / "ledger")
    assert money.hold("a.0", [account(money)], 10)
    crash(money)
    monkeypatch.setattr("gateway.treasury.BOOT", tmp_path / "none")
    shared, alone = Store(), Store()
    alone.kind = "memory"
    assert await heard(shared, tmp_path / "ledger") == {}
    assert await heard(alone, tmp_path / "ledger") == {money.chapter.replica: Row(2**52, 10, 0, 10)}


@pytest.mark.parametrize("forgets", ["all", "nothing"])
async def test_what_earlier_processes_did_is_told_again_to_a_store_that_is_new_in_charge(
    tmp_path: Path, forgets: str
) -> None:
    money = with_money(tmp_path / "ledger")
    assert money.hold("a.0", [account(money)], 10)
    crash(money)
    store = Store()
    again = treasury(store, ledger=tmp_path / "ledger")
    assert await again.lease([account(again)], 1)
    past = money.chapter.replica
    before = store._fleet.rows(NAME)[past]
    # Another takes over that knew the process before as it was at work, or nobody at all.
    if forgets == "all":
        store._fleet._accounts.clear()
    else:
        store._fleet._accounts[NAME][past] = Row(7, 500, 0, 0)
    store.mood, store.epoch = "barred", "another"
    for _ in range(3):
        again.book.tell_all()
        await again._turn(1e9)
    assert store._fleet.rows(NAME)[past] == before
    crash(again)


# --- a full disk ------------------------------------------------------------------------------------------------------


def test_with_a_full_disk_nothing_is_reserved_when_closed_and_nothing_is_charged_for_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    money = with_money(path, Money(on_state_loss="closed"))
    with full_disk(path):
        for _ in range(3):
            with pytest.raises(Unavailable, match="make room") as refused:
                money.hold("a.0", [account(money)], 10)
            assert refused.value.code == "ledger_unavailable"
    assert (account(money).held, dict(money.book.holds)) == (0, {})
    assert money.hold("a.1", [account(money)], 7)
    crash(money)
    assert sums(path) == [(0, 7)]


@pytest.mark.parametrize("room", range(0, 400, 9))
def test_with_grace_a_full_disk_stops_nothing_and_has_everything_once_when_there_is_room_again(
    tmp_path: Path, room: int
) -> None:
    path = tmp_path / "ledger"
    money = with_money(path)
    for more in (0, room, room + 1):
        with full_disk(path, more):
            for n in range(5):
                assert money.hold(f"{more}.{n}", [account(money)], 10)
                money.settle(f"{more}.{n}", n)
    assert money.hold("a.9", [account(money)], 30)
    crash(money)
    assert sums(path) == [(30, 30)]


def test_what_waits_for_room_is_bounded_and_nothing_of_it_is_missing_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    money = with_money(path)
    assert money._ledger is not None
    money._ledger._waiting = 20
    with full_disk(path):
        for n in range(200):
            assert money.hold(f"a.{n}", [account(money)], 2)
            assert len(money._ledger._later) <= 21
            if n:
                money.settle(f"a.{n}", 1)
        assert not money._ledger.flush()
    assert money._ledger.flush()
    assert money.hold("b.0", [account(money)], 30)
    assert money._ledger.error is None
    crash(money)
    assert sums(path) == [(199, 32)]


# --- written anew -----------------------------------------------------------------------------------------------------


def test_a_ledger_written_anew_with_reservations_open_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    past = with_money(path)
    assert past.hold("p.0", [account(past)], 3)
    crash(past)
    money = with_money(path)
    assert money._ledger is not None
    other = Scope("key:a", TEAM.budget)
    account(money, other).allowance = 500
    for n in range(200):
        assert money.hold(f"a.{n}", [account(money), account(money, other)][: 1 + n % 2], 2)
        if n % 3:
            money.settle(f"a.{n}", 1)
        if n % 50 == 25:
            money._ledger.compact()
    money.settle("a.0", 2)
    money._ledger.flush()
    crash(money)
    assert sums(path) == [(0, 3), (135, 2 * 66)]
    assert read(path)[money.chapter.replica].settled == 135


def test_an_account_that_comes_back_after_the_ledger_was_written_anew_without_it_is_introduced_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger"
    money = with_money(path)
    assert money._ledger is not None
    assert money.hold("a.0", [account(money)], 10)
    money.settle("a.0", 0)
    # As after the end of its period; then the clock is put back.
    money.book._accounts.clear()
    money.book._by_scope.clear()
    money._ledger.compact()
    assert money.chapter.numbers == {}
    account(money).allowance = 500
    assert money.hold("a.1", [account(money)], 20)
    crash(money)
    assert sums(path) == [(0, 20)]


def test_a_ledger_that_is_opened_late_has_what_was_spent_and_reserved_before(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    money = treasury(Store())
    account(money).allowance = 500
    for n in range(2):
        assert money.hold(f"a.{n}", [account(money)], 10)
    money.settle("a.0", 4)
    money.keep_in(Ledger(str(path), [money.chapter]))
    money.settle("a.1", 5)
    assert money._ledger is not None
    money._ledger.flush()
    crash(money)
    assert sums(path) == [(9, 0)]


def test_who_has_no_room_to_write_it_anew_goes_on_with_the_old_one_and_does_it_later(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    money = with_money(path)
    assert money.hold("a.0", [account(money)], 3)
    assert money._ledger is not None
    with full_disk(tmp_path / "ledger", -10):
        money._ledger.compact()
        money._ledger.compact()
    assert "written anew" in repr(money._ledger)
    size = path.stat().st_size
    money.settle("a.0", 1)
    money._ledger.flush()
    money._ledger.compact()
    assert path.stat().st_size < size + 60
    assert money._ledger.error is None
    crash(money)
    assert sums(path) == [(1, 0)]


async def test_a_key_that_is_revoked_as_the_ledger_has_grown_stays_revoked(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger")
    book, again = Keybook(), Keybook()
    ledger = Ledger(path, [book], compact=10)
    book.open = lambda: ledger
    await book.change("a", None, b"{}")
    ledger.flush()
    await book.change("a", b"{}", None)
    await book.change("b", None, b"{}")
    ledger.close()
    Ledger(path, [again]).close()
    assert again.all() == {"b": b"{}"}


# --- one writer -------------------------------------------------------------------------------------------------------


def test_two_processes_do_not_write_to_one_ledger_not_even_after_it_was_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    money = with_money(path)
    assert money._ledger is not None
    for _ in range(2):
        with pytest.raises(ConfigError, match="another gateway writes to it"):
            Ledger(str(path), [])
        money._ledger.compact()
    money._ledger.close()
    Ledger(str(path), []).close()
