"""What a budget will come to: spending simulated day by day, and the forecast held against what came of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.forecast import Forecast, forecast
from gateway.budgets.period import span_of
from gateway.types import Period
from gateway.usage.sums import iso

DAY = 86_400.0
#: A Monday, 2026-11-02.
MONDAY = 20_759

Shape = Callable[[int], float]
SHAPES: Mapping[str, Shape] = {
    "flat": lambda day: 1.0,
    "weekdays": lambda day: 1.0 if (day + 3) % 7 < 5 else 0.15,
    "growing": lambda day: 1.02 ** (day - MONDAY),
    "one bad day": lambda day: 10.0 if iso(day).endswith("-17") else 1.0,
}


def errors(shape: Shape, per: Period, after: int, history: int, noise: float = 0.2) -> list[float]:
    """How wrong forecasts of 200 periods are, made when so many days of them have passed; sorted, as shares."""
    dice, found = random.Random(f"{per} {after}"), []
    for _ in range(200):
        span = span_of(per, (MONDAY + dice.randrange(365)) * DAY)
        begins, ends = int((span.begins_at or 0) // DAY), int((span.ends_at or 0) // DAY)
        days = {
            day: int(1e6 * shape(day) * math.exp(dice.gauss(0, noise) - noise * noise / 2))
            for day in range(begins - history, ends)
        }
        now, known = begins + after, {day: micros for day, micros in days.items() if day < begins + after}
        spent = sum(micros for day, micros in known.items() if day >= begins)
        total = sum(micros for day, micros in days.items() if day >= begins)
        foreseen = forecast(spent, 10**15, begins * DAY, ends * DAY, now * DAY, known)
        assert foreseen.at_end is not None
        found.append(abs(foreseen.at_end - total) / total)
    return sorted(found)


@pytest.mark.parametrize(
    ("shape", "per", "after", "history", "usual", "nine_in_ten"),
    [
        ("flat", "month", 1, 40, 0.08, 0.18),
        ("flat", "month", 7, 40, 0.07, 0.15),
        ("flat", "month", 21, 40, 0.04, 0.08),
        ("weekdays", "month", 1, 40, 0.09, 0.19),
        ("weekdays", "month", 7, 40, 0.08, 0.17),
        ("weekdays", "month", 21, 40, 0.05, 0.09),
        ("weekdays", "week", 3, 40, 0.09, 0.18),
        ("growing", "month", 7, 40, 0.27, 0.34),
        ("growing", "month", 21, 40, 0.10, 0.16),
        ("one bad day", "month", 21, 40, 0.12, 0.19),
        ("flat", "month", 3, 0, 0.11, 0.25),
        ("weekdays", "month", 3, 0, 0.35, 0.55),
        ("weekdays", "month", 7, 0, 0.08, 0.17),
    ],
)
def test_a_forecast_is_no_more_wrong_than_the_page_says(
    shape: str, per: Period, after: int, history: int, usual: float, nine_in_ten: float
) -> None:
    found = errors(SHAPES[shape], per, after, history)
    print(f"{shape}, {per}, day {after}, {history} days before: {median(found):.1%} / {found[180]:.1%}")
    assert median(found) < usual
    assert found[180] < nine_in_ten


def week(weekday: int, weekend: int, weeks: int = 1) -> dict[int, int]:
    """Full weeks before MONDAY."""
    return {MONDAY - 7 * weeks + n: weekday if n % 7 < 5 else weekend for n in range(7 * weeks)}


def test_with_a_week_behind_it_each_weekday_is_expected_to_be_as_the_last_one() -> None:
    began = MONDAY * DAY
    assert forecast(0, 10**9, began, began + 7 * DAY, began, week(1000, 100)) == Forecast(5200, None, "weekdays")
    assert forecast(0, 4500, began, began + 7 * DAY, began, week(1000, 100)) == Forecast(
        5200, began + 4.5 * DAY, "weekdays"
    )


def test_without_a_week_behind_it_the_own_pace_is_all() -> None:
    began, now = MONDAY * DAY, (MONDAY + 2) * DAY
    days = {MONDAY: 500, MONDAY + 1: 1500}
    assert forecast(2000, 5000, began, began + 7 * DAY, now, days) == Forecast(7000, began + 5 * DAY, "pace")
    assert forecast(0, 5000, began, began + 7 * DAY, began, {}) == Forecast(0, None, "pace")


def test_one_bad_day_is_not_expected_again_in_full() -> None:
    began = MONDAY * DAY
    days = {**week(1000, 1000), MONDAY - 3: 100_000}
    assert forecast(0, 10**9, began, began + 7 * DAY, began, days).at_end == 6 * 1000 + 3000
    only = dict.fromkeys(week(0, 0), 0) | {MONDAY - 3: 100_000}
    assert forecast(0, 10**9, began, began + 7 * DAY, began, only).at_end == 100_000


def test_what_is_spent_has_run_out_now_and_what_never_begins_anew_runs_out_or_not_within_a_year() -> None:
    now = MONDAY * DAY
    assert forecast(5, 5, now - DAY, now + DAY, now, {}).runs_out_at == now
    assert forecast(1000, 11_000, now - DAY, None, now, {}) == Forecast(None, now + 10 * DAY, "pace")
    assert forecast(1000, 10**9, now - DAY, None, now, {}) == Forecast(None, None, "pace")


def test_late_in_an_hour_or_a_day_its_own_pace_counts_for_more_than_the_week_before() -> None:
    began = MONDAY * DAY
    before = week(24_000, 24_000)
    assert forecast(0, 10**9, began, began + 3600, began, before).at_end == 1000
    # Three quarters of the hour at 4000 an hour, a quarter at what was usual.
    assert forecast(3000, 10**9, began, began + 3600, began + 2700, before).at_end == 3000 + 750 + 62


@given(
    spent=st.integers(0, 10**12),
    limit=st.integers(0, 10**12),
    passed=st.floats(0, 31 * DAY),
    days=st.dictionaries(st.integers(MONDAY - 40, MONDAY + 31), st.integers(0, 10**11), max_size=60),
)
def test_a_forecast_is_never_below_what_is_spent_and_runs_out_just_when_it_says_more_than_the_limit(
    spent: int, limit: int, passed: float, days: dict[int, int]
) -> None:
    began, ends = MONDAY * DAY, (MONDAY + 31) * DAY
    now = min(began + passed, ends)
    foreseen = forecast(spent, limit, began, ends, now, days)
    assert foreseen.at_end is not None
    assert foreseen.at_end >= spent
    if foreseen.runs_out_at is None:
        assert foreseen.at_end <= limit + 1
    else:
        assert foreseen.at_end >= limit - 1
        assert now <= foreseen.runs_out_at <= ends
