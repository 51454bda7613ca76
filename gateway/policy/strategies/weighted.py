"""Weighted: a share of the traffic for each deployment. Read next: cost.py."""

from __future__ import annotations

import math
import zlib
from typing import Annotated, ClassVar

from pydantic import Field

from gateway.dice import uniform
from gateway.policy.strategies.strategy import Parameters
from gateway.types import Asked, Deployment, Place, Reason

__all__ = ["Weighted"]


class Weighted(Parameters):
    """Deployments get shares of the traffic in proportion to their weights.

    The order of the whole pool is drawn at once, without replacement, so that the second choice is weighted too:
    the smallest of ``-ln(u) / weight`` comes first (Efraimidis and Spirakis, 2006).
    """

    name: ClassVar[str] = "weighted"
    reason: ClassVar[str] = "weighted"

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Weight by deployment; one that is not named here has the weight of its own entry (1 by default).",
    )

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """An exponential variate with the weight as its rate, drawn from the seed and the deployment's name."""
        weight = self.weights.get(candidate.name, candidate.weight)
        if weight <= 0:
            return Reason("weight_zero")
        return -math.log(uniform(asked.seed, zlib.crc32(candidate.name.encode()))) / weight
