"""What a try may cost at most. Read next: book.py, which reserves it."""

from __future__ import annotations

from typing import Final

from gateway.money import cost
from gateway.types import Call, Deployment, Features, Usage

__all__ = ["bound"]

#: The longest answer of a model of which nothing is known, in tokens.
LONGEST: Final = 16_384
#: Tokens that providers add themselves.
BESIDE: Final = 1_000


def bound(call: Call, features: Features, deployment: Deployment) -> int | None:
    """Micro-dollars that one try at this deployment may cost at most; None when its price is unknown."""
    cap = deployment.max_output or LONGEST
    output = min(features.max_output, cap) if features.max_output is not None else cap
    return cost(deployment.price, Usage(call.size + BESIDE, output * (call.fields.get("n") or 1)))
