"""A question about usage, as it stands in an address. Read next: summed.py, which answers it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final, Literal, cast

from msgspec import Struct

from gateway.errors import BadRequest
from gateway.usage.sums import DIMENSIONS, day_of, iso

__all__ = ["BY", "LIMIT", "MOST", "PARAMETERS", "Format", "Query", "parse"]

Format = Literal["json", "csv"]

#: What rows may be told apart by.
BY: Final = (*DIMENSIONS, "day")
#: Rows of one answer, unless it says otherwise, and at most.
LIMIT: Final = 1000
MOST: Final = 10_000
#: Days of one question at most.
MOST_DAYS: Final = 400
PARAMETERS: Final[Mapping[str, str]] = {
    "from": "First day, as 2026-11-01 (UTC); by default the first of the month of `to`.",
    "to": "Last day, itself included; by default today.",
    "by": f"What rows are told apart by, of {', '.join(BY)}, with commas between; by default one row for all.",
    **{name: f"Only this {name}; may be given several times. Empty: requests without one." for name in DIMENSIONS},
    "format": "`json` or `csv`; by default as Accept says, else JSON.",
    "limit": f"Rows at most, up to {MOST}; by default {LIMIT}.",
    "offset": "Rows to pass over: `next_offset` of the answer before.",
}


class Query(Struct, frozen=True):
    """``first`` and ``last`` are days since 1970, both included. ``only`` has the values that a dimension may have."""

    first: int
    last: int
    by: tuple[str, ...] = ()
    only: tuple[tuple[str, frozenset[str]], ...] = ()
    format: Format | None = None
    limit: int = LIMIT
    offset: int = 0


def parse(given: Iterable[tuple[str, str]], today: int) -> Query:
    """The question that parameters ask. Raises BadRequest, naming the parameter, when they ask none."""
    params = _gathered(given)
    last = _day(params, "to", today)
    first = _day(params, "from", day_of(iso(last)[:8] + "01"))
    if first > last:
        raise _wrong("from", f"{iso(first)} is after {iso(last)}, the last day that is asked for.")
    if last - first >= MOST_DAYS:
        raise _wrong("from", f"{last - first + 1} days are asked for; {MOST_DAYS} are kept.")
    return Query(
        first,
        last,
        _by(params.get("by", [])),
        tuple((name, frozenset(params[name])) for name in DIMENSIONS if name in params),
        _format(params),
        _number(params, "limit", LIMIT, 1, MOST),
        _number(params, "offset", 0, 0, 10**9),
    )


def _gathered(given: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    params: dict[str, list[str]] = {}
    for name, value in given:
        if name not in PARAMETERS:
            raise _wrong(name[:64], f"{name[:64]!r} is no parameter here{_hint(name, PARAMETERS)}")
        params.setdefault(name, []).append(value)
    for name in ("from", "to", "format", "limit", "offset"):
        if len(params.get(name, ())) > 1:
            raise _wrong(name, f"{name} is given {len(params[name])} times.")
    return params


def _by(given: list[str]) -> tuple[str, ...]:
    names = [name.strip() for one in given for name in one.split(",") if name.strip()]
    for name in names:
        if name not in BY:
            raise _wrong("by", f"Usage is not told apart by {name[:64]!r}{_hint(name, BY)}")
    return tuple(dict.fromkeys(names))


def _day(params: Mapping[str, list[str]], name: str, default: int) -> int:
    if name not in params:
        return default
    try:
        return day_of(params[name][0])
    except ValueError:
        raise _wrong(name, f"{params[name][0][:64]!r} is no date as 2026-11-01.") from None


def _format(params: Mapping[str, list[str]]) -> Format | None:
    if "format" not in params:
        return None
    if params["format"][0] not in ("json", "csv"):
        raise _wrong("format", f"{params['format'][0][:64]!r} is neither json nor csv.")
    return cast(Format, params["format"][0])


def _number(params: Mapping[str, list[str]], name: str, default: int, least: int, most: int) -> int:
    text = params.get(name, [str(default)])[0]
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
        raise _wrong(name, f"{text[:64]!r} is no number from {least} to {most}.")
    return int(text)


def _hint(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, names, 1)
    return f": did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}."


def _wrong(param: str, message: str) -> BadRequest:
    return BadRequest(message, code="invalid_value", param=param)
