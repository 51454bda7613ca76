"""Several keys of one account: which is next, which are left alone, and until when. Read next: failures.MEANING.

What the meaning table cools as an account is a matter of the key, whatever model was asked: a refused key, an empty
purse. What it cools as a deployment is a matter of the key and the model: a rate limit.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from gateway.dice import splitmix64
from gateway.errors import FailureKind
from gateway.reliability.failures import MEANING
from gateway.types import Cooling

__all__ = ["MAX_PARKED_S", "TRIAL_S", "KeyRing", "Parking"]

#: A quota that is still gone when it is looked at again is left alone twice as long, up to this.
MAX_PARKED_S: Final = 6 * 3600.0
#: How long one request may try a parked key whose time is up, before another one may.
TRIAL_S: Final = 60.0


class Parked:
    """A key that was refused: until when, why, how often in a row, and whether a request is trying it now."""

    __slots__ = ("kind", "strikes", "trial", "until_at")

    def __init__(self) -> None:
        self.until_at = -inf
        self.kind: FailureKind = "auth"
        self.strikes = 0
        self.trial = False

    def refused(self, kind: FailureKind, now: float, retry_after_s: float | None) -> None:
        """Leave it alone. A late answer to what was sent before it was parked says nothing new."""
        if now < self.until_at and not self.trial and kind == self.kind:
            return
        self.strikes = self.strikes + 1 if kind == self.kind else 1
        self.kind = kind
        self.trial = False
        base = MEANING[kind].cool_s or 0.0
        parked = base * 2.0 ** min(self.strikes - 1, 16) if kind == "quota" else base
        self.until_at = max(self.until_at, now + min(MAX_PARKED_S, max(parked, retry_after_s or 0.0)))

    def heard(self, cooling: Cooling) -> None:
        """The fleet leaves it alone until then."""
        if cooling.until_at > self.until_at:
            self.kind = "quota" if cooling.kind == "quota" else "auth"
            self.strikes = max(1, self.strikes)
            self.trial = False
            self.until_at = cooling.until_at

    def tried(self, now: float) -> None:
        """One request goes out to see; nobody else does until it is back, or for TRIAL_S."""
        if self.strikes:
            self.trial = True
            self.until_at = now + TRIAL_S

    def undecided(self, now: float) -> None:
        """The request that tried it failed for another reason: the next may try."""
        if self.trial:
            self.trial = False
            self.until_at = now

    def worked(self) -> None:
        """It answered. An answer that was under way when it was parked does not count."""
        if self.trial:
            self.trial = False
            self.strikes = 0
            self.until_at = -inf


class Parking:
    """What is known of the keys of an account, whichever model was asked: the rings of its models share it."""

    def __init__(self, keys: int) -> None:
        self.keys = tuple(Parked() for _ in range(max(1, keys)))

    def __repr__(self) -> str:
        parked = [f"{i + 1} for {key.kind} until {key.until_at:.1f}" for i, key in enumerate(self.keys) if key.strikes]
        return f"{len(self.keys)} keys, parked: {', '.join(parked) or 'none'}"

    def usable(self, now: float) -> int:
        """How many keys are not parked."""
        return sum(key.until_at <= now for key in self.keys)


class KeyRing:
    """The keys of an account as one model sees them; keys are told apart by their place.

    An account without keys has a ring of one. A ring made without ``parking`` has its own; rings of one account should
    share theirs. A reload makes new ones.
    """

    def __init__(self, keys: int, parking: Parking | None = None) -> None:
        self.parking = Parking(keys) if parking is None else parking
        self._cooling = [_NEVER] * len(self.parking.keys)
        self._seen_at = -inf

    def __repr__(self) -> str:
        now = self._seen_at
        alone = [
            f"{i + 1} for {back.kind} ({back.until_at - now:.1f} s more)"
            for i in range(len(self._cooling))
            if (back := self.back(i)).until_at > now
        ]
        return f"{self.usable(now)} of {len(self._cooling)} keys usable; left alone: {', '.join(alone) or 'none'}"

    def choose(self, seed: int, now: float, wait_of: Callable[[int], float]) -> int | None:
        """A key that is not left alone and has quota (``wait_of`` its place is 0), each as likely; None for none.

        ``seed`` is the only source of chance. A parked key whose time is up is handed out to one request only,
        until ``ok`` or ``failed`` says how that went.
        """
        self._seen_at = now
        if len(self._cooling) == 1 and not self.parking.keys[0].strikes:
            return 0 if self._cooling[0].until_at <= now and wait_of(0) <= 0.0 else None
        able = [i for i in range(len(self._cooling)) if self.can(i, now) and wait_of(i) <= 0.0]
        if not able:
            return None
        chosen = able[splitmix64(seed) % len(able)]
        self.parking.keys[chosen].tried(now)
        return chosen

    def failed(self, index: int, kind: FailureKind, now: float, retry_after_s: float | None = None) -> None:
        """A request with that key failed: leave it alone for as long as the meaning table or the provider says."""
        self._seen_at = now
        meaning = MEANING[kind]
        if meaning.cools == "account":
            self.parking.keys[index].refused(kind, now, retry_after_s)
            return
        self.parking.keys[index].undecided(now)
        if kind == "rate":
            wait = (meaning.cool_s or 0.0) if retry_after_s is None else retry_after_s
            self.leave(index, Cooling(now + wait, "rate"))

    def leave(self, index: int, cooling: Cooling, *, account: bool = False) -> None:
        """Leave a key alone until then: for this model, or for all of the ``account``. A later end wins."""
        if account:
            self.parking.keys[index].heard(cooling)
        elif cooling.until_at > self._cooling[index].until_at:
            self._cooling[index] = cooling

    def ok(self, index: int, now: float) -> None:
        """A request with that key was answered."""
        self._seen_at = now
        self.parking.keys[index].worked()

    def usable(self, now: float) -> int:
        """How many keys are not left alone, whether they have quota or not."""
        return sum(self.can(i, now) for i in range(len(self._cooling)))

    def can(self, index: int, now: float) -> bool:
        """Whether a key is not left alone."""
        return self.parking.keys[index].until_at <= now and self._cooling[index].until_at <= now

    def until_at(self, now: float) -> Cooling | None:
        """When the first key comes back, and what it is left alone for; None when one is usable now."""
        first = min(map(self.back, range(len(self._cooling))), key=lambda back: back.until_at)
        return first if first.until_at > now else None

    def back(self, index: int) -> Cooling:
        """When a key comes or came back, and what it is or was left alone for."""
        parked, cooling = self.parking.keys[index], self._cooling[index]
        return cooling if cooling.until_at > parked.until_at else Cooling(parked.until_at, parked.kind)


_NEVER: Final = Cooling(-inf, "rate")
