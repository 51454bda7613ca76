"""``signalbox budgets``: how the budgets of a gateway which runs stand, as a table.

Read next: ../spending.py, which reckons them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.commands.admin import Admin, add_address, admin_of, aligned
from gateway.errors import ConfigError, GatewayError
from gateway.types import World

__all__ = ["add_arguments", "run", "table_of_budgets"]

OK, FAILED = 0, 1
#: What the table shows, and its headings.
SHOWN: Final = {
    "limit_usd": "limit USD",
    "spent_usd": "spent",
    "leased_usd": "leased",
    "unaccounted_usd": "unaccounted",
    "left_usd": "left",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which gateway is asked."""
    add_address(parser)


def run(arguments: argparse.Namespace, load: Callable[[str], World]) -> int:
    """Print them; the exit status. ``load`` reads a configuration, where no address is given."""
    try:
        print("\n".join(table_of_budgets(admin_of(arguments, load))))
    except (ConfigError, GatewayError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    return OK


def table_of_budgets(admin: Admin) -> list[str]:
    """All budgets as lines of a table, and what they will have come to at the end of their periods."""
    rows = admin.get("/admin/budgets").json()["budgets"]
    heads = ["scope", "period", *SHOWN.values(), "used", "at its end", "runs out"]
    return aligned([heads, *map(_cells, rows)], 2)


def _cells(row: Mapping[str, Any]) -> list[str]:
    forecast = row["forecast"]
    used = f"{row['used']:.1%}" if row["used"] is not None else None
    figures = [*(row[name] for name in SHOWN), used, forecast["at_end_usd"], forecast["runs_out_at"]]
    return [row["scope"], row["period"], *["–" if figure is None else str(figure) for figure in figures]]
