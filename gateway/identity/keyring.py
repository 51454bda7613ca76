"""The public keys of one issuer, kept in memory and fetched anew in the background. Read next: source.py, from where.

What is held goes on being used while it cannot be fetched anew, for a day at most. A key that nobody knows is looked
for once, for it may have just begun to be used, but not more often than every half minute: anybody can make one up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from msgspec import Struct

from gateway.errors import Unavailable
from gateway.identity.token import Wrong

__all__ = ["Key", "KeySet", "Keyring", "Say", "Unreached"]

#: How long after a fetch keys are fetched anew, in seconds: what an issuer withdraws counts for no longer.
REFRESH_S: Final = 600.0
#: How long keys count that cannot be fetched anew.
MAX_STALE_S: Final = 24 * 3600.0
#: How long after a fetch that failed the next begins: doubling from the first to the second.
AGAIN_S: Final = 1.0
AGAIN_MOST_S: Final = 30.0
#: How often a key that is not there is looked for at most.
SEEK_S: Final = 30.0
#: How long a request waits for a fetch.
PATIENCE_S: Final = 5.0


class Say(Protocol):
    """Where the ring says how it fares: an event of the log."""

    def __call__(self, event: str, level: Any = ..., /, **fields: object) -> None: ...


class Unreached(Exception):
    """Keys cannot be had; the message says why, to operators."""


class Key(Struct, frozen=True, eq=False):
    """A public key, the signatures it is good for, and what the issuer says of it."""

    kid: str | None
    algorithms: frozenset[str]
    public: Any
    said: str


class KeySet(Struct, frozen=True, eq=False):
    """The keys of an issuer."""

    keys: tuple[Key, ...]

    def fitting(self, kid: str | None, algorithm: str) -> list[Key]:
        """Those of that id; where a token names none, all that are good for its signature."""
        return [key for key in self.keys if algorithm in key.algorithms and (kid is None or key.kid == kid)]

    def lacks(self, other: KeySet) -> bool:
        """Whether any key of another is not in this one."""
        return not {key.said for key in other.keys} <= {key.said for key in self.keys}


class Keyring:
    """Keys as ``load`` has them: it raises Unreached, and ``of`` names the issuer. ``clock`` is in monotonic seconds.

    ``turn`` is another number whenever a key has been withdrawn: what was verified before counts no more.
    """

    def __init__(
        self, of: str, load: Callable[[], Awaitable[KeySet]], clock: Callable[[], float], say: Callable[..., None]
    ) -> None:
        self._of = of
        self._load = load
        self._clock = clock
        self._say = say
        self._held: KeySet | None = None
        self._held_at = 0.0
        self._due_at = self._seek_at = float("-inf")
        self._fetching: asyncio.Task[KeySet] | None = None
        self._failure: str | None = None
        self._failed = 0
        self.turn = 0

    def __repr__(self) -> str:
        held = "no keys at hand" if self._held is None else f"{self.count} keys, {self.age_s:.0f} s old"
        return f"issuer {self._of}: {held}{f'; {self._failure}' if self._failure is not None else ''}"

    @property
    def count(self) -> int:
        """How many keys are at hand."""
        return len(self._held.keys) if self._held is not None else 0

    @property
    def age_s(self) -> float:
        """How long ago they were fetched; 0 while there are none."""
        return self._clock() - self._held_at if self._held is not None else 0.0

    def tick(self) -> None:
        """Fetch what is due, and forget what is too old."""
        now = self._clock()
        if self._held is not None and now - self._held_at > MAX_STALE_S:
            self._held, self.turn = None, self.turn + 1
            self._say("identity.keys_too_old", level="error", issuer=self._of, why=self._failure)
        if self._fetching is None and now >= self._due_at:
            self._fetch()

    async def key(self, kid: str | None, algorithm: str) -> Key:
        """The one key that is meant. Raises Wrong when there is none, Unavailable when that cannot be known."""
        self.tick()
        if self._held is None:
            await self._wait()
        fitting = self._fitting(kid, algorithm)
        if not fitting:
            await self._seek()
            fitting = self._fitting(kid, algorithm)
        if not fitting and self._failure is not None:
            raise self._unavailable()
        if len(fitting) != 1:
            raise Wrong("key")
        return fitting[0]

    async def aclose(self) -> None:
        """End the fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _fitting(self, kid: str | None, algorithm: str) -> list[Key]:
        if self._held is None:
            raise self._unavailable()
        return self._held.fitting(kid, algorithm)

    async def _seek(self) -> None:
        now = self._clock()
        if self._fetching is None and now >= self._seek_at:
            self._seek_at = now + SEEK_S
            self._fetch()
        await self._wait()

    async def _wait(self) -> None:
        """For the fetch under way, if any: others wait for it too, and it goes on when this request does not."""
        if self._fetching is not None:
            await asyncio.wait([self._fetching], timeout=PATIENCE_S)

    def _fetch(self) -> None:
        self._fetching = asyncio.ensure_future(self._load())
        self._fetching.add_done_callback(self._fetched)

    def _fetched(self, fetching: asyncio.Task[KeySet]) -> None:
        self._fetching = None
        if fetching.cancelled():
            return
        if (error := fetching.exception()) is not None:
            self._missed(error)
            return
        before, self._held, self._held_at = self._held, fetching.result(), self._clock()
        self._due_at, self._failure, self._failed = self._held_at + REFRESH_S, None, 0
        if before is not None and self._held.lacks(before):
            self.turn += 1
        if before is None or self._held.lacks(before) or before.lacks(self._held):
            self._say("identity.keys", issuer=self._of, keys=[key.kid for key in self._held.keys])

    def _missed(self, error: BaseException) -> None:
        """Of an error that nobody foresaw only its name is said, for it may hold anything."""
        why = str(error) if isinstance(error, Unreached) else f"it failed with {type(error).__name__}"
        if why != self._failure:
            self._say("identity.unreachable", level="warning", issuer=self._of, why=why, keys=self.count)
        self._due_at = self._clock() + min(AGAIN_S * 2.0 ** min(self._failed, 10), AGAIN_MOST_S)
        self._failure, self._failed = why, self._failed + 1

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            "Whether the token is valid cannot be known now: its issuer's keys cannot be had.",
            code="identity_unavailable",
            retry_after_s=AGAIN_S,
        )
