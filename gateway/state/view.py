"""What one replica sees of the fleet's health, and says about it: no verb here waits. Read next: cooled.py.

Memory and over_redis.py are views that somebody keeps up to date.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from gateway.state.buckets import Buckets
from gateway.state.cooled import Cooled
from gateway.state.leases import Leases
from gateway.state.places import Places
from gateway.state.remembered import Remembered, name_of
from gateway.types import Cooling, Exchange
from gateway.usage.tally import Tally

__all__ = ["View"]


class View:
    """What is known of coolings, leases, buckets, places, usage and all that is remembered.

    As of the last sync, and with all that this replica has said itself since.
    """

    def __init__(self) -> None:
        #: The id of this replica, which no other process has ever had.
        self.replica = secrets.token_hex(8)
        self.cooled = Cooled()
        self.leases = Leases()
        self.buckets = Buckets()
        self.places = Places()
        self.awaited: dict[str, int] = {}
        self.remembered = Remembered()
        self.tally = Tally()

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

    def count(self, exchange: Exchange) -> None:
        """See State.count."""
        self.tally.count(exchange)

    def vacate(self, name: str) -> None:
        """See State.vacate."""
        self.places.leave(name)

    def count_awaited(self, reason: str) -> None:
        """See State.awaited: one more."""
        self.awaited[reason] = self.awaited.get(reason, 0) + 1

    def remember(self, caller: str, values: Mapping[str, bytes]) -> None:
        """See State.remember."""
        self.remembered.remember(caller, values)

    @property
    def blank(self) -> bool:
        """See State.blank."""
        return not self.remembered

    async def recall(self, caller: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """See State.recall."""
        found, missing = self._known_here(caller, keys)
        if missing:
            asked = await self._from_others(tuple(missing))
            for name, value in asked.items():
                self.remembered.learn(name, value)
                found[missing[name]] = value
        self.remembered.found += len(found)
        return found

    async def _from_others(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """What other replicas remember under these names."""
        return {}

    def _known_here(self, caller: str, keys: Sequence[str]) -> tuple[dict[str, bytes], dict[str, str]]:
        """Values by key, and by name the keys of those that are not known here."""
        found, missing = {}, {}
        for key in keys:
            name = name_of(caller, key)
            value = self.remembered.find(name)
            if value is None:
                missing[name] = key
            else:
                found[key] = value
        return found, missing
