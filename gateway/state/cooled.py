"""Which deployments are left alone, as one replica knows it. Read next: over_redis.py, which shares it.

The mapping handed out is never changed afterwards: a snapshot may keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from gateway.types import Cooling

__all__ = ["Cooled"]


class Cooled:
    """Deployments by the end of their cooling. A later end wins over an earlier one."""

    __slots__ = ("_by", "_next_end")

    def __init__(self) -> None:
        self._by: Mapping[str, Cooling] = {}
        self._next_end = inf

    def leave(self, deployment: str, cooling: Cooling) -> None:
        """Leave it alone until then, unless it is left alone longer already."""
        known = self._by.get(deployment)
        if known is None or known.until_at < cooling.until_at:
            self._keep({**self._by, deployment: cooling})

    def at(self, now: float) -> Mapping[str, Cooling]:
        """Those that are left alone at ``now``."""
        if now >= self._next_end:
            self._keep({name: cooling for name, cooling in self._by.items() if cooling.until_at > now})
        return self._by

    def _keep(self, by: Mapping[str, Cooling]) -> None:
        self._by = by
        self._next_end = min((cooling.until_at for cooling in by.values()), default=inf)
