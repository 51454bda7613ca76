"""The response headers that tell a caller how it stands with its limits. Read next: docs/limits.md, what they mean.

In the words of OpenAI or Anthropic, as the client speaks, and in those of the IETF's draft on rate limit headers
(draft-ietf-httpapi-ratelimit-headers-11).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Final

from gateway.standing import Standing, Unit
from gateway.types import Dialect

__all__ = ["duration", "limits"]

Header = tuple[bytes, bytes]

#: What follows the quota in a policy: its unit, where that is not requests, and its window.
POLICY: Final[dict[Unit, str]] = {
    "requests": ";w=60",
    "tokens": ';qu="tokens";w=60',
    "concurrency": ';qu="concurrent-requests"',
}


def limits(standings: Sequence[Standing], dialect: Dialect, at: float) -> list[Header]:
    """The headers, for a request that came at Unix time ``at``."""
    if not standings:
        return []
    head = [
        (b"ratelimit-policy", ", ".join([_policy(s.scope, s.unit, s.limit) for s in standings]).encode()),
        (b"ratelimit", ", ".join([_available(s) for s in standings]).encode()),
    ]
    for standing in standings:
        if standing.unit != "concurrency":
            head += _as_openai(standing) if dialect == "openai" else _as_anthropic(standing, at)
    return head


@lru_cache(maxsize=4096)
def _policy(scope: str, unit: Unit, limit: int) -> str:
    return f'"{scope}-{unit}";q={limit}{POLICY[unit]}'


def _available(standing: Standing) -> str:
    """``t`` is how long no more than ``r`` can be used: until there is one more, which nobody knows of places."""
    told = f'"{standing.scope}-{standing.unit}";r={standing.remaining}'
    return told if standing.unit == "concurrency" else f"{told};t={ceil(standing.next_s)}"


def _as_openai(standing: Standing) -> Iterator[Header]:
    unit = standing.unit.encode()
    yield b"x-ratelimit-limit-" + unit, b"%d" % standing.limit
    yield b"x-ratelimit-remaining-" + unit, b"%d" % standing.remaining
    yield b"x-ratelimit-reset-" + unit, duration(standing.full_s).encode()


def _as_anthropic(standing: Standing, at: float) -> Iterator[Header]:
    name = b"anthropic-ratelimit-" + standing.unit.encode()
    reset = datetime.fromtimestamp(ceil(at + standing.full_s), UTC)
    yield name + b"-limit", b"%d" % standing.limit
    yield name + b"-remaining", b"%d" % standing.remaining
    yield name + b"-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def duration(seconds: float) -> str:
    """As OpenAI writes it: ``20ms``, ``1.5s``, ``6m0s``; rounded up to milliseconds."""
    ms = ceil(seconds * 1000 - 1e-6)
    if ms < 1000:
        return f"{ms}ms" if ms > 0 else "0s"
    minutes, rest = divmod(ms, 60_000)
    tail = f"{rest / 1000:g}s"
    if not minutes:
        return tail
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{tail}" if hours else f"{minutes}m{tail}"
