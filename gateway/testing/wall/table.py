"""The results of a suite, as a table for people and as JSON. Read next: suite.py, where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from msgspec import to_builtins

from gateway.testing.wall.judge import WORDS
from gateway.testing.wall.scenarios import SCENARIOS
from gateway.testing.wall.suite import Result

__all__ = ["as_json", "lines", "passed"]


def lines(results: Sequence[Result]) -> Iterator[str]:
    """A line for each scenario, with the worst of its rounds, and one that counts."""
    yield f"{'':4} {'what goes wrong':38} {'verdict':9} {'tries':>5} {'seconds':>7}  why not better"
    for rounds in by_scenario(results):
        yield line(rounds)
    yield ", ".join(count(results, letter) for letter in "sx" if any(r.id.startswith(letter) for r in results))


def line(rounds: Sequence[Result]) -> str:
    shown = worst(rounds)
    alike = sum(one.verdict.word == shown.verdict.word for one in rounds)
    word = shown.verdict.word + (f" {alike}/{len(rounds)}" if len(rounds) > 1 else "")
    tries = f"{len(shown.seen.primary)}+{len(shown.seen.fallback)}"
    why = "; ".join(shown.verdict.reasons)
    seconds = f"{shown.seen.total_s:7.1f}"
    return f"{shown.id:4} {SCENARIOS[shown.id].what:38} {word:9} {tries:>5} {seconds}  {why}".rstrip()


def count(results: Sequence[Result], letter: str) -> str:
    """How many scenarios of one catalogue pass in every round."""
    words = [worst(rounds).verdict.word for rounds in by_scenario(results) if rounds[0].id.startswith(letter)]
    return f"{words.count('pass')} of {len(words)} pass"


def passed(results: Sequence[Result]) -> bool:
    """Whether all is well."""
    return all(result.verdict.word == "pass" for result in results)


def worst(rounds: Sequence[Result]) -> Result:
    return max(rounds, key=lambda result: WORDS.index(result.verdict.word))


def by_scenario(results: Iterable[Result]) -> Iterator[list[Result]]:
    ordered = sorted(results, key=lambda result: (result.id, result.round))
    return (list(rounds) for _, rounds in groupby(ordered, key=lambda result: result.id))


def as_json(results: Sequence[Result], about: Mapping[str, Any]) -> dict[str, Any]:
    """All that was seen; times of tries are seconds since their scenario began."""
    return {**about, "results": [one(result) for result in results]}


def one(result: Result) -> dict[str, Any]:
    seen = result.seen
    began_at = seen.heard[0].asked_at
    tries = {
        name: [{**to_builtins(each), "at": round(each.at - began_at, 3)} for each in came]
        for name, came in (("primary", seen.primary), ("fallback", seen.fallback))
    }
    heard = [{**to_builtins(each), "asked_at": round(each.asked_at - began_at, 3)} for each in seen.heard]
    return {
        "id": result.id,
        "round": result.round,
        "verdict": result.verdict.word,
        "reasons": result.verdict.reasons,
        "seconds": round(seen.total_s, 3),
        "heard": heard,
        **tries,
        "strayed": seen.strayed,
        "down": seen.down,
    }
