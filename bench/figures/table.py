"""The figures as a table, on a screen and in a page. Read next: __main__.py, which measures them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.figures.figure import Figure

__all__ = ["lines", "written"]

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = ("| Id | What is measured | Seen | Limit | |", "|---|---|---|---|---|")


def lines(figures: Sequence[Figure]) -> Iterator[str]:
    """A line for each, and one that counts."""
    widths = [max(map(len, column)) for column in zip(*[(f.id, f.what, f.seen, f.limit) for f in figures], strict=True)]
    for figure in figures:
        cells = (figure.id, figure.what, figure.seen, figure.limit)
        shown = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield f"{shown}  {word(figure)}"
    yield f"{sum(figure.kept for figure in figures)} of {len(figures)} pass"


def written(page: str, figures: Sequence[Figure], about: str) -> str:
    """The page with these figures in place of older ones of the same ids; ``about`` says when and where.

    Raises ValueError where the page has no place for them.
    """
    before, begin, rest = page.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} … {END}")
    new = {figure.id for figure in figures}
    rows = [(id, row) for id, row in re.findall(r"^(?=\| ([A-Z]\d\S*) )(.*)$", old, re.MULTILINE) if id not in new]
    rows += [(figure.id, row(figure)) for figure in figures]
    rows.sort(key=lambda pair: [int(n) for n in re.findall(r"\d+", pair[0])[:1]])
    body = "\n".join([about, "", *HEAD, *[row for _, row in rows]])
    return f"{before}{BEGIN}\n{body}\n{END}{after}"


def row(figure: Figure) -> str:
    return f"| {figure.id} | {figure.what} | {figure.seen} | {figure.limit} | {word(figure)} |"


def word(figure: Figure) -> str:
    return "pass" if figure.kept else "FAIL"
