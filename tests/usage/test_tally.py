"""What one replica adds up of its own exchanges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from gateway.state.keybook import Keybook
from gateway.state.ledger import Ledger
from gateway.state.memory import Memory
from gateway.treasury import Chapter
from gateway.types import OUTCOMES
from gateway.usage.sums import DAY_S, Dims, Sums, day_of, iso
from gateway.usage.tally import Day, Tally, line
from tests.telemetry.exchanges import FAILED, SERVED, exchange, plain

DAY = day_of("2025-11-21")


def rows(tally: Tally) -> dict[Dims, Sums]:
    (day,) = tally.days.values()
    return day.rows


def test_a_day_is_its_date() -> None:
    assert (iso(0), iso(DAY), day_of("1970-01-02")) == ("1970-01-01", "2025-11-21", 1)


def test_a_request_counts_where_it_was_served_and_each_try_where_it_was_made() -> None:
    tally = Tally()
    tags = {"feature": "search"}
    tally.count(
        exchange(
            organisation="acme",
            team="support",
            user="ann",
            tags=tags,
            attempts=(replace(FAILED, usage=SERVED.usage), SERVED),
            baseline=9_000,
        )
    )
    who, what = ("acme", "support", "team-a", "ann"), ("agents", "search")
    assert rows(tally) == {
        (*who, "gpt", *what): Sums(1, 0, 1, 1200, 340, 1024, 0, 64, 5_210, 0, 1, 9_000, 3_790),
        (*who, "sonnet", *what): Sums(0, 0, 1, 1200, 340, 1024, 0, 64, 0, 1),
    }


def test_a_request_that_nobody_served_counts_where_it_was_tried_last_or_nowhere() -> None:
    tally = Tally()
    tally.count(plain(outcome="upstream_error", attempts=(FAILED,), deployment=None, cost=None))
    tally.count(plain(outcome="client_error", attempts=(), deployment=None, decision=None, cost=None))
    assert rows(tally) == {
        ("", "", "team-a", "", "sonnet", "agents", ""): Sums(1, 1, 1),
        ("", "", "team-a", "", "", "", ""): Sums(1, 1),
    }


def test_every_outcome_is_either_failed_or_not() -> None:
    failed = set()
    for outcome in OUTCOMES:
        tally = Tally()
        tally.count(plain(outcome=outcome))
        (sums,) = rows(tally).values()
        failed |= {outcome} if sums.failed else set()
    assert failed == set(OUTCOMES) - {"ok", "fallback_ok", "degraded", "cancelled"}


def test_of_a_cost_or_a_baseline_that_is_not_known_nothing_is_saved() -> None:
    tally = Tally()
    tally.count(plain(baseline=9_000, cost=None))
    tally.count(plain(baseline=None))
    tally.count(plain(baseline=1_000))
    (sums,) = rows(tally).values()
    assert (sums.compared, sums.baseline, sums.saving) == (1, 1_000, -4_210)


def test_beyond_the_most_that_are_told_apart_users_are_others_and_then_features_are() -> None:
    tally = Tally(most=8)
    for n in range(100):
        tally.count(plain(user=f"user-{n}", tags={"feature": f"feature-{n % 7}"}))
    by = rows(tally)
    assert len(by) == 11
    assert sum(sums.requests for sums in by.values()) == 100
    assert {dims[3] for dims in by} == {*(f"user-{n}" for n in range(8)), "other"}
    assert sum(sums.requests for dims, sums in by.items() if dims[3] == "other") == 92
    assert sum(sums.requests for dims, sums in by.items() if dims[6] == "other") > 0
    tally.count(plain(user="x" * 257))
    assert "x" * 257 not in {dims[3] for dims in rows(tally)}


def test_of_too_many_days_or_rows_the_oldest_days_go() -> None:
    tally = Tally(days=3, rows=5)
    for n in range(5):
        tally.count(plain(at=(DAY + n) * float(DAY_S)))
    assert list(tally.days) == [DAY + 2, DAY + 3, DAY + 4]
    for n in range(4):
        tally.count(plain(at=(DAY + 4) * float(DAY_S), user=f"user-{n}"))
    tally.let_go()
    assert list(tally.days) == [DAY + 4]
    tally.count(plain(at=(DAY + 4) * float(DAY_S), user="user-5"))
    tally.let_go()
    assert list(tally.days) == [DAY + 4]


def test_what_a_ledger_kept_is_what_was_counted() -> None:
    tally, again = Tally(), Tally()
    for n in range(4):
        tally.count(exchange(at=(DAY + n % 2) * float(DAY_S), user=f"user-{n}"))
    for value in tally.whole():
        again.read(list(value))
    again.read(line(DAY, ("", "", "team-a", "user-0", "gpt", "agents", ""), Sums(7)))
    assert {n: day.rows for n, day in again.days.items()} == {
        DAY: {**tally.days[DAY].rows, ("", "", "team-a", "user-0", "gpt", "agents", ""): Sums(7)},
        DAY + 1: tally.days[DAY + 1].rows,
    }
    assert [day.settled for day in again.days.values()] == [True, True]


def test_a_ledger_with_lines_that_nobody_can_read_is_read_all_the_same(tmp_path: Path) -> None:
    path, tally, keys, money = tmp_path / "ledger", Tally(), Keybook(), Chapter("reader", lambda: 0.0)
    dims = ["", "", "team-a", "", "gpt", "agents", ""]
    lines: list[object] = [["usage", [DAY, dims, [1]]], ["keys", ["a", "{}"]], ["money", ["replica", "r", ""]]]
    odd: Any
    for odd in ([], [DAY], [DAY, [*dims, "new"], [2]], [DAY, dims, {}], "odd", 7, None, {"a": 1}, [[], {}], [["x"]]):
        lines += [[chapter, odd] for chapter in ("usage", "keys", "money", "later")]
    lines += [[[], 1], [{}, 2], {"usage": 1}, ["usage"], 7]
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in lines))
    Ledger(str(path), [tally, keys, money]).close()
    assert {n: day.rows for n, day in tally.days.items()} == {DAY: {tuple(dims): Sums(1)}}
    assert keys.all() == {"a": b"{}"}


@given(st.lists(st.tuples(st.sampled_from(["count", "take", "told", "lost"]), st.integers(0, 4)), max_size=60))
def test_whatever_is_lost_on_the_way_in_the_end_all_is_told_as_it_is(steps: list[tuple[str, int]]) -> None:
    day, store = Day(0, 100), dict[Dims, int]()

    def taken() -> dict[Dims, int]:
        return {dims: sums.requests for dims, sums in day.take(2).items()}

    for step, n in [*steps, *[("told", 0)] * 3]:
        if step == "count":
            day.sums((str(n), "", "", "", "", "", "")).requests += 1
        elif step == "lost":
            taken()
        else:
            store.update(taken())
        if step == "told":
            day.told()
    assert store == {dims: sums.requests for dims, sums in day.rows.items()}
    assert day.settled


async def test_without_redis_the_ledger_keeps_what_was_used_and_a_line_for_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    state = Memory()
    state.ledger = Ledger(str(path), [state.tally])
    for n, now in enumerate((0.0, 0.1, 1.0, 1.1)):
        state.count(plain(user=f"user-{n}"))
        await state.sync(now)
    assert len(path.read_bytes().splitlines()) == 3
    state.count(plain(user="user-0"))
    state.keep(1.2)
    state.ledger.close()
    assert len(path.read_bytes().splitlines()) == 5
    again = Memory()
    Ledger(str(path), [again.tally]).close()
    assert {n: day.rows for n, day in again.tally.days.items()} == {n: d.rows for n, d in state.tally.days.items()}


def test_adding_sums_leaves_none_of_them_out() -> None:
    one, more = Sums(*range(1, 14)), Sums(*range(100, 1400, 100))
    one.add(more)
    assert astuple(one) == tuple(101 * n for n in range(1, 14))
