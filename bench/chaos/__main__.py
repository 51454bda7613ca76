"""``make chaos``: what happens to a fleet when everything around it goes wrong. Read next: outages.py.

``python -m bench.chaos [--only c3,c7] [--seconds-scale X] [--json FILE] [--write]``. The last line says how many
scenarios pass; the exit status is 1 when not all do.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from bench.chaos.figures import Figure, Finding, lines, markdown
from bench.chaos.leaving import leaving
from bench.chaos.outages import all_down, brown_out, one_down
from bench.chaos.random_faults import random_faults
from bench.chaos.redis_trouble import redis_in_trouble
from bench.chaos.reloads import reloads

Scenario = Callable[[Path, float], Awaitable[Finding]]

#: By the id that the list of scenarios has: what happens, and who makes it happen.
SCENARIOS: Final[Mapping[str, tuple[str, Scenario]]] = {
    "c2": ("four providers fail at random in every way there is, a fifth of the clients leave", random_faults),
    "c3": ("one of two providers is down for a minute, and comes back", one_down),
    "c4": ("one of three providers browns out: 30 % errors, first tokens five times as late", brown_out),
    "c6": ("all three providers are down", all_down),
    "c7": ("Redis is killed, emptied, frozen, full, read-only", redis_in_trouble),
    "c10": ("the configuration changes every second, every third file is poisoned", reloads),
    "c13": ("two thousand clients leave, two hundred a second", leaving),
}
PAGE: Final = Path(__file__).parents[2] / "docs" / "chaos.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

Results = Sequence[tuple[str, str, Finding]]


def main(arguments: Sequence[str]) -> int:
    """Run, print, keep. The exit status."""
    given = options(arguments)
    results, began = [], time.monotonic()
    for id in given.only:
        what, scenario = SCENARIOS[id]
        results.append((id, what, run(scenario, given.seconds_scale)))
        print("\n".join(lines(*results[-1])), flush=True)
    last = f"{sum(finding.passed for *_, finding in results)} of {len(results)} pass"
    if given.json:
        kept = [{"id": id, "what": what, **msgspec.to_builtins(finding)} for id, what, finding in results]
        Path(given.json).write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
    if given.write:
        write(results, last, time.monotonic() - began, given.seconds_scale)
    print(last)
    return 0 if all(finding.passed for *_, finding in results) else 1


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description="Chaos against a real fleet.")
    parser.add_argument("--only", type=known, default=[*SCENARIOS], metavar="IDS", help="as c3,c7")
    parser.add_argument("--seconds-scale", type=float, default=1.0, metavar="X", help="makes all of it X times as long")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--write", action="store_true", help=f"put the results into docs/{PAGE.name}")
    return parser.parse_args(arguments)


def known(text: str) -> list[str]:
    """Scenarios by their ids. Raises ArgumentTypeError for one that there is not."""
    ids = text.lower().split(",")
    if unknown := [id for id in ids if id not in SCENARIOS]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}")
    return ids


def run(scenario: Scenario, scale: float) -> Finding:
    """One scenario. What breaks the bench itself fails it, and the others go on."""
    with tempfile.TemporaryDirectory(prefix="signalbox-chaos-") as folder:
        try:
            return uvloop.run(asserted(scenario, Path(folder), scale))
        except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
            return Finding((Figure("the scenario itself", type(error).__name__, "ends well", False),), (str(error),))


async def asserted(scenario: Scenario, directory: Path, scale: float) -> Finding:
    return await scenario(directory, scale)


def write(results: Results, last: str, took_s: float, scale: float) -> None:
    """Put the results between the markers of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    scaled = "" if scale == 1 else f", all durations times {scale:g}"
    where = f"two shared cores, Python {platform.python_version()}, {took_s / 60:.0f} minutes{scaled}"
    said = "\n".join(["", f"On {date.today()}, {where}: {last}.", "", *markdown(results), ""])
    PAGE.write_text(f"{before}{BEGIN}{said}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
