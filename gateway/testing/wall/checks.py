"""What is asked of a scenario beside a good ending: each check returns why it is not met, or None.

Read next: scenarios.py, which puts them together; judge.py, which makes verdicts of them. The limits are those of the
catalogue of Failover Bench, methodology v0.1, and are given in full timing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

from msgspec import Struct

from gateway.testing.wall.seen import Seen

__all__ = [
    "Alive",
    "AtLeast",
    "AtMost",
    "Check",
    "Ends",
    "Exactly",
    "Gap",
    "NamesFallback",
    "NoHammering",
    "NoLargeEvent",
    "NoPrefillMasking",
    "NoResend",
    "NotBlamed",
    "NotFollowed",
    "Recovers",
    "Serves",
    "Usage",
]


class Check(Protocol):
    """One demand."""

    def broken(self, seen: Seen) -> str | None:
        """Why it is not met, in words; None when it is."""
        ...


class Ends(Struct, frozen=True):
    """The call is over within so many seconds."""

    within_s: float

    def broken(self, seen: Seen) -> str | None:
        limit = seen.profile.seconds(self.within_s)
        return f"took {seen.total_s:.1f} s, {limit:g} s are allowed" if seen.total_s > limit else None


class AtLeast(Struct, frozen=True):
    """The primary was tried so often."""

    tries: int

    def broken(self, seen: Seen) -> str | None:
        return f"primary tried {times(seen)}, not {self.tries} times" if len(seen.primary) < self.tries else None


class AtMost(Struct, frozen=True):
    """The primary was not tried more often."""

    tries: int

    def broken(self, seen: Seen) -> str | None:
        return f"primary tried {times(seen)}, {self.tries} allowed" if len(seen.primary) > self.tries else None


class Exactly(Struct, frozen=True):
    """The primary was tried so often, no more and no less."""

    tries: int

    def broken(self, seen: Seen) -> str | None:
        return AtLeast(self.tries).broken(seen) or AtMost(self.tries).broken(seen)


class Gap(Struct, frozen=True):
    """So many seconds lay between the first two tries of the primary.

    Not divided in a faster profile: the header that asks for the gap counts whole seconds.
    """

    seconds: float

    def broken(self, seen: Seen) -> str | None:
        if len(seen.primary) < 2:
            return "no second try of the primary"
        gap = seen.primary[1].at - seen.primary[0].at
        return f"second try after {gap:.2f} s, not before {self.seconds:g} s" if gap < self.seconds else None


class NoHammering(Struct, frozen=True):
    """At most so many tries of the primary in the first seconds.

    Not divided in a faster profile: the back-off of what is judged is not either.
    """

    tries: int
    within: float

    def broken(self, seen: Seen) -> str | None:
        soon = [one for one in seen.primary if one.at - seen.primary[0].at < self.within]
        return f"{len(soon)} tries in {self.within:g} s, {self.tries} allowed" if len(soon) > self.tries else None


class NoResend(Struct, frozen=True):
    """What the primary could not take is not sent to it again, unless it is made smaller each time."""

    def broken(self, seen: Seen) -> str | None:
        sizes = [one.size for one in seen.primary]
        resent = any(after >= before for before, after in pairwise(sizes))
        return f"sent to the primary {times(seen)}, no smaller" if resent else None


class NamesFallback(Struct, frozen=True):
    """The answer's ``model`` is the one that gave it, when that was the fallback."""

    def broken(self, seen: Seen) -> str | None:
        if not seen.fallback or seen.worst.ended != "whole":
            return None
        named, gave = seen.worst.model or "none", seen.fallback[-1].model
        return None if gave in named.lower() else f"the answer names the model {named}, {gave} gave it"


class Usage(Struct, frozen=True):
    """The answer says what it cost."""

    def broken(self, seen: Seen) -> str | None:
        return None if seen.worst.usage else "no usage"


class Alive(Struct, frozen=True):
    """A healthy call right after it is answered well."""

    def broken(self, seen: Seen) -> str | None:
        return f"a healthy call afterwards: {seen.down}" if seen.down is not None else None


class NoPrefillMasking(Struct, frozen=True):
    """A fallback that refuses prefill is not why the caller gets an error."""

    def broken(self, seen: Seen) -> str | None:
        refused = any(one.prefilled for one in seen.fallback)
        return "an error after the fallback had refused a prefill" if refused and seen.worst.ended == "error" else None


class NotBlamed(Struct, frozen=True):
    """The caller is not told that its own key is wrong."""

    def broken(self, seen: Seen) -> str | None:
        status = seen.worst.status
        return f"the caller got the provider's {status}" if status in (401, 403) else None


class NotFollowed(Struct, frozen=True):
    """Nothing is sent to an address that only the provider named."""

    def broken(self, seen: Seen) -> str | None:
        return "the redirect was followed" if seen.strayed else None


class NoLargeEvent(Struct, frozen=True):
    """No event of more bytes reaches the caller."""

    most: int

    def broken(self, seen: Seen) -> str | None:
        largest = seen.worst.largest
        return f"an event of {largest} bytes was passed on" if largest > self.most else None


class Serves(Struct, frozen=True):
    """Every call of a series that was made during an outage of so many seconds is answered well."""

    outage_s: float

    def broken(self, seen: Seen) -> str | None:
        ends_at = outage_end(seen, self.outage_s)
        ended = [heard.ended for heard in seen.heard if heard.asked_at < ends_at]
        lost = len(ended) - ended.count("whole")
        return f"{lost} of {len(ended)} calls during the outage were lost" if lost else None


class Recovers(Struct, frozen=True):
    """The primary is used again so many seconds after its outage at the latest."""

    within_s: float
    outage_s: float

    def broken(self, seen: Seen) -> str | None:
        ends_at, limit = outage_end(seen, self.outage_s), seen.profile.seconds(self.within_s)
        after = next((one.at - ends_at for one in seen.primary if one.at >= ends_at), None)
        if after is None:
            return "the primary was not used again"
        return f"the primary was used again after {after:.1f} s, {limit:g} s are allowed" if after > limit else None


def outage_end(seen: Seen, outage_s: float) -> float:
    """When the outage is over, in monotonic seconds: it begins with the first try."""
    began_at = seen.primary[0].at if seen.primary else seen.heard[0].asked_at
    return began_at + seen.profile.seconds(outage_s)


def times(seen: Seen) -> str:
    tries = len(seen.primary)
    return "once" if tries == 1 else f"{tries} times"
