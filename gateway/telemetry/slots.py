"""Where numbers are kept until a scrape: plain slots, several times cheaper than metric objects with locks.

Read next: metrics.py. Only the event loop writes to a slot; a scrape in another thread copies it in one step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from gateway.telemetry.catalogue import Metric

__all__ = ["Family", "Histogram", "Number"]


class Number:
    """A counter or a gauge: add to ``value``, or set it."""

    __slots__ = ("value",)

    def __init__(self, metric: Metric) -> None:
        self.value: float = 0


class Histogram:
    """Counts of what was observed, by bucket. The last bucket has no upper bound."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, metric: Metric) -> None:
        self._bounds = metric.buckets
        self.counts = [0] * (len(metric.buckets) + 1)
        self.sum: float = 0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


Slot = TypeVar("Slot", Number, Histogram)


class Family(Generic[Slot]):
    """All slots of one metric, by the values of its labels in the catalogue's order."""

    __slots__ = ("_kind", "_slots", "metric")

    def __init__(self, metric: Metric, kind: type[Slot]) -> None:
        self.metric = metric
        self._kind: type[Slot] = kind
        self._slots: dict[tuple[str, ...], Slot] = {}

    def slot(self, *labels: str) -> Slot:
        """The slot of these label values, made when it is asked for first."""
        found = self._slots.get(labels)
        if found is None:
            found = self._slots[labels] = self._made(labels)
        return found

    def put(self: Family[Number], values: Mapping[tuple[str, ...], float]) -> None:
        """Let these values, by label values, take the place of all slots at once."""
        slots = {labels: self._made(labels) for labels in values}
        for labels, slot in slots.items():
            slot.value = values[labels]
        self._slots = slots

    def clear(self) -> None:
        """Forget every slot: for a gauge whose label is what it tells."""
        self._slots = {}

    def _made(self, labels: tuple[str, ...]) -> Slot:
        if len(labels) != len(self.metric.labels):
            raise ValueError(f"{self.metric.name} has labels {self.metric.labels}, and was given {labels}")
        return self._kind(self.metric)

    def items(self) -> Iterator[tuple[tuple[str, ...], Slot]]:
        """Label values and slots, as of now; safe in another thread."""
        return iter(self._slots.copy().items())
