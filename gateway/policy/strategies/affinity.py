"""Affinity: the same deployment for what begins the same, so that its cache is warm. Read next: weighted.py."""

from __future__ import annotations

import math
import zlib
from typing import ClassVar, Literal

from pydantic import Field

from gateway.dice import uniform
from gateway.policy.strategies.strategy import Parameters
from gateway.types import Asked, Deployment, Place, Reason

__all__ = ["Affinity"]


class Affinity(Parameters):
    """Requests that begin alike go to the same deployment, in proportion to the weights.

    Rendezvous hashing (Thaler and Ravishankar 1998): when a deployment goes or comes, only what was or will be its own
    moves. Providers charge less for a prefix that they have in their cache, and servers such as vLLM skip its work.
    """

    name: ClassVar[str] = "affinity"
    reason: ClassVar[str] = "sticky"

    by: Literal["conversation", "prefix"] = Field(
        default="conversation",
        description="What has to be alike: the `conversation` up to its first user turn, or only the `prefix` before "
        "that, as a system prompt that many conversations share.",
    )

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """An exponential variate with the weight as its rate, drawn from the beginning of the conversation."""
        if candidate.weight <= 0:
            return Reason("weight_zero")
        features = asked.features
        seed = features.conversation if self.by == "conversation" else features.prefix or features.conversation
        return -math.log(uniform(seed, zlib.crc32(candidate.name.encode()))) / candidate.weight
