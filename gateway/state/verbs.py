"""What replicas share, as verbs of the domain. Memory keeps them for one process, Redis for a fleet.

Read next: memory.py and over_redis.py; tests/state holds the contract that both keep.

No verb that the request path calls waits for anything: writes are taken into a local buffer and sent in batches,
reads are answered from the last refresh. ``sync`` does the waiting, in the background, every 100 ms. Only ``recall``
and ``ask`` may wait, for a moment. Those who ask about the fleet (``spend``, ``find``, ``recent``) do wait; a store
that is gone tells them so by raising Unavailable.

Names of coolings, leases and buckets are the caller's, such as ``breaker:acme/gpt-4o``; the three do not share them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from gateway.budgets.account import Row
from gateway.budgets.fleet import Answer, Turn
from gateway.state.buckets import Buckets
from gateway.state.places import Places
from gateway.types import Cooling, Exchange
from gateway.usage.sums import Page

__all__ = ["ALONE_S", "Draw", "Health", "State"]

#: A store that has not taken and answered everything for this long, in seconds, is gone.
ALONE_S: Final = 2.0


class Health(Struct, frozen=True):
    """How the state store does: ``up``, and what it last said if not; when it last answered (monotonic seconds).

    ``dropped`` counts records that are lost; ``remembered`` and ``recalled`` what callers gave and got back,
    ``forgotten`` what could not be remembered or recalled.
    """

    kind: str
    up: bool
    refreshed_at: float
    error: str | None = None
    dropped: int = 0
    forgotten: int = 0
    remembered: int = 0
    recalled: int = 0


class Draw(Struct, frozen=True):
    """So much of a leaky bucket that drains at ``rate`` a second and takes no more than ``capacity``."""

    name: str
    amount: float
    rate: float
    capacity: float


class State(Protocol):
    """Shared state of a fleet of replicas."""

    def cool(self, name: str, cooling: Cooling) -> None:
        """Leave something alone until then, on every replica. A later end wins over an earlier one."""
        ...

    def warm(self, name: str) -> None:
        """End a cooling on every replica: here at once, on others at their next sync.

        Of ``cool`` and ``warm`` the one that reaches the store last wins. What could not be told at once counts from
        when it was first tried, so that a replica that was cut off undoes nothing that others have said meanwhile.
        """
        ...

    def cooling(self, now: float) -> Mapping[str, Cooling]:
        """What to leave alone now, as of the last refresh and all that this replica said itself."""
        ...

    def want(self, name: str, ttl_s: float) -> None:
        """Ask for a lease, which one replica has at a time, for so many seconds; its holder prolongs it.

        It is asked for once, at the next sync: who is refused may ask again. When the store has been gone for
        ``ALONE_S``, every replica that asks gets it: a fleet without a store must recover too, each by itself.
        """
        ...

    def holds(self, name: str, now: float) -> bool:
        """Whether this replica has the lease now."""
        ...

    def let_go(self, name: str) -> None:
        """Give a lease back: it is not held from now on, and others may have it after the next sync."""
        ...

    def draw(self, name: str, amount: float, rate: float, capacity: float) -> None:
        """Add to a leaky bucket that drains at ``rate`` a second; a negative amount gives back, down to empty.

        Nothing is refused: whoever draws looks at ``level`` first. ``capacity`` only says for how long a bucket may
        be remembered. Without the store it is this replica's bucket alone.
        """
        ...

    def level(self, name: str, now: float) -> float:
        """How full a bucket is: the fleet's level at the last sync, drained since, and what was drawn here after it.

        A bucket that nobody here has asked about for some seconds is not refreshed: the first answer after that is
        as of then, the next sync brings the fleet's.
        """
        ...

    @property
    def buckets(self) -> Buckets:
        """The buckets behind ``draw`` and ``level``, for whoever looks at several at a time."""
        ...

    @property
    def places(self) -> Places:
        """How many may be in use at once, by name: those that this replica has of all that the fleet has."""
        ...

    async def ask(self, draws: Sequence[Draw], places: Sequence[str], now: float) -> bool | None:
        """Draw on all of these buckets and use one more of all these places, if the fleet has room for everything.

        False: it has not, and nothing is drawn or used; buckets and places then show what there is. None: the store
        did not answer within 50 ms. Those who ask at the same time are answered together.
        """
        ...

    def vacate(self, name: str) -> None:
        """Use one place less; where places are few, the fleet is told at once."""
        ...

    @property
    def awaited(self) -> Mapping[str, int]:
        """How many requests waited for the store, by reason."""
        ...

    def count_awaited(self, reason: str) -> None:
        """One more has."""
        ...

    def alone(self, now: float) -> bool:
        """Whether the store has been gone for ``ALONE_S``: of a limit, each replica then has 1 / ``replicas``."""
        ...

    @property
    def heard(self) -> bool:
        """Whether it is known how many replicas there are, and what they have drawn."""
        ...

    def replicas(self) -> int:
        """How many replicas there are, this one among them, as of the last refresh."""
        ...

    def append(self, record: bytes, id: str) -> None:
        """Hand a decision record (one JSON document, no newline) to the fleet's log."""
        ...

    def count(self, exchange: Exchange) -> None:
        """Add a closed exchange to what was used, on the UTC day it came in."""
        ...

    def used(self, days: Sequence[int]) -> AsyncIterator[Page]:
        """What was used on these days (since 1970), over the fleet, in pieces. Others tell their sums once a second."""
        ...

    async def find(self, id: str) -> bytes | None:
        """The decision record of that id, from the fleet's log; None when it is not (or no longer) there."""
        ...

    async def recent(self, limit: int) -> Sequence[bytes]:
        """The newest decision records of the fleet, newest first."""
        ...

    @property
    def replica(self) -> str:
        """The id of this replica, which no other process has ever had."""
        ...

    async def accounts(self, turn: Turn) -> Answer:
        """What the fleet makes of a turn of this replica's budgets. Raises Unavailable, whatever came of it.

        Waits for one command at most: a request may be waiting for it.
        """
        ...

    async def first(self, name: str, keep_s: int) -> bool:
        """Whether nobody in the fleet has asked this of that name, for so many seconds. Raises Unavailable."""
        ...

    async def rows(self, accounts: Sequence[str]) -> Mapping[str, Mapping[str, Row]]:
        """The rows of these accounts, by replica: all that the fleet knows of a budget."""
        ...

    async def present(self) -> frozenset[str]:
        """The ids of the replicas that are there."""
        ...

    def remember(self, caller: str, values: Mapping[str, bytes]) -> None:
        """Keep values by key for a day, for this caller alone; other replicas can recall them a moment later.

        Nothing that must not be lost: what is too large, or too much for the replica or the store, is forgotten.
        """
        ...

    @property
    def blank(self) -> bool:
        """Whether nothing is remembered of anybody, as far as can be known without waiting."""
        ...

    async def recall(self, caller: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What is remembered of these. Waits for other replicas only for what is not known here, 50 ms at most."""
        ...

    def key(self, id: str) -> bytes | None:
        """The document of a key made at run time, as far as it is known here."""
        ...

    async def find_key(self, id: str) -> bytes | None:
        """The document of such a key; asks the fleet, 50 ms at most, where it is not known here.

        Raises Unavailable where that is not found out: never None for a key that there may be.
        """
        ...

    async def keys(self) -> Mapping[str, bytes]:
        """The documents of all such keys, by id. Raises Unavailable."""
        ...

    async def change_key(self, id: str, before: bytes | None, after: bytes | None) -> bytes | None:
        """Put a document in place of another; None is none. What is there then: a third, if somebody was faster.

        It counts here at once, and on other replicas after their next sync. Raises Unavailable.
        """
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
