"""Latency: the deployment that is expected to begin its answer soonest. Read next: ../decide.py."""

from __future__ import annotations

from typing import ClassVar

from gateway.policy.strategies.strategy import Parameters
from gateway.types import Asked, Deployment, Place, Reason

__all__ = ["Latency"]


class Latency(Parameters):
    """The better of two drawn deployments by time to first content, times the requests that it has under way.

    The time is a peak-EWMA: it jumps up at once and falls slowly (Finagle, tower).
    """

    name: ClassVar[str] = "latency"
    reason: ClassVar[str] = "latency_best"
    weighs: ClassVar[bool] = True
    two_choices: ClassVar[bool] = True

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """Seconds, by the number of requests that would share them. One of which nothing is known is asked once."""
        return place.load.wait_s * (place.load.inflight + 1)
