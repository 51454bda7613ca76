"""The reliability behaviours in seconds: what holds on any machine, with margins. Read next: bench/figures/figure.py.

`make figures` holds the figures themselves.
"""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path

import pytest

from bench.figures.amplification import ask_in_vain
from bench.figures.failover import WAYS, added
from bench.figures.figure import Figure, quantile
from bench.figures.ground import Drawn
from bench.figures.keys import rotate
from bench.figures.outage import HEALTHY, fare
from bench.figures.overload import before_slow, crowd, is_told
from bench.figures.patience import SILENCES, late
from bench.figures.table import lines, written
from bench.figures.truncation import tear
from gateway.testing.script import Script

#: What a machine with other things to do may add, in seconds.
SLACK_S = 1.0


async def test_no_torn_answer_is_taken_for_a_whole_one(tmp_path: Path) -> None:
    """R3, a twentieth of it."""
    torn = await tear(tmp_path, 500, 48)
    assert torn.wrong == []
    assert min(torn.ended["whole"], torn.ended["error"]) > 100


@pytest.mark.parametrize("way", WAYS)
async def test_a_failing_primary_adds_little_to_an_answer(tmp_path: Path, way: str) -> None:
    """R4, a sixteenth of it."""
    script, clients, limit_s = WAYS[way]
    times = await added(tmp_path, script, 64, clients)
    assert len(times) == 64
    assert quantile(times, 0.5) < limit_s + SLACK_S


async def test_a_fleet_leaves_a_primary_that_is_down_alone_and_loses_nothing(tmp_path: Path) -> None:
    """R5, thirty times as quick: three tries each, then a probe a second; and one more of each for a slow machine."""
    down = Drawn(lambda model: Script(fault="overloaded"))
    fared = await fare(tmp_path, down, 20.0, 4.0, {"open": "1s", "window": "1s"}, 2)
    assert (fared.ended["whole"], fared.standby) == (fared.asked, fared.asked)
    assert 6 <= fared.primary <= 2 * (6 + 4)


async def test_a_primary_that_fails_now_and_then_is_still_used_and_nobody_notices(tmp_path: Path) -> None:
    """R8, a tenth of it."""
    dice, calls = random.Random(7), count()
    failing = Script(fault="server_error")
    primary = Drawn(lambda model: HEALTHY if next(calls) < 60 or dice.random() >= 0.3 else failing)
    fared = await fare(tmp_path, primary, 60.0, 4.0, {}, 1)
    assert fared.ended["whole"] == fared.asked
    assert fared.standby < fared.asked / 2


async def test_an_sdk_does_not_try_again_while_all_are_down(tmp_path: Path) -> None:
    """R9, a thirtieth of it."""
    asked = await ask_in_vain(tmp_path, 20.0, 2.0, max_retries=2)
    assert asked.requests == asked.calls > 20
    assert asked.tries < asked.calls


async def test_whoever_says_nothing_is_given_up_at_its_limit(tmp_path: Path) -> None:
    """R12, a twenty-fifth of it."""
    times = await late(tmp_path, 4)
    assert set(times) == {(name, stream) for name in SILENCES for stream in (True, False)}
    assert all(-0.05 < one < SLACK_S for each in times.values() for one in each)


async def test_a_refused_key_is_used_once_by_each_replica_at_most(tmp_path: Path) -> None:
    """R16, a tenth of it: too quick for the second replica to have heard of it in every case."""
    errors, uses = await rotate(tmp_path, 20)
    assert errors == 0
    assert 1 <= uses["sk-dead"] <= 2
    assert 1 <= uses["sk-spent"] <= 2
    assert uses["sk-good"] == 40


async def test_a_crowd_is_served_as_well_as_few_and_the_urgent_first(tmp_path: Path) -> None:
    """R22, a quarter of it: twenty are served at once in 200 ms, fifty of either kind ask."""
    async with before_slow(tmp_path) as asking:
        seen = await crowd(asking, {"interactive": 50, "batch": 50}, 1.5)
    assert seen.served() >= 50
    assert seen.served("interactive") > 4 * seen.served("batch")
    assert all(is_told(one) for one in seen.turned_away())


def test_the_table_takes_the_place_of_older_figures_and_keeps_the_others() -> None:
    old = "| R4 | four | 2 | ≤ 1 | FAIL |\n| R12 | x | 1 | ≤ 1 | pass |"
    page = f"before\n<!-- figures: begin -->\n{old}\n<!-- figures: end -->\n"
    new = [Figure("R4", "four", "1", "≤ 1", True), Figure("R3", "three", "0", "0", True)]
    rows = [line for line in written(page, new, "today").splitlines() if line.startswith("| R")]
    assert rows == ["| R3 | three | 0 | 0 | pass |", "| R4 | four | 1 | ≤ 1 | pass |", "| R12 | x | 1 | ≤ 1 | pass |"]
    assert list(lines(new))[-1] == "2 of 2 pass"
