"""Headroom: traffic in proportion to what is left of each deployment's rate limits. Read next: weighted.py."""

from __future__ import annotations

import math
import zlib
from typing import ClassVar, Final

from gateway.dice import uniform
from gateway.policy.strategies.strategy import Parameters
from gateway.types import Asked, Deployment, Place, Reason

__all__ = ["Headroom"]

#: What is used up still gets a little, as what is left is known for a moment only.
LEAST: Final = 0.01


class Headroom(Parameters):
    """Shares of the traffic by weight times the share of the provider's limits that is left."""

    name: ClassVar[str] = "headroom"
    reason: ClassVar[str] = "weighted"
    weighs: ClassVar[bool] = True

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """An exponential variate whose rate is the weight times what is left."""
        rate = candidate.weight * max(LEAST, place.load.left)
        if rate <= 0:
            return Reason("weight_zero")
        return -math.log(uniform(asked.seed, zlib.crc32(candidate.name.encode()))) / rate
