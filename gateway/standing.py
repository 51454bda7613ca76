"""How a caller stands with one of its limits: what its answers tell. Read next: limits/limiter.py, which says it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Standing", "Unit"]

#: What is limited: so many a minute of the first two, so many at once of the last.
Unit = Literal["requests", "tokens", "concurrency"]


class Standing(Struct, frozen=True):
    """``remaining`` of ``limit`` may be asked for now by the organisation, team, key or user that ``scope`` names.

    ``full_s``: seconds until nothing of it is used, if nobody asks; ``next_s``: until there is more than now.
    """

    scope: str
    unit: Unit
    limit: int
    remaining: int
    full_s: float = 0.0
    next_s: float = 0.0
