"""Leaky buckets, as one replica sees them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.state.buckets import Buckets, Turn


def drawn(buckets: Buckets, amount: float) -> None:
    buckets.draw("rpm", amount, 1.0, 60.0)


def test_a_bucket_drains_from_the_turn_after_it_was_drawn_on_and_never_below_empty() -> None:
    buckets = Buckets()
    buckets.take(100.0)
    drawn(buckets, 10)
    assert buckets.level("rpm", 100.0) == 10
    buckets.take(101.0)
    assert (buckets.level("rpm", 101.0), buckets.level("rpm", 105.0), buckets.level("rpm", 200.0)) == (10, 6, 0)


def test_the_level_is_what_the_fleet_says_and_what_was_drawn_since_it_was_asked() -> None:
    buckets = Buckets()
    drawn(buckets, 10)
    turn = buckets.take(1.0)
    drawn(buckets, 5)
    buckets.refresh(turn, [(100.0, 1.0)])
    assert turn == Turn(1, (("rpm", 10, 1.0, 60.0),))
    assert buckets.level("rpm", 11.0) == 95
    assert buckets.take(2.0) == Turn(2, (("rpm", 5, 1.0, 60.0),))


def test_a_turn_in_doubt_keeps_its_number_and_what_is_drawn_meanwhile_waits() -> None:
    buckets = Buckets()
    drawn(buckets, 10)
    first = buckets.take(1.0)
    drawn(buckets, 5)
    again = buckets.take(1.0)
    assert first == again == Turn(1, (("rpm", 10, 1.0, 60.0),))
    buckets.refresh(again, [(10.0, 1.0)])
    assert buckets.level("rpm", 1.0) == 15
    assert buckets.take(1.0) == Turn(2, (("rpm", 5, 1.0, 60.0),))


def test_of_very_many_buckets_each_is_told_in_its_turn_once_and_then_looked_at_in_its_turn() -> None:
    buckets, names = Buckets(), [f"user-{n}" for n in range(1_200)]
    for name in names:
        buckets.draw(name, 1.0, 0.001, 60.0)
    told: list[str] = []
    for number in (1, 2, 3):
        turn = buckets.take(1.0)
        again = buckets.take(1.0)
        assert {row for row in turn.rows if row[1]} <= set(again.rows)
        assert (turn.number, again.number, len(turn.rows), len(again.rows)) == (number, number, 500, 500)
        told += [name for name, amount, *_ in again.rows if amount]
        buckets.refresh(again, [(amount, 0.001) for _, amount, *_ in again.rows])
    assert sorted(told) == sorted(names)
    seen = [name for _ in range(3) for name, *_ in buckets.take(2.0).rows]
    assert set(seen) == set(names)


def test_what_has_waited_is_told_as_far_as_it_has_not_drained() -> None:
    buckets = Buckets()
    drawn(buckets, 10)
    buckets.take(0.0)
    for second in range(1, 60):
        drawn(buckets, 1)
        buckets.take(float(second))
    turn = buckets.take(60.0)
    assert turn.number == 1
    buckets.refresh(turn, [(0.0, 1.0)])
    ((_, owed, _, _),) = buckets.take(60.0).rows
    told = turn.rows[0][1]
    assert told + owed == pytest.approx(10.0, abs=1.0)


def test_what_is_given_back_is_at_most_what_is_there() -> None:
    buckets = Buckets()
    drawn(buckets, 10)
    drawn(buckets, -30)
    assert buckets.level("rpm", 0.0) == 0
    drawn(buckets, 4)
    assert buckets.level("rpm", 0.0) == 4
    assert buckets.take(0.0) == Turn(1, (("rpm", 4, 1.0, 60.0),))


def test_a_bucket_is_asked_about_while_somebody_looks_at_it() -> None:
    buckets = Buckets()
    buckets.take(100.0)
    assert buckets.level("tpm", 100.0) == 0
    assert buckets.take(101.0) == Turn(0, (("tpm", 0, 1.0, 0.0),))
    buckets.refresh(Turn(0, (("tpm", 0, 1.0, 0.0),)), [(50.0, 2.0)])
    assert buckets.level("tpm", 101.0) == 50
    assert buckets.take(120.0) == Turn(0, ())
    assert buckets.level("tpm", 121.0) == 10
    assert buckets.take(300.0) == Turn(0, ())
    assert len(buckets) == 0


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 3), st.booleans()), max_size=40))
def test_alone_or_told_at_every_turn_a_bucket_is_never_negative_and_never_above_what_was_drawn(
    steps: list[tuple[float, float, bool]],
) -> None:
    buckets, now, drawn_in_all = Buckets(), 0.0, 0.0
    for amount, passed, arrives in steps:
        drawn(buckets, amount)
        drawn_in_all += max(amount, 0.0)
        now += passed
        turn = buckets.take(now)
        if arrives:
            buckets.settle()
        assert all(abs(told) <= drawn_in_all + 1e-6 for _, told, _, _ in turn.rows)
        assert -1e-9 <= buckets.level("rpm", now) <= drawn_in_all + 1e-6
