"""What answers say is left, in the form of every provider that says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reliability.remaining import TABLE, Remaining, read_remaining
from tests import recordings

DATE = "Fri, 04 Sep 2026 10:00:00 GMT"
NOON_UNIX = 1_788_523_200.0


def read(*, at_unix: float | None = None, **named: str) -> tuple[Remaining, ...]:
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    return read_remaining(headers, now_unix=at_unix)


FORMS: dict[str, tuple[dict[str, str], tuple[Remaining, ...]]] = {
    "openai": (
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-remaining-requests": "4990",
            "x-ratelimit-reset-requests": "120ms",
            "x-ratelimit-limit-tokens": "800000",
            "x-ratelimit-remaining-tokens": "13",
            "x-ratelimit-reset-tokens": "1m0.36s",
        },
        (Remaining("requests", 4990, 5000, 0.12), Remaining("tokens", 13, 800000, 60.36)),
    ),
    "openai, a long wait": (
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"},
        (Remaining("requests", 0, None, 360.0),),
    ),
    "openai, a project": (
        {
            "x-ratelimit-limit-project-tokens": "900",
            "x-ratelimit-remaining-project-tokens": "800",
            "x-ratelimit-reset-project-tokens": "7ms",
            "x-ratelimit-limit-input-images": "50",
            "x-ratelimit-remaining-input-images": "49",
        },
        (Remaining("tokens", 800, 900, 0.007, "project"),),
    ),
    "openai, counted by use": (
        {"x-ratelimit-remaining-tokens_usage_based": "70", "x-ratelimit-limit-tokens_usage_based": "90"},
        (Remaining("tokens", 70, 90, None, "usage-based"),),
    ),
    "azure": (
        {
            "x-ratelimit-key": "a-deployment",
            "x-ratelimit-limit-tokens": "60000",
            "x-ratelimit-remaining-tokens": "30000",
            "x-ratelimit-renewalperiod-tokens": "60",
            "x-ratelimit-reset-tokens": "0",
            "x-ratelimit-abusepenalty-active": "False",
        },
        (Remaining("tokens", 30000, 60000, 60.0),),
    ),
    "azure, plain seconds": (
        {"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "41"},
        (Remaining("requests", 9, None, 41.0),),
    ),
    "azure, older names": (
        {"x-rate-limit-remaining-tokens": "0", "x-rate-limit-reset-tokens": "55"},
        (Remaining("tokens", 0, None, 55.0),),
    ),
    "azure, nonsense": (
        {"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"},
        (),
    ),
    "anthropic": (
        {
            "date": DATE,
            "anthropic-ratelimit-requests-limit": "60",
            "anthropic-ratelimit-requests-remaining": "58",
            "anthropic-ratelimit-requests-reset": "2026-09-04T10:00:02Z",
            "anthropic-ratelimit-input-tokens-limit": "40000",
            "anthropic-ratelimit-input-tokens-remaining": "20000",
            "anthropic-ratelimit-input-tokens-reset": "2026-09-04T10:00:30+00:00",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2026-09-04T09:59:59Z",
        },
        (
            Remaining("requests", 58, 60, 2.0),
            Remaining("input_tokens", 20000, 40000, 30.0),
            Remaining("output_tokens", 8000, 8000, 0.0),
        ),
    ),
    "mistral": (
        {
            "x-ratelimit-limit-req-minute": "30",
            "x-ratelimit-remaining-req-minute": "29",
            "x-ratelimit-limit-req-10-second": "5",
            "x-ratelimit-remaining-req-10-second": "4",
            "x-ratelimit-remaining-tokens-month": "999",
            "x-ratelimit-tokens-query-cost": "12",
            "x-ratelimit-remaining-ocr-pages-minute": "3",
        },
        (
            Remaining("requests", 29, 30, 60.0, "minute"),
            Remaining("requests", 4, 5, 10.0, "10-second"),
            Remaining("tokens", 999, None, 2_592_000.0, "month"),
        ),
    ),
    "groq": (
        {"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "2m59.56s"},
        (Remaining("requests", 7, None, 179.56),),
    ),
    "cerebras": (
        {
            "x-ratelimit-limit-requests-day": "14400",
            "x-ratelimit-remaining-requests-day": "14399",
            "x-ratelimit-reset-requests-day": "33011.38",
            "x-ratelimit-limit-tokens-minute": "64000",
            "x-ratelimit-remaining-tokens-minute": "63000",
            "x-ratelimit-reset-tokens-minute": "11.38",
        },
        (
            Remaining("requests", 14399, 14400, 33011.38, "day"),
            Remaining("tokens", 63000, 64000, 11.38, "minute"),
        ),
    ),
    "xai": (
        {"x-ratelimit-limit-requests": "480", "x-ratelimit-remaining-requests": "479"},
        (Remaining("requests", 479, 480),),
    ),
    "fireworks": (
        {"x-ratelimit-remaining-tokens-prompt": "60", "x-ratelimit-remaining-tokens-generated": "6"},
        (Remaining("input_tokens", 60), Remaining("output_tokens", 6)),
    ),
    "together": (
        {
            "x-ratelimit-limit": "10",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1",
            "x-tokenlimit-limit": "3000",
            "x-tokenlimit-remaining": "2999",
        },
        (Remaining("requests", 0, 10, 1.0), Remaining("tokens", 2999, 3000)),
    ),
    "openrouter": (
        {"date": DATE, "x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1788516012500"},
        (Remaining("requests", 0, 20, 12.5),),
    ),
    "replicate": (
        {"ratelimit-remaining": "595", "ratelimit-reset": "1"},
        (Remaining("requests", 595, None, 1.0),),
    ),
}


@pytest.mark.parametrize(("headers", "said"), FORMS.values(), ids=FORMS.keys())
def test_the_form_of_each_provider(headers: dict[str, str], said: tuple[Remaining, ...]) -> None:
    assert read_remaining([(name.encode(), value.encode()) for name, value in headers.items()]) == said


def test_a_time_is_measured_from_the_answers_own_date_before_any_clock() -> None:
    left, reset = "1", "2026-09-04T10:00:09Z"
    before = NOON_UNIX - 7195
    assert read(x_ratelimit_remaining=left, x_ratelimit_reset=reset) == (Remaining("requests", 1),)
    assert read(at_unix=before, x_ratelimit_remaining=left, x_ratelimit_reset=reset) == (
        Remaining("requests", 1, None, 4.0),
    )
    assert read(at_unix=before, date=DATE, x_ratelimit_remaining=left, x_ratelimit_reset=reset) == (
        Remaining("requests", 1, None, 9.0),
    )
    assert read(at_unix=before, date="yesterday", x_ratelimit_remaining=left, x_ratelimit_reset=reset) == (
        Remaining("requests", 1, None, 4.0),
    )


@pytest.mark.parametrize("value", ["", "-5", "-5ms", "-1s", "many", "nan", "inf", "infs", "9" * 5000, "ms", "s", "1e"])
def test_nonsense_is_not_said(value: str) -> None:
    assert read(x_ratelimit_remaining_tokens=value) == ()
    assert read(x_ratelimit_remaining_tokens="5", x_ratelimit_reset_tokens=value) == (Remaining("tokens", 5),)
    assert read(x_ratelimit_remaining_tokens="5", x_ratelimit_limit_tokens=value) == (Remaining("tokens", 5),)


def test_an_answer_that_says_nothing_of_it_gives_nothing() -> None:
    assert read(date=DATE, content_type="text/plain", retry_after="13", x_ratelimit_limit_requests="5") == ()


@given(
    st.lists(st.tuples(st.sampled_from([*TABLE, b"date"]), st.binary(max_size=40) | st.sampled_from([b"5", b"9s"]))),
    st.none() | st.floats(),
)
def test_whatever_is_said_nothing_is_raised_and_nothing_is_negative(
    headers: list[tuple[bytes, bytes]], now_unix: float | None
) -> None:
    for left in read_remaining(headers, now_unix=now_unix):
        assert left.remaining >= 0
        assert left.limit is None or left.limit >= 0
        assert left.reset_s is None or left.reset_s >= 0


#: What is left of things that no chat request uses.
ELSEWHERE = {
    b"x-ratelimit-remaining-ocr-pages-minute",
    b"x-ratelimit-remaining-audio-seconds-minute",
    b"x-ratelimit-remaining-input-images",
}


def test_every_recorded_answer_is_read(record_property: Callable[[str, object], None]) -> None:
    by_count: Counter[int] = Counter()
    by_provider: Counter[str] = Counter()
    for recorded in recordings.load(api=None):
        marked = any(b"remaining" in name and name not in ELSEWHERE for name, _ in recorded.headers)
        found = read_remaining(recorded.headers)
        by_count[len(found)] += 1
        if found:
            by_provider[recorded.provider] += 1
        assert bool(found) == marked, f"{recorded.id}: {found} of {dict(recorded.headers)}"
    record_property("answers by the number of limits they speak of", dict(sorted(by_count.items())))
    print(f"answers by how many limits they speak of: {dict(sorted(by_count.items()))}; of {dict(by_provider)}")
    assert by_count.total() > 1000
