"""Cost: the cheapest deployment whose expected quality clears a floor. Read next: ../decide.py."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import Field

from gateway.policy.quality import expected_quality
from gateway.policy.strategies.strategy import Parameters
from gateway.types import Asked, Deployment, Place, Reason

__all__ = ["UNKNOWN_PRICE", "Cost"]

#: Scores from here on mean that the price is unknown: such deployments come after all with a price, in pool order.
UNKNOWN_PRICE: Final = 1e15


class Cost(Parameters):
    """The deployment that is expected to answer for the least money, among those good enough for the request.

    The expected cost is the estimated input at the input price plus the expected output at the output price.
    """

    name: ClassVar[str] = "cost"
    reason: ClassVar[str] = "cost_optimal"

    floor: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Expected quality that a deployment must have for the request's intent, 0 to 1; 0 admits all.",
    )
    expected_output: int = Field(
        default=400,
        ge=1,
        description="Tokens an answer is expected to have, when the request does not limit it to fewer.",
    )

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """Expected cost in micro-dollars; UNKNOWN_PRICE plus the place in the pool when the price is unknown."""
        if self.floor > 0:
            quality = expected_quality(candidate, asked.signals)
            if quality is None:
                return Reason("quality_unknown", (self.floor,))
            if quality < self.floor:
                return Reason("below_floor", (quality, self.floor))
        price = candidate.price
        if price is None:
            return UNKNOWN_PRICE + place.position
        output = min(asked.features.max_output or self.expected_output, self.expected_output)
        return (asked.features.input_tokens * price.input + output * price.output) / 1_000_000
