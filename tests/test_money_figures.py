"""The torture of money in seconds: what holds on any machine. Read next: bench/money/layer.py.

`make money` holds the figures themselves.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from bench.money.books import Books, Truth
from bench.money.layer import Outcome, figures, torture
from bench.money.losses import until_told
from gateway.budgets.account import Row

#: What is no matter of how fast the machine is.
ALWAYS = 8


@pytest.mark.parametrize("on_loss", ["closed", "grace"])
async def test_processes_that_are_killed_spend_no_more_than_there_is(
    tmp_path: Path, on_loss: Literal["closed", "grace"]
) -> None:
    """M1 and M2, a tenth of them."""
    seen = await torture(tmp_path, on_loss, 0, quick=True)
    assert seen.killed
    assert [figure.what for figure in figures("M1", seen, 0)[:ALWAYS] if not figure.kept] == []


def test_a_micro_dollar_more_is_seen() -> None:
    truth = Truth({"a": 5, "b": 5}, {"a": 5, "b": 4}, [], [], [], Counter(), [[0, 0, 1, 1]])
    books = Books({"a": 5, "b": 5}, {"a": 5, "b": 4})
    good = Outcome(9, 1, 9, {"one": Row(3, 9, 9, 0)}, books, truth)
    assert all(figure.kept for figure in figures("M1", good, 0))
    for wrong in (
        Outcome(9, 1, 10, {"one": Row(3, 9, 9, 0)}, books, truth),
        Outcome(9, 1, 9, {"one": Row(3, 9, 8, 1)}, books, truth),
        Outcome(9, 1, 9, {"one": Row(3, 10, 9, 0)}, books, truth),
        Outcome(9, 1, 9, {"one": Row(3, 9, 9, 0)}, Books({"a": 5}, {"a": 5, "b": 4}), truth),
    ):
        with pytest.raises(AssertionError):
            assert all(figure.kept for figure in figures("M1", wrong, 0))


def test_how_long_nobody_knew_is_told_by_the_last_window_in_which_most_did_not() -> None:
    unknown = [(100.0 + n / 10, 100.0 + n / 10) for n in range(30)]
    told = [103.0 + n / 10 for n in range(100)]
    assert until_told(100.0, Truth({}, {}, [], told, unknown, Counter(), [])) == 3.0
