"""Which deployment a route's savings are reckoned against. Read next: ../story.py, which reckons.

A route that names none is compared with what one would take without a gateway: the best of its pool, for everything.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.types import Deployment, Policy

__all__ = ["reference_of"]


def reference_of(policy: Policy, deployments: Mapping[str, Deployment]) -> Deployment | None:
    """The one that the policy names; else that of its pool with the highest quality, of several the dearest."""
    if policy.reference is not None:
        return deployments.get(policy.reference)
    pool = [deployments[name] for name in policy.pool if name in deployments]
    return max(pool, key=_rank, default=None)


def _rank(deployment: Deployment) -> tuple[float, int]:
    """By quality, then by the price of a request with three times as much input as output."""
    price = deployment.price
    return deployment.quality.get("default", 0.0), -1 if price is None else 3 * price.input + price.output
