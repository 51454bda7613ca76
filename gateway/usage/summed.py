"""The answer to a question about usage: rows of sums, and what they come to. Read next: written.py, as JSON and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from gateway.errors import BadRequest
from gateway.usage.query import Query
from gateway.usage.sums import DIMENSIONS, OTHER, Dims, Sums, iso

__all__ = ["Answer", "Summing"]

#: Rows that one question may come to, before its answer is cut into pages.
MOST_ROWS: Final = 250_000

Group = tuple[str, ...]


class Answer(Struct, frozen=True):
    """One page of rows, each with what it is of in the order of ``query.by``, and the totals of all pages.

    ``found`` is how many rows there are in all. ``others`` counts requests whose end user, or feature, was one too
    many to be told apart.
    """

    query: Query
    rows: tuple[tuple[Group, Sums], ...]
    totals: Sums
    found: int
    others: int

    @property
    def next_offset(self) -> int | None:
        """Where the next page begins, if there is one."""
        end = self.query.offset + len(self.rows)
        return end if end < self.found and self.rows else None


class Summing:
    """Takes what was used piece by piece, and adds up what is asked for."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._groups: dict[Group, Sums] = {}
        self._others = 0
        self._only = [(DIMENSIONS.index(name), values) for name, values in query.only]
        # The place of the day is behind those of the dimensions.
        self._by = [DIMENSIONS.index(name) if name in DIMENSIONS else len(DIMENSIONS) for name in query.by]

    def feed(self, day: int, rows: Iterable[tuple[Dims, Sums]]) -> None:
        """Take some rows of a day. Raises BadRequest when the answer comes to too many rows."""
        date = iso(day)
        for dims, sums in rows:
            if any(dims[place] not in values for place, values in self._only):
                continue
            places = (*dims, date)
            group = tuple([places[place] for place in self._by])
            if (known := self._groups.get(group)) is None:
                self._groups[group] = known = Sums()
            known.add(sums)
            if dims[3] == OTHER or dims[6] == OTHER:
                self._others += sums.requests
        if len(self._groups) > MOST_ROWS:
            raise BadRequest(
                f"The answer has more than {MOST_ROWS} rows: ask for fewer days, or filter.",
                code="too_many_rows",
                param="by",
            )

    def answer(self) -> Answer:
        """The page that is asked for; rows in the order of their names, which stays the same from page to page."""
        query, totals = self._query, Sums()
        for sums in self._groups.values():
            totals.add(sums)
        order = sorted(self._groups)
        page = order[query.offset : query.offset + query.limit]
        rows = tuple((group, self._groups[group]) for group in page)
        return Answer(query, rows, totals, len(order), self._others)
