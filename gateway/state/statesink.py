"""Tells the fleet's state of every exchange: its record, and what it used. Read next: verbs.py."""

from __future__ import annotations

from gateway.state.verbs import State
from gateway.types import Exchange

__all__ = ["StateSink"]


class StateSink:
    """Appends each record to the fleet's log and adds it to what was used."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state

    def __call__(self, exchange: Exchange, record: bytes) -> None:
        """Take one exchange."""
        self._state.append(record, exchange.id)
        self._state.count(exchange)
