"""Verdicts of several gateways side by side, as a table in docs/faults.md. Read next: peers.py, which asks for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway.testing.wall.judge import WORDS
from gateway.testing.wall.scenarios import SCENARIOS

__all__ = ["Column", "between_the_markers", "table"]

MARKERS: Final = re.compile(r"(<!-- results: begin.*?-->\n).*?(<!-- results: end -->)", re.DOTALL)
CATALOGUES: Final = {"s": "Failover Bench's", "x": "ours"}


class Column(Struct, frozen=True):
    """One gateway: its name with its release, and a verdict for each scenario, asked for streams and for JSON."""

    name: str
    streams: Mapping[str, str]
    json: Mapping[str, str]


def table(columns: Sequence[Column]) -> Iterator[str]:
    """Lines of Markdown: a row for each scenario, and one for each catalogue that counts."""
    yield "| What goes wrong | " + " | ".join(column.name for column in columns) + " |"
    yield "|---" * (1 + len(columns)) + "|"
    for scenario in SCENARIOS.values():
        yield f"| `{scenario.id}` {scenario.what} | " + " | ".join(cell(c, scenario.id) for c in columns) + " |"
    for letter, whose in CATALOGUES.items():
        for kind in ("streams", "json"):
            counted = [count(getattr(column, kind), letter) for column in columns]
            yield f"| **{whose}, as {'JSON' if kind == 'json' else kind}** | " + " | ".join(counted) + " |"


def cell(column: Column, scenario: str) -> str:
    """One word when the two verdicts are the same, else both."""
    words = [shown(verdicts.get(scenario, "–")) for verdicts in (column.streams, column.json)]
    return words[0] if words[0] == words[1] else " / ".join(words)


def shown(word: str) -> str:
    """What is bad is to be seen at a glance."""
    return "**fail**" if word == "fail" else word


def count(verdicts: Mapping[str, str], letter: str) -> str:
    """How often each verdict, the best first, and nothing of those that there are none of."""
    mine = [word for scenario, word in verdicts.items() if scenario.startswith(letter)]
    return ", ".join(f"{mine.count(word)} {word}" for word in WORDS if word in mine) or "–"


def between_the_markers(page: Path, lines: Sequence[str]) -> None:
    """Put the lines where the page has its markers. Raises ValueError when it has none."""
    text = page.read_text(encoding="utf-8")
    if not MARKERS.search(text):
        raise ValueError(f"{page} has no markers for the results")
    page.write_text(
        MARKERS.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text, count=1), encoding="utf-8"
    )
