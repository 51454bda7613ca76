"""What a provider's answer says is left of its rate limits. Read next: told.py, which keeps it while time goes on.

Every name in use stands in one table, made once: an answer costs one look-up a header, and little more where it
says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from gateway.reliability.retry_after import duration, instant, positive

__all__ = ["Dimension", "Remaining", "read_remaining"]

Dimension = Literal["requests", "tokens", "input_tokens", "output_tokens"]


class Remaining(Struct, frozen=True):
    """What is left of one limit.

    ``reset_s`` is the seconds until all of it is there again, as of the answer; where the provider tells only how
    long its window is, that. None when it says neither. ``scope`` tells several limits of one dimension apart:
    ``minute``, ``day``, ``project``; empty for the plain one.
    """

    dimension: Dimension
    remaining: int
    limit: int | None = None
    reset_s: float | None = None
    scope: str = ""


#: What each provider calls what it limits. Fireworks counts the prompt and what is generated apart.
WORDS: Final[Mapping[str, tuple[Dimension, str]]] = {
    "requests": ("requests", ""),
    "req": ("requests", ""),
    "tokens": ("tokens", ""),
    "input-tokens": ("input_tokens", ""),
    "output-tokens": ("output_tokens", ""),
    "tokens-prompt": ("input_tokens", ""),
    "tokens-generated": ("output_tokens", ""),
    "project-requests": ("requests", "project"),
    "project-tokens": ("tokens", "project"),
    "tokens-usage-based": ("tokens", "usage-based"),
    "tokens_usage_based": ("tokens", "usage-based"),
}
#: Windows that a name ends in, in seconds. Mistral and Cerebras name them in words, others in figures.
WINDOWS: Final = {
    "second": 1.0,
    "10-second": 10.0,
    "minute": 60.0,
    "1m": 60.0,
    "hour": 3600.0,
    "1h": 3600.0,
    "day": 86400.0,
    "1d": 86400.0,
    "month": 30 * 86400.0,
}
#: The parts of a limit, by their place in its group of four positions.
PARTS: Final = {"remaining": 0, "limit": 1, "reset": 2, "renewalperiod": 3}
LIMIT, RESET, PERIOD = 1, 2, 3

#: A limit: its dimension, its scope, and the seconds of its window where the name tells them.
Slot = tuple[Dimension, str, float | None]
#: Above this a plain number is a time since 1970, and above a thousand times this one in milliseconds.
EPOCH: Final = 1e9
#: More characters than any duration or time has.
MAX_DURATION: Final = 32
MAX_TIME: Final = 64
#: More digits than any limit has; int() takes its time over thousands of them.
MAX_DIGITS: Final = 18


def names() -> Iterator[tuple[str, Slot, int]]:
    """Every header name in use, the limit it speaks of, and which part of it."""
    for part, place in PARTS.items():
        for word, (dimension, scope) in WORDS.items():
            slot = (dimension, scope, None)
            yield f"x-ratelimit-{part}-{word}", slot, place
            yield f"x-rate-limit-{part}-{word}", slot, place
            yield f"anthropic-ratelimit-{word}-{part}", slot, place
            for window, seconds in WINDOWS.items():
                yield f"x-ratelimit-{part}-{word}-{window}", (dimension, window, seconds), place
        for prefix in ("x-ratelimit", "x-rate-limit", "ratelimit"):
            yield f"{prefix}-{part}", ("requests", "", None), place
        yield f"x-tokenlimit-{part}", ("tokens", "", None), place


SLOTS: Final[Sequence[Slot]] = tuple(dict.fromkeys(slot for _, slot, _ in names()))
#: Four positions a slot, one a part: a limit is found by arithmetic, not by hashing its slot.
TABLE: Final[Mapping[bytes, int]] = {name.encode(): 4 * SLOTS.index(slot) + place for name, slot, place in names()}


def read_remaining(headers: Sequence[tuple[bytes, bytes]], *, now_unix: float | None = None) -> tuple[Remaining, ...]:
    """What the headers of an answer (names in lower case) say is left, in the order in which they say it.

    A reset that is a time is measured from the answer's own ``date``, or else from ``now_unix`` (seconds since
    1970). What is negative or not a number counts as not said; nothing is raised.
    """
    found: dict[int, bytes] = {}
    for name, value in headers:
        if name in TABLE:
            found[TABLE[name]] = value
    if not found:
        return ()
    now: float | None = None
    said = []
    for position, value in found.items():
        if position & 3 == 0 and (remaining := whole(value)) is not None:
            dimension, scope, window = SLOTS[position >> 2]
            limit = whole(found.get(position + LIMIT, b""))
            reset_s = seconds_of(found.get(position + RESET, b""))
            if not reset_s:
                # Azure's reset is 0 whatever is left: how long its period is says more.
                reset_s = window or number(found.get(position + PERIOD, b"")) or reset_s
            elif reset_s >= EPOCH:
                now = date_of(headers, now_unix) if now is None else now
                reset_s = None if now is None else max(0.0, reset_s - now)
            said.append(Remaining(dimension, remaining, limit, reset_s, scope))
    return tuple(said)


def whole(value: bytes) -> int | None:
    """A count that is not negative, or None."""
    if value.isdigit() and len(value) <= MAX_DIGITS:
        return int(value)
    plain = number(value) if 0 < len(value) <= MAX_DIGITS else None
    return None if plain is None else int(plain)


def number(value: bytes) -> float | None:
    return positive(value.decode("latin-1").strip()) if value else None


def seconds_of(reset: bytes) -> float | None:
    """Seconds of ``0``, ``0.5``, ``17ms``, ``1.182s`` or ``6m0s``; since 1970, if it is a time; None for neither."""
    if reset[-1:] != b"s":
        return time_of(reset) if reset else None
    try:
        plain = int(reset[:-2]) / 1000 if reset[-2:-1] == b"m" and len(reset) <= MAX_DIGITS else float(reset[:-1])
    except ValueError:
        return duration(reset[:MAX_DURATION].decode("latin-1"))
    return plain if 0 <= plain < EPOCH else None


def date_of(headers: Sequence[tuple[bytes, bytes]], now_unix: float | None) -> float | None:
    for name, value in headers:
        if name == b"date" and (date := time_of(value)) is not None:
            return date
    return now_unix


# An answer has several resets in the same second, and the answers of that second have the same date.
@lru_cache(maxsize=256)
def time_of(value: bytes) -> float | None:
    """A number; else seconds since 1970 of a time, of which a number may be the milliseconds."""
    if len(value) > MAX_TIME:
        return None
    plain = number(value)
    if plain is None:
        text = value.decode("latin-1").strip()
        return duration(text) if (found := instant(text)) is None else found
    return plain / 1000 if plain >= 1000 * EPOCH else plain
