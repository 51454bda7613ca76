"""``signalbox usage``: what a gateway which runs says was used, as a table or as CSV.

Read next: ../usage/query.py, what may be asked; ../api/spending.py, which answers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from gateway.commands.admin import Admin, add_address, admin_of, aligned
from gateway.errors import ConfigError, GatewayError
from gateway.types import World
from gateway.usage.query import BY
from gateway.usage.sums import DIMENSIONS

__all__ = ["add_arguments", "csv_of_usage", "run", "table_of_usage"]

OK, FAILED = 0, 1
#: What a table shows beside what rows are told apart by: the column, and its heading.
SHOWN: Final = {
    "requests": "requests",
    "failed": "failed",
    "input_tokens": "tokens in",
    "output_tokens": "out",
    "cost_usd": "cost USD",
    "saving_usd": "saved USD",
}
#: Rows that are asked for at a time.
PAGE: Final = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what may be asked for."""
    parser.add_argument("--by", default="team,model", metavar="NAME,…", help=f"of {', '.join(BY)}; default: team,model")
    parser.add_argument("--from", dest="first", metavar="DAY", help="as 2026-11-01; default: the first of the month")
    parser.add_argument("--to", dest="last", metavar="DAY", help="itself included; default: today")
    for name in DIMENSIONS:
        parser.add_argument(f"--{name}", action="append", default=[], metavar="NAME", help=f"only this {name}")
    parser.add_argument("--csv", action="store_true", help="comma-separated values, with all columns")
    add_address(parser)


def run(arguments: argparse.Namespace, load: Callable[[str], World]) -> int:
    """Print what was asked for; the exit status. ``load`` reads a configuration, where no address is given."""
    given = [("by", arguments.by), ("from", arguments.first), ("to", arguments.last)]
    given += [(name, value) for name in DIMENSIONS for value in getattr(arguments, name)]
    asked = [(name, value) for name, value in given if value is not None]
    try:
        admin = admin_of(arguments, load)
        if arguments.csv:
            for text in csv_of_usage(admin, asked):
                sys.stdout.write(text)
        else:
            print("\n".join(table_of_usage(admin, asked)))
    except (ConfigError, GatewayError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    return OK


def csv_of_usage(admin: Admin, asked: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The answer as CSV, page after page, with one line of headings."""
    path = f"/admin/usage?{urlencode([*asked, ('format', 'csv'), ('limit', str(PAGE))])}"
    first = True
    while path:
        answer = admin.get(path)
        yield answer.text if first else answer.text.partition("\r\n")[2]
        first = False
        path = answer.links.get("next", {}).get("url", "")


def table_of_usage(admin: Admin, asked: Sequence[tuple[str, str]]) -> list[str]:
    """The answer as lines of a table: by day, then the dearest first."""
    rows: list[Mapping[str, Any]] = []
    offset: int | None = 0
    answer: dict[str, Any] = {}
    while offset is not None:
        page = urlencode([*asked, ("limit", str(PAGE)), ("offset", str(offset))])
        answer = admin.get(f"/admin/usage?{page}").json()
        rows += answer["rows"]
        offset = answer["next_offset"]
    by = answer["by"]
    rows.sort(key=lambda row: (row.get("day", ""), -row["cost_micros"]))
    cells = [[*(row[name] or "–" for name in by), *_figures(row)] for row in rows]
    total = [*("total" if n == 0 else "" for n in range(len(by))), *_figures(answer["totals"])]
    lines = aligned([[*by, *SHOWN.values()], *cells, *([total] if by else [])], len(by))
    if answer["others"]:
        lines.append(f"{answer['others']} requests are those of `other`: too many end users or features in a day.")
    return [f"{answer['from']} to {answer['to']} (UTC)", *lines]


def _figures(row: Mapping[str, Any]) -> list[str]:
    return ["–" if row[name] is None else str(row[name]) for name in SHOWN]
