"""What a login yields, kept while it is valid and fetched anew before it expires. Read next: make.py.

A fetch runs in a thread, for the libraries of the clouds wait where they stand; there is never more than one. While it
runs, what is still valid goes on being used: only where nothing is, requests wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from msgspec import Struct

from gateway.errors import CredentialFailed

__all__ = ["Fresh", "Kept"]

#: How long before its end something is fetched anew, in seconds. Google's metadata server hands the same token out
#: until four minutes before its end, so that more would be in vain.
EARLY_S: Final = 225.0
#: So much of its life is the most that is given up for it.
EARLY_SHARE: Final = 0.25
#: What ends within so many seconds is not used any more: clocks differ, and requests are on their way for a while.
MARGIN_S: Final = 10.0
#: How long after a fetch that failed the next one may begin, in seconds.
AGAIN_S: Final = 2.0
#: How long a request waits for a fetch, in seconds.
PATIENCE_S: Final = 10.0

Value = TypeVar("Value")


class Fresh(Struct, Generic[Value], frozen=True):
    """Something fetched, and when it ends (Unix seconds); None for what never does."""

    value: Value
    ends_at: float | None = None


class Kept(Generic[Value]):
    """What ``fetch`` gives, for as long as it is valid by ``wall`` (Unix seconds).

    ``fetch`` is called in a thread and raises CredentialFailed; ``of`` names the login in what people read.
    """

    def __init__(self, of: str, fetch: Callable[[], Fresh[Value]], wall: Callable[[], float]) -> None:
        self._of = of
        self._fetch = fetch
        self._wall = wall
        self._held: Fresh[Value] | None = None
        self._renew_at = 0.0
        self._fetching: asyncio.Task[Fresh[Value]] | None = None
        self._failure: CredentialFailed | None = None
        self._again_at = 0.0

    def __repr__(self) -> str:
        if self._held is None:
            return f"{self._of}: nothing at hand; {self._failure or 'never fetched'}"
        left = "for good" if self._held.ends_at is None else f"for {self._held.ends_at - self._wall():.0f} s more"
        return f"{self._of}: valid {left}{f'; {self._failure}' if self._failure is not None else ''}"

    async def get(self) -> Value:
        """What is valid now. Raises CredentialFailed when there is nothing and none comes within PATIENCE_S."""
        now = self._wall()
        held = self._held
        if held is not None and now < self._renew_at:
            return held.value
        if self._fetching is None and now >= self._again_at:
            self._fetching = asyncio.create_task(asyncio.to_thread(self._fetch))
            self._fetching.add_done_callback(self._fetched)
        if held is not None and (held.ends_at is None or now < held.ends_at - MARGIN_S):
            return held.value
        if self._fetching is None:
            raise self._failure or CredentialFailed(f"{self._of}: it has just failed", refused=False)
        return (await self._wait(self._fetching)).value

    def forget(self) -> None:
        """What is held is not used again."""
        self._held = None

    async def _wait(self, fetching: asyncio.Task[Fresh[Value]]) -> Fresh[Value]:
        """For a fetch that others wait for too: it goes on when this request does not."""
        done, _ = await asyncio.wait([fetching], timeout=PATIENCE_S)
        if not done:
            raise CredentialFailed(f"{self._of}: no answer within {PATIENCE_S:g} s", refused=False)
        error = fetching.exception()
        if error is not None:
            raise self._said(error)
        return fetching.result()

    def _fetched(self, fetching: asyncio.Task[Fresh[Value]]) -> None:
        self._fetching = None
        now = self._wall()
        error = None if fetching.cancelled() else fetching.exception()
        if fetching.cancelled() or error is not None:
            self._failure, self._again_at = self._said(error), now + AGAIN_S
            return
        self._failure, self._held = None, fetching.result()
        ends_at = self._held.ends_at
        life = 0.0 if ends_at is None else max(0.0, ends_at - now)
        self._renew_at = float("inf") if ends_at is None else ends_at - min(EARLY_S, life * EARLY_SHARE)

    def _said(self, error: BaseException | None) -> CredentialFailed:
        """What a fetch failed with; of an error that nobody foresaw only its name, for it may hold anything."""
        if isinstance(error, CredentialFailed):
            return CredentialFailed(f"{self._of}: {error}", refused=error.refused)
        return CredentialFailed(f"{self._of}: it failed with {type(error).__name__}", refused=True)
