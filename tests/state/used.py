"""What a state says was used, as one mapping. Read next: test_telling.py."""

from __future__ import annotations

from typing import Final

from gateway.state.verbs import State
from gateway.usage.sums import Sums, day_of

__all__ = ["DAY", "DIMS", "micros", "used"]

#: The day of the exchanges in tests/telemetry/exchanges.py, and what they are of.
DAY: Final = day_of("2025-11-21")
DIMS: Final = ("", "", "team-a", "", "gpt", "agents", "")


async def used(state: State, *days: int) -> dict[tuple[object, ...], Sums]:
    """Sums by day and dims."""
    found: dict[tuple[object, ...], Sums] = {}
    async for day, rows in state.used(days):
        for dims, sums in rows:
            found.setdefault((day, *dims), Sums()).add(sums)
    return found


async def micros(state: State, *days: int) -> dict[str, int]:
    """What each key cost."""
    found: dict[str, int] = {}
    for (_, _, _, key, *_), sums in (await used(state, *(days or (DAY,)))).items():
        found[str(key)] = found.get(str(key), 0) + sums.cost
    return found
