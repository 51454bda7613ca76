"""What is added up, and by what it can be told apart. Read next: tally.py, which adds up."""

from __future__ import annotations

from datetime import date
from typing import Final

from msgspec import Struct

__all__ = ["DAY_S", "DIMENSIONS", "NOBODY", "OTHER", "Dims", "Page", "Sums", "day_of", "iso"]

DAY_S: Final = 86_400
#: What usage is told apart by, beside the day, in the order of Dims. ``model`` is the name of a deployment.
DIMENSIONS: Final = ("organisation", "team", "key", "user", "model", "route", "feature")
#: One value for each of DIMENSIONS; ``NOBODY`` where a request has none.
Dims = tuple[str, str, str, str, str, str, str]
NOBODY: Final = ""
#: The end user, or the feature, of all beyond the most that are told apart.
OTHER: Final = "other"

_EPOCH: Final = date(1970, 1, 1).toordinal()


class Sums(Struct, array_like=True, gc=False):
    """Counts of requests and tries, tokens, and micro-dollars. As JSON an array: new members come last.

    ``failed`` requests ended with an error. ``unpriced`` tries were charged at a price that is not known. Of
    ``compared`` requests both the cost and what the reference would have cost are known: ``baseline`` is the latter,
    and ``saving`` what lies between.
    """

    requests: int = 0
    failed: int = 0
    attempts: int = 0
    input: int = 0
    output: int = 0
    cached_input: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost: int = 0
    unpriced: int = 0
    compared: int = 0
    baseline: int = 0
    saving: int = 0

    def add(self, more: Sums) -> None:
        """Take these in as well."""
        self.requests += more.requests
        self.failed += more.failed
        self.attempts += more.attempts
        self.input += more.input
        self.output += more.output
        self.cached_input += more.cached_input
        self.cache_write += more.cache_write
        self.reasoning += more.reasoning
        self.cost += more.cost
        self.unpriced += more.unpriced
        self.compared += more.compared
        self.baseline += more.baseline
        self.saving += more.saving


#: What one read brings: a day, and sums by what they are of; the same day and dims may come several times.
Page = tuple[int, list[tuple[Dims, Sums]]]


def day_of(text: str) -> int:
    """The days since 1970 of a date as 2026-11-28. Raises ValueError."""
    return date.fromisoformat(text).toordinal() - _EPOCH


def iso(day: int) -> str:
    """That date."""
    return date.fromordinal(day + _EPOCH).isoformat()
