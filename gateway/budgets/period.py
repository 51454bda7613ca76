"""When a budget begins anew: calendar periods in UTC. Read next: account.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from gateway.types import Period

__all__ = ["Span", "span_of"]

#: How long an account is kept after its period, in seconds: for whoever asks how the last one went. For end users there
#: may be very many: those of hours and days are kept for less.
KEPT_S: Final = 40 * 86_400
KEPT_PERIODS: Final = 2
KEPT_LEAST_S: Final = 2 * 86_400
#: What never begins anew is kept for as long as anybody uses it: so long after its last use.
TOTAL_KEPT_S: Final = 400 * 86_400


class Span(Struct, frozen=True):
    """One period: its name in accounts, and its beginning and end as Unix times; None where it has none."""

    name: str
    begins_at: float | None
    ends_at: float | None

    def has(self, wall: float) -> bool:
        """Whether this time (Unix) is in it."""
        return (self.begins_at or wall) <= wall < (self.ends_at or wall + 1)

    def keep_s(self, now: float) -> int:
        """For how many seconds from ``now`` on (Unix time) what is known of it is worth keeping."""
        if self.ends_at is None or self.begins_at is None:
            return TOTAL_KEPT_S
        kept = min(KEPT_S, max(KEPT_LEAST_S, KEPT_PERIODS * int(self.ends_at - self.begins_at)))
        return max(1, int(self.ends_at - now)) + kept


def span_of(per: Period, now: float) -> Span:
    """The period of this kind that ``now`` (Unix time) is in."""
    if per == "total":
        return Span("total", None, None)
    at = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    if per == "hour":
        return _span(f"{at:%Y-%m-%dT%H}", at, at + timedelta(hours=1))
    day = at.replace(hour=0)
    if per == "day":
        return _span(f"{day:%Y-%m-%d}", day, day + timedelta(days=1))
    if per == "week":
        monday = day - timedelta(days=day.weekday())
        return _span(f"{monday:%G-W%V}", monday, monday + timedelta(days=7))
    first = day.replace(day=1)
    if per == "month":
        return _span(f"{first:%Y-%m}", first, (first + timedelta(days=31)).replace(day=1))
    january = first.replace(month=1)
    return _span(f"{january:%Y}", january, january.replace(year=january.year + 1))


def _span(name: str, begins: datetime, ends: datetime) -> Span:
    return Span(name, begins.timestamp(), ends.timestamp())
