"""What came of one kind of check: a line of the report. Read next: translation.py and requests.py, which make them."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct, field

__all__ = ["Judged"]


class Judged(Struct):
    """``asked`` were looked at; ``wrong`` has a line for each bad one; ``notes`` counts what else there was."""

    name: str
    asked: int = 0
    wrong: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def hold(self, id: str, found: list[str]) -> None:
        """One more was looked at."""
        self.asked += 1
        if found:
            self.wrong.append(f"{id}: {'; '.join(found[:6])}")

    def __str__(self) -> str:
        notes = "".join(f", {count} {what}" for what, count in sorted(self.notes.items()))
        return f"{self.name}: {self.asked - len(self.wrong)} of {self.asked}{notes}"
