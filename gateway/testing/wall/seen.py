"""What a scenario left behind: how the calls ended for their caller, and which tries reached the wall.

Read next: checks.py, which judges it; caller.py and server.py, which see it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Heard", "Profile", "Seen", "Try"]

Ending = Literal["whole", "error", "cut", "hang"]


class Profile(Struct, frozen=True):
    """A time scale: every duration of the catalogue is divided by ``divisor``."""

    name: str
    divisor: float

    def seconds(self, full: float) -> float:
        """A duration of the catalogue as it is in this profile."""
        return full / self.divisor


class Heard(Struct, frozen=True):
    """One call as its caller knows it.

    ``ended`` is ``whole`` for exactly the right answer, ``error`` for anything an OpenAI client would raise, ``cut``
    for another answer that it would take for a good one, and ``hang`` when the call had not ended in the time it was
    given; ``why`` says more of all but the first. ``largest`` is the size in bytes of the largest event. ``asked_at``
    is in monotonic seconds.
    """

    ended: Ending
    asked_at: float
    total_s: float
    first_s: float | None = None
    why: str = ""
    status: int | None = None
    model: str | None = None
    usage: bool = False
    largest: int = 0


class Try(Struct, frozen=True):
    """One request that reached the wall, at ``at`` (monotonic seconds), with messages of ``size`` tokens or so.

    ``prefilled`` when its last message was the beginning of an answer.
    """

    at: float
    model: str
    size: int
    prefilled: bool = False


class Seen(Struct, frozen=True):
    """Both sides of one scenario. ``down`` is why a healthy call after it failed; None when it did not.

    ``strayed`` counts requests that went where no configuration had sent them.
    """

    profile: Profile
    heard: tuple[Heard, ...]
    primary: tuple[Try, ...] = ()
    fallback: tuple[Try, ...] = ()
    strayed: int = 0
    down: str | None = None

    @property
    def worst(self) -> Heard:
        """The call that ended worst, the first of them."""
        return max(self.heard, key=lambda heard: ("whole", "error", "cut", "hang").index(heard.ended))

    @property
    def total_s(self) -> float:
        """From the first question to the last end."""
        return self.heard[-1].asked_at + self.heard[-1].total_s - self.heard[0].asked_at
