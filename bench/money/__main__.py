"""``python -m bench.money [--only m1,m3] [--quick] [--write]``: the torture of money. Read next: layer.py.

The exit status is 1 when a figure misses its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Protocol

from bench.figures.__main__ import about
from bench.figures.figure import Figure
from bench.figures.table import lines, written
from bench.money import gateways, layer, losses, running_out, steady

PAGE = Path(__file__).parents[2] / "docs" / "money-figures.md"


class Torture(Protocol):
    """One of them."""

    def __call__(self, directory: Path, *, quick: bool = False) -> Awaitable[list[Figure]]:
        """Measure; ``quick``: with a tenth of everything."""
        ...


TORTURES: Mapping[str, Torture] = {
    "m1": layer.closed,
    "m2": layer.grace,
    "m3": losses.closed,
    "m4": losses.grace,
    "m5": gateways.killed,
    "m6": gateways.killed_while_redis_fails,
    "m7": steady.steady,
    "m8": running_out.running_out,
}


def main() -> int:
    """Measure, print, and write if that is asked. The exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.money", description="The torture of money.")
    parser.add_argument("--only", default=",".join(TORTURES), help=f"some of {', '.join(TORTURES)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    asked = parser.parse_args()
    names = asked.only.lower().split(",")
    if unknown := set(names) - set(TORTURES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(TORTURES)}")
    figures: list[Figure] = []
    for name in names:
        began_at = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="signalbox-money-") as folder:
            measured = asyncio.run(measured_by(TORTURES[name], Path(folder), quick=asked.quick))
        print("\n".join(list(lines(measured))[:-1]), flush=True)
        print(f"({time.monotonic() - began_at:.0f} s)", file=sys.stderr)
        figures += measured
    print(f"{sum(figure.kept for figure in figures)} of {len(figures)} pass")
    if asked.write:
        PAGE.write_text(written(PAGE.read_text(), figures, about()))
    return 0 if all(figure.kept for figure in figures) else 1


async def measured_by(torture: Torture, folder: Path, *, quick: bool) -> list[Figure]:
    return await torture(folder, quick=quick)


if __name__ == "__main__":
    sys.exit(main())
