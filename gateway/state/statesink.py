"""Tells the fleet's state of every exchange: its record, and what it cost. Read next: verbs.py."""

from __future__ import annotations

from gateway.state.verbs import State
from gateway.types import Exchange

__all__ = ["StateSink"]


class StateSink:
    """Appends each record to the fleet's log and adds each attempt's cost to what its caller spent."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state

    def __call__(self, exchange: Exchange, record: bytes) -> None:
        """Take one exchange. An attempt whose price is unknown adds nothing."""
        self._state.append(record, exchange.id)
        for attempt in exchange.attempts:
            if attempt.cost:
                self._state.spent(exchange.caller, attempt.deployment, attempt.cost)
