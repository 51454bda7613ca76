"""Times in few words. Read next: aborts.py, which measures some."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ms", "quantile"]


def quantile(values: Iterable[float], share: float) -> float:
    """Of so many values, the one that this share of them does not exceed. Raises ValueError when there are none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is nothing to take a quantile of")
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def ms(seconds: float) -> str:
    """``12.3 ms``."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
