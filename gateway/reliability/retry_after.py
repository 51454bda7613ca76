"""How long a provider asked us to wait, in every form that is in use.

Read next: failures.py, which needs it to tell a rate from a quota.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["MAX_WAIT_S", "duration", "retry_after", "seconds_in"]

#: Longer waits are cut to this: nobody's request lives on a wait of minutes.
MAX_WAIT_S: Final = 60.0

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
SPOKEN: Final = re.compile(
    r"(?:try again in|retry after|retry in|wait)\s+(?:about\s+)?"
    r"(?:(?P<duration>(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+)(?![a-z])"
    r"|(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>milliseconds?|seconds?|minutes?|hours?|days?))",
    re.IGNORECASE,
)
WORDS: Final = {"mil": 0.001, "sec": 1.0, "min": 60.0, "hou": 3600.0, "day": 86400.0}


def duration(text: str) -> float | None:
    """Seconds of ``6m0s``, ``174ms``, ``34.4s`` or ``10h17m``; None for anything else."""
    if not DURATION.fullmatch(text):
        return None
    return round(math.fsum(float(number) * UNITS[unit] for number, unit in PART.findall(text)), 6)


def seconds_in(message: str) -> float | None:
    """The wait that a sentence speaks of, in seconds: “try again in 174ms”, “retry after 45 seconds”."""
    found = SPOKEN.search(message)
    if found is None:
        return None
    if found["duration"]:
        return duration(found["duration"].lower())
    return float(found["number"]) * WORDS[found["unit"][:3].lower()]


def retry_after(headers: Mapping[str, str], now_unix: float | None = None) -> float | None:
    """The wait that an answer's headers ask for, in seconds, not yet capped; None when they ask for none.

    ``headers`` have lower-case names. A date is measured from the answer's own ``date``, or else from ``now_unix``
    (seconds since 1970). What is negative, past or not a number counts as not said.
    """
    milliseconds = positive(headers.get("retry-after-ms"))
    if milliseconds:
        return milliseconds / 1000
    said = headers.get("retry-after", "").strip()
    seconds = positive(said)
    if seconds is None:
        seconds = duration(said)
    if seconds is None and said:
        seconds = until(said, headers.get("date"), now_unix)
    if seconds is None and milliseconds is not None:
        return milliseconds / 1000
    return exhausted(headers) if seconds is None else seconds


def positive(text: str | None) -> float | None:
    """A finite number that is not negative, or None."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def instant(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date or an RFC 3339 time; None when it is neither."""
    try:
        at = datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def until(text: str, date: str | None, now_unix: float | None) -> float | None:
    at = instant(text)
    now = instant(date) if date else None
    if now is None:
        now = now_unix
    if at is None or now is None:
        return None
    return at - now if at > now else None


def exhausted(headers: Mapping[str, str]) -> float | None:
    """The longest reset among the limits of which nothing remains (OpenAI's names, and Azure's older ones)."""
    waits = [
        wait
        for name, value in headers.items()
        if (limit := reset_of(name)) and headers.get(f"x-ratelimit-remaining-{limit}", "0").strip() == "0"
        if (wait := duration(value.strip()) or positive(value))
    ]
    return max(waits, default=None)


def reset_of(name: str) -> str | None:
    for prefix in ("x-ratelimit-reset-", "x-rate-limit-reset-"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return None
