"""Ordered: the pool in the order the configuration lists it. Read next: weighted.py."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy.strategies.strategy import Parameters
from gateway.types import Asked, Deployment, Place, Reason

__all__ = ["Ordered"]


class Ordered(Parameters):
    """The first deployment of the pool that can serve; the others stand by in the order listed."""

    name: ClassVar[str] = "ordered"
    reason: ClassVar[str] = "default"

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """The place in the pool."""
        return float(place.position)
