"""What all the files say after it is over: ledgers, and what processes and providers wrote themselves.

Read next: layer.py, which compares them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

__all__ = ["Books", "Truth", "lines", "read_ledgers", "read_truth"]


class Books(Struct):
    """Reservations by id: what was held, and what those came to that were settled. In micro-dollars."""

    held: dict[str, int]
    settled: dict[str, int]

    @property
    def lost(self) -> dict[str, int]:
        """What was held by a process that was killed before it was settled."""
        return {id: micros for id, micros in self.held.items() if id not in self.settled}

    @property
    def beyond(self) -> int:
        """What was settled beyond its reservation."""
        return sum(max(0, micros - self.held.get(id, 0)) for id, micros in self.settled.items())


class Truth(Struct):
    """What processes wrote themselves: calls that began and ended by id, who was refused and when nobody knew.

    ``told`` is when somebody was told yes or no. ``unknown`` holds from when until when somebody was told neither, as
    Unix times. ``stops`` are the last words of processes that ended well.
    """

    begun: dict[str, int]
    ended: dict[str, int]
    refused: list[float]
    told: list[float]
    unknown: list[tuple[float, float]]
    why: Counter[str]
    stops: list[list[int]]


def lines(path: Path) -> Iterable[Any]:
    """Lines of JSON; half a line, as a crash leaves it, is passed over."""
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def read_ledgers(paths: Sequence[Path]) -> Books:
    """All that was written to ledgers that have not been written anew. What is settled twice counts once."""
    books = Books({}, {})
    for path in paths:
        for chapter, value in lines(path):
            if chapter != "money":
                continue
            match value:
                case ["hold", id, micros, *_]:
                    books.held[id] = micros
                case ["settle", id, micros]:
                    books.settled.setdefault(id, micros)
                case ["row", *_]:
                    raise RuntimeError(f"{path} has been written anew: it is too long")
    return books


def read_truth(paths: Sequence[Path]) -> Truth:
    """What spenders wrote."""
    truth = Truth({}, {}, [], [], [], Counter(), [])
    for path in paths:
        for line in lines(path):
            match line:
                case ["begin", id, bound, at]:
                    truth.begun[id] = bound
                    truth.told.append(at)
                case ["end", id, cost]:
                    truth.ended[id] = cost
                case ["refused", _, _, at]:
                    truth.refused.append(at)
                    truth.told.append(at)
                case ["unknown", began, ended, said]:
                    truth.unknown.append((began, ended))
                    truth.why[said] += 1
                case ["stop", *numbers]:
                    truth.stops.append(numbers)
    return truth


def differences(one: Mapping[str, int], other: Mapping[str, int]) -> int:
    """How many ids have different amounts in both."""
    return sum(one[id] != other[id] for id in one.keys() & other.keys())
