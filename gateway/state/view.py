"""What one replica sees of the fleet's health, and says about it: no verb here waits. Read next: cooled.py.

Memory and over_redis.py are views that somebody keeps up to date.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.state.buckets import Buckets
from gateway.state.cooled import Cooled
from gateway.state.leases import Leases
from gateway.types import Cooling

__all__ = ["View"]


class View:
    """Coolings, leases and buckets, as of the last sync and all that this replica said itself."""

    def __init__(self) -> None:
        self.cooled = Cooled()
        self.leases = Leases()
        self.buckets = Buckets()

    def cool(self, name: str, cooling: Cooling) -> None:
        """See State.cool."""
        self.cooled.cool(name, cooling)

    def warm(self, name: str) -> None:
        """See State.warm."""
        self.cooled.warm(name)

    def cooling(self, now: float) -> Mapping[str, Cooling]:
        """See State.cooling."""
        return self.cooled.at(now)

    def want(self, name: str, ttl_s: float) -> None:
        """See State.want."""
        self.leases.want(name, ttl_s)

    def holds(self, name: str, now: float) -> bool:
        """See State.holds."""
        return self.leases.holds(name, now)

    def let_go(self, name: str) -> None:
        """See State.let_go."""
        self.leases.let_go(name)

    def draw(self, name: str, amount: float, rate: float, capacity: float) -> None:
        """See State.draw."""
        self.buckets.draw(name, amount, rate, capacity)

    def level(self, name: str, now: float) -> float:
        """See State.level."""
        return self.buckets.level(name, now)
