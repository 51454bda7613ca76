"""What a run asks before each try and tells after it: the seam between provider calls and what is known of health.

Read next: ../health/health.py, which keeps it; run.py, which asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.errors import Failure
from gateway.types import Deployment, Features, Usage

__all__ = ["Care", "Leave"]

Headers = Sequence[tuple[bytes, bytes]]


class Leave(Protocol):
    """Leave to make one try, with one key of the account. Ended exactly once, by ``ended`` or ``left``."""

    @property
    def key(self) -> int:
        """Which of the account's keys it is made with."""
        ...

    def answered(self, headers: Headers, now: float) -> None:
        """The head of an answer has come; providers say in it what is left of their limits."""
        ...

    def content(self, now: float) -> None:
        """The first content of a stream has come."""
        ...

    def ended(self, failure: Failure | None, usage: Usage | None, now: float) -> None:
        """The try is over."""
        ...

    def left(self, now: float) -> None:
        """Nobody waits for its answer any more, which says nothing about the deployment."""
        ...


class Care(Protocol):
    """What is known of deployments, as far as one run needs it. All verbs are for the request path: none waits."""

    def leave(self, deployment: Deployment, features: Features, now: float, tenant: str = "") -> Leave | None:
        """Leave to try this deployment now, for this tenant; None when it is left alone, full, or out of keys."""
        ...

    def first_token_s(self, deployment: Deployment, features: Features, now: float) -> float:
        """How long the first content of a stream may take, in seconds."""
        ...

    def other_key(self, deployment: Deployment, now: float) -> bool:
        """Whether the account has a key that can be used."""
        ...

    def may_retry(self, deployment: Deployment, now: float) -> bool:
        """Whether the same deployment may be asked again; takes it out of its budget of retries."""
        ...

    def hedge_after_s(self, deployment: Deployment, extra: float, now: float) -> float | None:
        """How long it may be slow before another is asked beside it; None while that is not known.

        ``extra`` is the share of requests that may be hedged at most.
        """
        ...

    def may_hedge(self, extra: float, now: float) -> bool:
        """Whether a hedge is within that share; counts it."""
        ...

    def streams(self, deployment: Deployment) -> bool:
        """Whether it has not refused to stream, as far as is known."""
        ...

    def refused_to_stream(self, deployment: Deployment) -> None:
        """It has: the next request for a whole answer is asked for as such."""
        ...

    def continues(self, deployment: Deployment) -> bool:
        """Whether it goes on from the beginning of an answer, as far as is known."""
        ...

    def refused_to_continue(self, deployment: Deployment) -> None:
        """It does not."""
        ...
