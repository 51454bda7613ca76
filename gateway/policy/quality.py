"""How good an answer a deployment is expected to give to a request. Read next: strategies/cost.py."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.types import Deployment, Signal

__all__ = ["expected_quality"]


def expected_quality(deployment: Deployment, signals: Sequence[Signal]) -> float | None:
    """Quality in 0..1 for the first signalled intent that the deployment has a figure for, else its default.

    None when nothing is known about it.
    """
    quality = deployment.quality
    if not quality:
        return None
    for signal in signals:
        if signal.name == "intent" and signal.label in quality:
            return quality[signal.label]
    return quality.get("default")
