"""One figure: what was seen, the limit, and whether it was kept. Read next: ground.py, on what it is measured."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

__all__ = ["Figure", "at_least", "at_most", "ms", "quantile", "share"]


class Figure(Struct, frozen=True):
    """One line of the table. ``id`` is that of the behaviour; ``seen`` and ``limit`` are for people."""

    id: str
    what: str
    seen: str
    limit: str
    kept: bool


def at_most(id: str, what: str, seen: float, limit: float, show: str = "{:g}") -> Figure:
    """A figure that has to be low."""
    return Figure(id, what, show.format(seen), f"≤ {show.format(limit)}", seen <= limit)


def at_least(id: str, what: str, seen: float, limit: float, show: str = "{:g}") -> Figure:
    """A figure that has to be high."""
    return Figure(id, what, show.format(seen), f"≥ {show.format(limit)}", seen >= limit)


def ms(seconds: float) -> float:
    """Milliseconds, to the tenth."""
    return round(seconds * 1000, 1)


def share(part: float, whole: float) -> float:
    """Percent, to the hundredth; 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0.0


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest value that ``q`` of all are not above. Raises ValueError where there are none."""
    if not values:
        raise ValueError("there is nothing to take a quantile of")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
