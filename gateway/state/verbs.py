"""What replicas share, as verbs of the domain. Memory keeps them for one process, Redis for a fleet.

Read next: memory.py and over_redis.py; tests/state holds the contract that both keep.

No verb that the request path calls waits for anything: writes are taken into a local buffer and sent in batches,
reads are answered from the last refresh. ``sync`` does the waiting, in the background, every 100 ms. Those who ask
about the fleet (``spend``, ``find``, ``recent``) do wait; a store that is gone tells them so by raising Unavailable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.types import Cooling

__all__ = ["Health", "State"]


class Health(Struct, frozen=True):
    """How the state store does: ``up``, and what it last said if not; when it last answered (monotonic seconds)."""

    kind: str
    up: bool
    refreshed_at: float
    error: str | None = None
    dropped: int = 0


class State(Protocol):
    """Shared state of a fleet of replicas."""

    def cool(self, deployment: str, cooling: Cooling) -> None:
        """Leave a deployment alone until then, on every replica. A later end wins over an earlier one."""
        ...

    def cooling(self, now: float) -> Mapping[str, Cooling]:
        """Deployments to leave alone now, as of the last refresh and all that this replica said itself."""
        ...

    def append(self, record: bytes, id: str) -> None:
        """Hand a decision record (one JSON document, no newline) to the fleet's log."""
        ...

    def spent(self, caller: str, deployment: str, micros: int) -> None:
        """Add to what a caller spent at a deployment, in micro-dollars."""
        ...

    async def spend(self, caller: str) -> Mapping[str, int]:
        """What a caller has spent so far, by deployment, in micro-dollars, over the fleet."""
        ...

    async def find(self, id: str) -> bytes | None:
        """The decision record of that id, from the fleet's log; None when it is not (or no longer) there."""
        ...

    async def recent(self, limit: int) -> Sequence[bytes]:
        """The newest decision records of the fleet, newest first."""
        ...

    async def sync(self, now: float) -> None:
        """Send what was buffered and refresh what is read. Never raises: a store that is gone shows in ``health``."""
        ...

    def health(self) -> Health:
        """How the store does."""
        ...

    async def aclose(self) -> None:
        """Send what is buffered, as far as the store takes it, and let go of it."""
        ...
