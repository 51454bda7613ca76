"""What a budget will have come to by the end of its period, and when it runs out. Read next: standing.py.

What is spent so far, and the remaining time at the pace of lately: for each day to come the same weekday of the last
seven days, blended with the period's own pace. A weekday's spending counts at most as three times the median of those
on which anything was spent: one bad day is not expected again each week. Without seven full days the own pace is all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final, Literal

from msgspec import Struct

__all__ = ["DAYS", "Forecast", "forecast"]

DAY_S: Final = 86_400
#: Full days that are looked back at.
DAYS: Final = 7
#: How much the weekdays count in periods of a week and longer, once a week has passed.
WEEKDAYS: Final = 0.75
#: A day counts at most as so many times the median.
CAP: Final = 3
#: How far it is looked ahead for a budget that never begins anew, in days.
AHEAD: Final = 400


class Forecast(Struct, frozen=True):
    """``at_end`` in micro-dollars, None where the period has no end; ``runs_out_at`` in Unix time, None if it does not.

    ``by`` is what the pace was read from: ``pace``, the period's own, or ``weekdays``, the last seven days as well.
    """

    at_end: int | None
    runs_out_at: float | None
    by: Literal["pace", "weekdays"]


def forecast(
    spent: int, limit: int, begins_at: float, ends_at: float | None, now: float, days: Mapping[int, int]
) -> Forecast:
    """``spent`` since ``begins_at``, of ``limit``, in micro-dollars; times are Unix times.

    ``days`` is what was spent on each day (its number since 1970, UTC); a day between the first of them and today
    that is not there is one on which nothing was.
    """
    week = _week(days, int(now // DAY_S))
    own = spent / max(1.0, now - begins_at)
    weight = _weight(begins_at, ends_at, now) if week else 0.0
    total, runs_out_at = float(spent), now if spent >= limit else None
    for at, until in _pieces(now, ends_at if ends_at is not None else now + AHEAD * DAY_S):
        pace = (1 - weight) * own + weight * (week[int(at // DAY_S) % 7] / DAY_S if week else 0.0)
        if runs_out_at is None and total + pace * (until - at) >= limit:
            runs_out_at = at + (limit - total) / pace
        total += pace * (until - at)
    return Forecast(round(total) if ends_at is not None else None, runs_out_at, "weekdays" if week else "pace")


def _week(days: Mapping[int, int], today: int) -> Sequence[float]:
    """What to expect of the days whose number is 0 to 6 modulo 7; empty when a week back is not known."""
    if not days or min(days) > today - DAYS:
        return ()
    last = {day: days.get(day, 0) for day in range(today - DAYS, today)}
    cap = CAP * median([micros for micros in last.values() if micros > 0] or [0])
    return [min(last[next(day for day in last if day % 7 == place)], cap) for place in range(7)]


def _weight(begins_at: float, ends_at: float | None, now: float) -> float:
    """How much the weekdays count against the own pace, which knows little at first.

    In hours and days it then knows more than they do: the hour of the day.
    """
    length, passed = ends_at - begins_at if ends_at is not None else AHEAD * DAY_S, now - begins_at
    if length < DAYS * DAY_S:
        return 1 - passed / length
    return max(WEEKDAYS, 1 - (1 - WEEKDAYS) * passed / (DAYS * DAY_S))


def _pieces(now: float, ends_at: float) -> Iterator[tuple[float, float]]:
    """The time from now to the end, cut at midnights."""
    while now < ends_at:
        until = min((now // DAY_S + 1) * DAY_S, ends_at)
        yield now, until
        now = until
