"""What a run asks of the caller's budgets: the seam between provider calls and money. Read next: ../treasury.py."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Purse", "Reservation"]


class Reservation(Protocol):
    """What one try may cost at most, in micro-dollars, taken out of every budget of the caller until it is settled."""

    @property
    def micros(self) -> int:
        """How much that is."""
        ...

    def settle(self, micros: int) -> None:
        """The try has ended and did cost this much. Once for each reservation."""
        ...


class Purse(Protocol):
    """What one request pays its tries with."""

    def begin(self, micros: int) -> Reservation | None:
        """Reserve for a try that is about to begin; None when the budgets do not hold it now."""
        ...
