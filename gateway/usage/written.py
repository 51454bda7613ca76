"""Usage as JSON and as CSV: the same columns in both. Read next: ../api/spending.py, which sends them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from gateway.money import usd
from gateway.usage.query import Query
from gateway.usage.summed import Answer
from gateway.usage.sums import NOBODY, Sums, iso

__all__ = ["COLUMNS", "as_csv", "as_json", "cell", "columns", "dollars"]

#: A spreadsheet takes what begins so for a formula; some pass over blanks and what is not seen, or take wide letters.
_FORMULA: Final = re.compile(r"[\s\x00-\x20\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_QUOTED: Final = re.compile(r'[",\r\n]')


def dollars(micros: int) -> str:
    """Micro-dollars as dollars in plain decimals, with their sign."""
    return usd(micros) if micros >= 0 else f"-{usd(-micros)}"


def columns(sums: Sums) -> dict[str, int | str | None]:
    """The figures of one row. What nothing is known of is None, never 0."""
    known = sums.compared > 0
    return {
        "requests": sums.requests,
        "failed": sums.failed,
        "attempts": sums.attempts,
        "input_tokens": sums.input,
        "output_tokens": sums.output,
        "cached_input_tokens": sums.cached_input,
        "cache_write_tokens": sums.cache_write,
        "reasoning_tokens": sums.reasoning,
        "cost_micros": sums.cost,
        "cost_usd": dollars(sums.cost),
        "unpriced_attempts": sums.unpriced,
        "compared_requests": sums.compared,
        "baseline_micros": sums.baseline if known else None,
        "baseline_usd": dollars(sums.baseline) if known else None,
        "saving_micros": sums.saving if known else None,
        "saving_usd": dollars(sums.saving) if known else None,
    }


COLUMNS: Final = tuple(columns(Sums()))


def as_json(answer: Answer) -> dict[str, Any]:
    """The whole answer. A dimension that requests have no value of is None."""
    query = answer.query
    return {
        **_asked(query),
        "rows": [{**_named(query.by, group), **columns(sums)} for group, sums in answer.rows],
        "totals": columns(answer.totals),
        "found": answer.found,
        "next_offset": answer.next_offset,
        "others": answer.others,
    }


def as_csv(answer: Answer) -> str:
    """The rows, after a line with the names of the columns (RFC 4180). Totals are left to whoever reads it."""
    lines = [",".join((*answer.query.by, *COLUMNS))]
    for group, sums in answer.rows:
        figures = ("" if figure is None else str(figure) for figure in columns(sums).values())
        lines.append(",".join((*map(cell, group), *figures)))
    return "\r\n".join((*lines, ""))


def cell(text: str) -> str:
    """A name as a cell that no spreadsheet computes: what looks like a formula gets a quote in front."""
    if _FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _asked(query: Query) -> dict[str, Any]:
    return {
        "from": iso(query.first),
        "to": iso(query.last),
        "by": list(query.by),
        "only": {name: sorted(values) for name, values in query.only},
    }


def _named(by: Sequence[str], group: Sequence[str]) -> dict[str, str | None]:
    return {name: value if value != NOBODY else None for name, value in zip(by, group, strict=True)}
