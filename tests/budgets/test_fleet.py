"""The store of a gateway that runs alone. Read next: test_script.py, which holds Redis to it."""

from __future__ import annotations

from gateway.budgets.account import Row
from gateway.budgets.fleet import Ask, Fleet, Turn


def turn(account: str, keep_s: int, settled: int) -> Turn:
    return Turn("r", (Ask(account, 100, keep_s, Row(1, settled, settled), settled, settled),))


def test_an_account_is_forgotten_when_its_time_is_over_and_no_sooner() -> None:
    fleet = Fleet()
    fleet.turn(turn("day", 50, 5))
    fleet.turn(turn("month", 500, 7))
    fleet.forget(1_000_000.0)
    fleet.turn(turn("day", 30, 6))
    fleet.forget(1_000_049.0)
    fleet.forget(1_000_078.0)
    assert fleet.rows("day") == {"r": Row(1, 6, 6)}
    fleet.forget(1_000_100.0)
    assert (fleet.rows("day"), fleet.rows("month")) == ({}, {"r": Row(1, 7, 7)})
