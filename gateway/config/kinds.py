"""What is known of each kind of provider before anything is configured: the rows. Read next: ../providers/rows.py."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.providers.rows import ROWS, Row

__all__ = ["Kind", "kind_of", "kinds"]

Kind = Row


def kind_of(name: str) -> Kind | None:
    """The kind of that name, None when there is none."""
    return ROWS.get(name)


def kinds() -> Iterable[Kind]:
    """All kinds, in the order they are registered."""
    return ROWS.values()
