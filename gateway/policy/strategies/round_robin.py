"""Round robin: the deployments of the pool take turns. Read next: least_busy.py."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy.strategies.strategy import Parameters
from gateway.types import Asked, Deployment, Place, Reason

__all__ = ["RoundRobin"]


class RoundRobin(Parameters):
    """Each deployment in its turn, then the one after it. The turns are those of one process."""

    name: ClassVar[str] = "round_robin"
    reason: ClassVar[str] = "weighted"

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """How many places it stands behind the one whose turn it is."""
        return float((place.position - place.turn) % place.size)
