"""What one replica adds up of its own exchanges, by UTC day. Read next: ../state/telling.py, which tells a fleet.

Sums are absolute and only grow, so that telling them twice, or again after the store has lost some, changes nothing.
A request counts on the day it came in, at the deployment that served it, or was tried last; each try at its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from gateway.types import Attempt, Exchange
from gateway.usage.sums import DAY_S, NOBODY, OTHER, Dims, Sums

__all__ = ["Day", "Tally", "line"]

#: Outcomes of requests that did not fail. Who leaves before the end (``cancelled``) was not failed either.
FINE: Final = frozenset({"ok", "fallback_ok", "degraded", "cancelled"})
#: A longer name of an end user than this is not told apart, in characters.
LONGEST: Final = 256


class Day:
    """The sums of one day, the ``serial``-th that was begun. ``untold`` are those that grew since they were taken."""

    __slots__ = ("_most", "_telling", "rows", "serial", "untold")

    def __init__(self, serial: int, most: int) -> None:
        self.serial = serial
        self.rows: dict[Dims, Sums] = {}
        self.untold: dict[Dims, Sums] = {}
        self._telling: dict[Dims, Sums] = {}
        self._most = most

    def sums(self, dims: Dims) -> Sums:
        """Those to add to."""
        sums = self.rows.get(dims)
        if sums is None:
            dims = self._bounded(dims)
            sums = self.rows.setdefault(dims, Sums())
        self.untold[dims] = sums
        return sums

    def pages(self, size: int = 500) -> Iterator[list[tuple[Dims, Sums]]]:
        """All of them, in pieces: nobody who adds them up need keep others waiting for long."""
        rows = list(self.rows.items())
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def take(self, most: int) -> Mapping[Dims, Sums]:
        """Up to so many that are to be told: they stay so until ``told``."""
        self.untold = {**self._telling, **self.untold}
        self._telling = dict(islice(self.untold.items(), most))
        for dims in self._telling:
            del self.untold[dims]
        return self._telling

    def told(self) -> None:
        """What was taken last has arrived."""
        self._telling = {}

    def doubt(self) -> None:
        """Whoever was told has forgotten: everything is to be told again."""
        self.untold = dict(self.rows)

    @property
    def settled(self) -> bool:
        """Whether there is nothing to tell."""
        return not self.untold and not self._telling

    def _bounded(self, dims: Dims) -> Dims:
        """Clients make up users and features, so that those are given up first where there are too many."""
        organisation, team, key, user, model, route, feature = dims
        if user and (len(user) > LONGEST or len(self.rows) >= self._most):
            user = OTHER
        if feature and len(self.rows) >= self._most + self._most // 4:
            feature = OTHER
        return (organisation, team, key, user, model, route, feature)


class Tally:
    """Days by their number since 1970. As a chapter of a ledger it survives the process that has it.

    Beyond ``most`` combinations a day end users become ``other``, and a quarter above that features too. Of all days
    those that came last are kept: ``days`` of them, and together ``rows`` combinations.
    """

    name = "usage"

    def __init__(self, *, most: int = 20_000, days: int = 400, rows: int = 200_000) -> None:
        self.days: dict[int, Day] = {}
        self._begun = 0
        self._most = most
        self._kept_days = days
        self._kept_rows = rows

    def __repr__(self) -> str:
        return f"usage of {len(self.days)} days in {sum(len(day.rows) for day in self.days.values())} rows"

    def count(self, exchange: Exchange) -> None:
        """Add one closed exchange."""
        n = int(exchange.at // DAY_S)
        day = self.days.get(n) or self._begin(n)
        attempts = exchange.attempts
        last = exchange.deployment or (attempts[-1].deployment if attempts else NOBODY)
        decision = exchange.decision
        who = (exchange.organisation or NOBODY, exchange.team or NOBODY, exchange.caller, exchange.user or NOBODY)
        what = (decision.route if decision is not None else NOBODY, exchange.tags.get("feature", NOBODY))
        sums = day.sums((*who, last, *what))
        sums.requests += 1
        if exchange.outcome not in FINE:
            sums.failed += 1
        if exchange.baseline is not None and exchange.cost is not None:
            sums.compared += 1
            sums.baseline += exchange.baseline
            sums.saving += exchange.baseline - exchange.cost
        for attempt in attempts:
            at = attempt.deployment
            _add(attempt, sums if at == last else day.sums((*who, at, *what)))

    def let_go(self) -> None:
        """Let go of the oldest days beyond what is kept."""
        while len(self.days) > self._kept_days or self._too_many_rows():
            del self.days[min(self.days)]

    def read(self, value: Any) -> None:
        """Take one line of the ledger: a day, and what of it were the sums when it was written.

        What another version wrote and this one cannot read it passes over.
        """
        try:
            n, dims, sums = msgspec.convert(value, tuple[int, Dims, Sums])
        except msgspec.ValidationError:
            return
        day = self.days.get(n) or self._begin(n)
        day.rows[dims] = sums

    def whole(self) -> Iterator[Any]:
        """All lines that are needed."""
        for n, day in self.days.items():
            for dims, sums in day.rows.items():
                yield line(n, dims, sums)

    def _begin(self, n: int) -> Day:
        self.days[n] = day = Day(self._begun, self._most)
        self._begun += 1
        self.let_go()
        return day

    def _too_many_rows(self) -> bool:
        return len(self.days) > 1 and sum(len(day.rows) for day in self.days.values()) > self._kept_rows


def line(day: int, dims: Dims, sums: Sums) -> tuple[int, Dims, tuple[int, ...]]:
    """As the ledger keeps it."""
    return day, dims, msgspec.structs.astuple(sums)


def _add(attempt: Attempt, sums: Sums) -> None:
    sums.attempts += 1
    usage = attempt.usage
    if usage is None:
        return
    sums.input += usage.input
    sums.output += usage.output
    sums.cached_input += usage.cached_input
    sums.cache_write += usage.cache_write
    sums.reasoning += usage.reasoning
    if attempt.cost is None:
        sums.unpriced += 1
    else:
        sums.cost += attempt.cost
