"""What was spent, and what will be: usage and budgets for operators. Read next: api/spending.py, which they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.state.verbs import State
from gateway.usage.query import Query
from gateway.usage.summed import Answer, Summing
from gateway.usage.sums import DAY_S

__all__ = ["Spending"]


class Spending:
    """Asks the shared state; ``wall`` is Unix time."""

    def __init__(self, state: State, wall: Callable[[], float]) -> None:
        self._state = state
        self._wall = wall

    @property
    def today(self) -> int:
        """The UTC day, since 1970."""
        return int(self._wall() // DAY_S)

    async def usage(self, query: Query) -> Answer:
        """Raises Unavailable when the state does not answer, and BadRequest when there is too much to say."""
        summing = Summing(query)
        async for day, rows in self._state.used(range(query.first, query.last + 1)):
            summing.feed(day, rows)
            # Requests are served between two pieces.
            await asyncio.sleep(0)
        return summing.answer()
