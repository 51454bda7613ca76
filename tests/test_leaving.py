"""Clients that leave, two hundred of them: each has its record, nothing else stays. Read next: bench/aborts.py."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.aborts import PHASES, storm

ABORTS = 200
#: The aim is 0.1 s for 99 of 100, which `make aborts` holds; this is for machines with other things to do.
LIMIT_S = 1.0


async def test_two_hundred_clients_that_leave_leave_nothing_behind(tmp_path: Path) -> None:
    """R13, a tenth of it."""
    figures = await storm(tmp_path, ABORTS, rate=200.0)
    assert {phase: len(times) for phase, times in figures.closed_s.items()} == dict.fromkeys(PHASES[1:], ABORTS // 4)
    assert max(time for times in figures.closed_s.values() for time in times) < LIMIT_S
    assert (figures.outcomes, figures.ids) == (Counter(cancelled=ABORTS), ABORTS)
    assert (figures.left_open, figures.inflight, figures.trouble) == (0, 0, "")
    assert figures.more_files <= 0
