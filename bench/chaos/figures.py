"""What a scenario measured beside what it may be, and how that is told. Read next: __main__.py, which tells it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

__all__ = ["Figure", "Finding", "lines", "markdown", "verdict"]


class Figure(Struct, frozen=True):
    """One measurement: of what, how much, what is allowed, and whether that holds."""

    what: str
    measured: str
    limit: str
    kept: bool


class Finding(Struct, frozen=True):
    """What came of one scenario. ``notes`` say more, for whoever asks why."""

    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every figure is kept."""
        return all(figure.kept for figure in self.figures)


def verdict(kept: bool) -> str:
    return "pass" if kept else "FAIL"


def lines(id: str, what: str, finding: Finding) -> list[str]:
    """A scenario's part of the table that is printed."""
    head = f"{id:4} {what:83} {verdict(finding.passed)}"
    rows = [f"     {f.what:44} {f.measured:>22}  {f.limit:>16}  {verdict(f.kept)}" for f in finding.figures]
    return [head, *rows, *(f"     {note}" for note in finding.notes)]


def markdown(findings: Sequence[tuple[str, str, Finding]]) -> list[str]:
    """The table of a page: a row for each figure, the scenario named in the first."""
    table = ["| | measured | | limit | |", "|---|---|---:|---:|---|"]
    for id, what, finding in findings:
        table.append(f"| **{id}** | **{what}** | | | **{verdict(finding.passed)}** |")
        table += [f"| | {f.what} | {f.measured} | {f.limit} | {verdict(f.kept)} |" for f in finding.figures]
    return table
