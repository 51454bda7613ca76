"""``python -m bench.figures [--only r3,r5] [--write]``: the reliability behaviours, measured. Read next: figure.py.

Those that mostly wait are measured at the same time, the others one after the other. What is not kept is measured once
more, since machines have other things to do; the table then says so. The exit status is 1 when anything is not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bench.figures.amplification import amplification
from bench.figures.failover import failover
from bench.figures.figure import Figure
from bench.figures.hedging import hedging
from bench.figures.keys import keys
from bench.figures.outage import long_outage, outage, partial
from bench.figures.overflow import overflow
from bench.figures.overload import overload
from bench.figures.patience import patience
from bench.figures.table import lines, written
from bench.figures.truncation import truncation

PAGE = Path(__file__).parents[2] / "docs" / "reliability-figures.md"


class Behaviour(Struct, frozen=True):
    """How one is measured. ``quiet``: it mostly waits; ``asked``: only when it is named."""

    measure: Callable[[Path], Awaitable[list[Figure]]]
    quiet: bool = False
    asked: bool = False


BEHAVIOURS: Mapping[str, Behaviour] = {
    "r3": Behaviour(truncation),
    "r4": Behaviour(failover),
    "r5": Behaviour(outage, quiet=True),
    "r5-full": Behaviour(long_outage, quiet=True, asked=True),
    "r8": Behaviour(partial, quiet=True),
    "r9": Behaviour(amplification, quiet=True),
    "r12": Behaviour(patience),
    "r15": Behaviour(overflow, quiet=True),
    "r16": Behaviour(keys, quiet=True),
    "r22": Behaviour(overload),
    "r25": Behaviour(hedging),
}


def main() -> int:
    """Measure, print, and write if that is asked. The exit status."""
    usual = [name for name, behaviour in BEHAVIOURS.items() if not behaviour.asked]
    parser = argparse.ArgumentParser(
        prog="python -m bench.figures", description="The reliability behaviours, measured."
    )
    parser.add_argument("--only", default=",".join(usual), help=f"some of {', '.join(BEHAVIOURS)}")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    asked = parser.parse_args()
    names = asked.only.lower().split(",")
    if unknown := set(names) - set(BEHAVIOURS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BEHAVIOURS)}")
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="signalbox-figures-") as folder:
        figures = asyncio.run(measure(names, Path(folder)))
    print("\n".join(lines(figures)))
    print(f"({time.monotonic() - began_at:.0f} s)", file=sys.stderr)
    if asked.write:
        PAGE.write_text(written(PAGE.read_text(), figures, about()))
    return 0 if all(figure.kept for figure in figures) else 1


async def measure(names: Sequence[str], folder: Path) -> list[Figure]:
    """All figures of these behaviours, in their order."""
    # What is measured are milliseconds: the collector need not look at the modules in the middle of that.
    gc.freeze()
    quiet = [name for name in names if BEHAVIOURS[name].quiet]
    found = dict(zip(quiet, await asyncio.gather(*[one(name, folder) for name in quiet]), strict=True))
    for name in names:
        if name not in found:
            found[name] = await one(name, folder)
    return [figure for name in names for figure in found[name]]


async def one(name: str, folder: Path) -> list[Figure]:
    """The figures of one behaviour; where one is not kept, those of a second measurement."""
    measured = await BEHAVIOURS[name].measure(folder / name)
    if all(figure.kept for figure in measured):
        return measured
    print(f"{name} once more: {'; '.join(f'{f.what}: {f.seen}' for f in measured if not f.kept)}", file=sys.stderr)
    again = await BEHAVIOURS[name].measure(folder / f"{name}-again")
    return [replace(figure, seen=f"{figure.seen} (second time)") for figure in again]


def about() -> str:
    """When and where."""
    day, python = time.strftime("%Y-%m-%d"), platform.python_version()
    return f"{day}, Python {python}, {os.cpu_count()} cores shared with other work, all of it on one machine."


if __name__ == "__main__":
    sys.exit(main())
