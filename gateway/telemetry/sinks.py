"""Sinks: what is told of every closed Exchange. Read next: record.py, the bytes that each of them gets.

A sink takes the exchange and its record, and keeps two promises: it never raises, and it never waits for anything.
What it cannot keep, it drops and counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.telemetry.record import encode
from gateway.types import Exchange

__all__ = ["Sink", "Sinks"]


class Sink(Protocol):
    """Something that reads closed exchanges."""

    def __call__(self, exchange: Exchange, record: bytes) -> None:
        """Take one exchange and its record. Never raises, never waits."""
        ...


class Sinks:
    """Tells every sink of an exchange once, in their order; the record is encoded once for all of them."""

    __slots__ = ("_sinks",)

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def __call__(self, exchange: Exchange) -> None:
        """Hand a closed exchange out."""
        record = encode(exchange)
        for sink in self._sinks:
            sink(exchange, record)
