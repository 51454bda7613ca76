"""A verdict on a scenario, with its reasons. Read next: suite.py, which asks and then judges.

The rules are those of Failover Bench, methodology v0.1.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from gateway.testing.wall.scenarios import Scenario
from gateway.testing.wall.seen import Seen

__all__ = ["WORDS", "Verdict", "judge"]

Word = Literal["pass", "partial", "safe", "fail"]

#: From the best to the worst.
WORDS: Final[tuple[Word, ...]] = ("pass", "partial", "safe", "fail")


class Verdict(Struct, frozen=True):
    """How it went in a word, and why not better.

    ``pass``: the ending that the scenario wants, and every check met. ``partial``: that ending, but an advisory check
    is not met. ``safe``: not that ending, but a clear error in time. ``fail``: a hang, a cut answer passed off as a
    whole one, or a required check not met.
    """

    word: Word
    reasons: tuple[str, ...] = ()


def judge(scenario: Scenario, seen: Seen) -> Verdict:
    """The verdict on what a scenario left behind."""
    worst = seen.worst
    if worst.ended == "hang":
        return Verdict("fail", (f"no end: {worst.why}",))
    broken = tuple(reason for check in scenario.required if (reason := check.broken(seen)))
    if worst.ended == "cut":
        return Verdict("fail", (f"passed off as a good answer: {worst.why}", *broken))
    if broken:
        return Verdict("fail", broken)
    if worst.ended == "error" and scenario.wanted == "answer":
        return Verdict("safe", (f"not rescued: {worst.why}",))
    missed = tuple(reason for check in scenario.advisory if (reason := check.broken(seen)))
    if worst.ended == "whole" and scenario.wanted == "error":
        missed = ("the refusal was answered by another model", *missed)
    return Verdict("partial", missed) if missed else Verdict("pass")
