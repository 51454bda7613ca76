"""Least busy: the deployment with the fewest requests under way. Read next: latency.py."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy.strategies.strategy import Parameters
from gateway.types import Asked, Deployment, Place, Reason

__all__ = ["LeastBusy"]


class LeastBusy(Parameters):
    """The better of two drawn deployments by requests under way, for its weight: for servers of one's own."""

    name: ClassVar[str] = "least_busy"
    reason: ClassVar[str] = "latency_best"
    weighs: ClassVar[bool] = True
    two_choices: ClassVar[bool] = True

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """Requests under way, this one included, divided by the weight."""
        if candidate.weight <= 0:
            return Reason("weight_zero")
        return (place.load.inflight + 1) / candidate.weight
