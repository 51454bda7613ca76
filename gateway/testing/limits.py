"""A provider's rate limits, enforced, and told in its headers as OpenAI tells them. Read next: faults.py.

What is left comes back in one of three ways, since providers differ: all the time, as it leaves the last minute, or
all at once when a minute is over.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from msgspec.structs import replace

from gateway.testing.acts import Act, Head
from gateway.testing.faults import refusal
from gateway.testing.prompt import Prompt

__all__ = ["FixedWindow", "Limit", "RateLimits", "SlidingWindow", "TokenBucket", "said"]

Headers = tuple[tuple[str, str], ...]
REFUSED: Final = "Rate limit reached for requests."


class Limit(Protocol):
    """How a provider keeps a limit of so much a minute."""

    def free(self, now: float) -> float:
        """What may still be used."""
        ...

    def use(self, amount: float, now: float) -> None:
        """Count it."""
        ...

    def full_in(self, now: float) -> float:
        """Seconds until all of it is there again."""
        ...

    def fits_in(self, amount: float, now: float) -> float:
        """Seconds until so much of it is there."""
        ...


class TokenBucket:
    """Refills all the time, up to the limit: OpenAI's and Anthropic's way."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._rate = limit / 60
        self._free, self._at = limit, 0.0

    def free(self, now: float) -> float:
        return min(self.limit, self._free + (now - self._at) * self._rate)

    def use(self, amount: float, now: float) -> None:
        self._free, self._at = self.free(now) - amount, now

    def full_in(self, now: float) -> float:
        return (self.limit - self.free(now)) / self._rate

    def fits_in(self, amount: float, now: float) -> float:
        return max(0.0, amount - self.free(now)) / self._rate


class SlidingWindow:
    """Counts what was used in the last minute, to the millisecond: the strictest there is."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._used: deque[tuple[float, float]] = deque()

    def free(self, now: float) -> float:
        while self._used and self._used[0][0] <= now - 60:
            self._used.popleft()
        return self.limit - sum(amount for _, amount in self._used)

    def use(self, amount: float, now: float) -> None:
        self._used.append((now, amount))

    def full_in(self, now: float) -> float:
        self.free(now)
        return self._used[-1][0] + 60 - now if self._used else 0.0

    def fits_in(self, amount: float, now: float) -> float:
        free = self.free(now)
        for at, used in self._used:
            if free >= amount:
                return max(0.0, at + 60 - now)
            free += used
        return 0.0 if free >= amount else 60.0


class FixedWindow:
    """Starts to count afresh each minute."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._used, self._minute = 0.0, 0

    def free(self, now: float) -> float:
        if int(now // 60) != self._minute:
            self._used, self._minute = 0.0, int(now // 60)
        return self.limit - self._used

    def use(self, amount: float, now: float) -> None:
        self._used = self.limit - self.free(now) + amount

    def full_in(self, now: float) -> float:
        return 60 - now % 60

    def fits_in(self, amount: float, now: float) -> float:
        return 0.0 if self.free(now) >= amount else 60 - now % 60


class RateLimits:
    """A fault of requests beyond ``rpm`` and ``tpm``; all others are answered. Every answer says what is left.

    A request takes its prompt's tokens and its ``max_tokens``, or 16 where it names none. ``asked``, ``refused`` and
    ``used`` (the tokens) count up; ``taken_at`` holds when each request that was answered came. ``limit`` makes a limit
    of so much a minute; ``clock`` gives seconds.
    """

    def __init__(
        self,
        *,
        rpm: int,
        tpm: int,
        limit: Callable[[float], Limit] = TokenBucket,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.asked = self.refused = self.used = 0
        self.taken_at: list[tuple[float, int]] = []
        self._clock = clock
        self._began_at = clock()
        self._limits = {"requests": (rpm, limit(rpm)), "tokens": (tpm, limit(tpm))}

    def begin(self) -> None:
        """Its time begins now, when it has not been asked yet."""
        self._began_at = self._clock()

    def __repr__(self) -> str:
        return f"RateLimits({self.asked} asked, {self.refused} refused, {self.used} tokens used)"

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        """See Fault."""
        now = self._clock() - self._began_at
        needs = {"requests": 1, "tokens": prompt.tokens + (prompt.max_tokens or 16)}
        self.asked += 1
        wait = max(limit.fits_in(needs[name], now) for name, (_, limit) in self._limits.items())
        if wait > 0:
            self.refused += 1
            headers = (("retry-after-ms", f"{wait * 1000:.0f}"), *said(self._limits, now))
            return refusal(429, "requests", "rate_limit_exceeded", REFUSED, headers=headers).rewrite(acts, prompt)
        for name, (_, limit) in self._limits.items():
            limit.use(needs[name], now)
        self.used += needs["tokens"]
        self.taken_at.append((now, needs["tokens"]))
        return with_headers(acts, said(self._limits, now))


def with_headers(acts: Iterator[Act], headers: Headers) -> Iterator[Act]:
    """The acts, their head with more headers."""
    for act in acts:
        yield replace(act, headers=(*act.headers, *headers)) if isinstance(act, Head) else act


def said(limits: Mapping[str, tuple[float, Limit]], now: float) -> Headers:
    """What OpenAI says is left of each limit, by ``requests`` and ``tokens``: the most, and the limit itself."""
    return tuple(
        pair
        for name, (most, limit) in limits.items()
        for pair in (
            (f"x-ratelimit-limit-{name}", f"{most:.0f}"),
            (f"x-ratelimit-remaining-{name}", f"{int(limit.free(now))}"),
            (f"x-ratelimit-reset-{name}", duration(limit.full_in(now))),
        )
    )


def duration(seconds: float) -> str:
    if seconds < 1:
        return f"{int(seconds * 1000)}ms"
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes)}m{seconds:.3f}s" if minutes else f"{seconds:.3f}s"
