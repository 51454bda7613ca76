"""How a caller's standing is told: in OpenAI's words, in Anthropic's, and in those of the IETF's draft."""

from __future__ import annotations

import pytest

from gateway.api.limits import duration, limits
from gateway.standing import Standing

STANDINGS = (
    Standing("team", "requests", 600, 599, 0.1, 0.1),
    Standing("key", "tokens", 40_000, 1_234, 58.149, 0.0015),
    Standing("user", "concurrency", 5, 4),
)
#: 2026-01-02T03:04:05Z
AT = 1_767_323_045.25


def test_an_openai_client_reads_requests_and_tokens() -> None:
    assert dict(limits(STANDINGS, "openai", AT)) == {
        b"ratelimit-policy": b'"team-requests";q=600;w=60, "key-tokens";q=40000;qu="tokens";w=60, '
        b'"user-concurrency";q=5;qu="concurrent-requests"',
        b"ratelimit": b'"team-requests";r=599;t=1, "key-tokens";r=1234;t=1, "user-concurrency";r=4',
        b"x-ratelimit-limit-requests": b"600",
        b"x-ratelimit-remaining-requests": b"599",
        b"x-ratelimit-reset-requests": b"100ms",
        b"x-ratelimit-limit-tokens": b"40000",
        b"x-ratelimit-remaining-tokens": b"1234",
        b"x-ratelimit-reset-tokens": b"58.149s",
    }


def test_an_anthropic_client_reads_when_they_are_full_again() -> None:
    told = dict(limits(STANDINGS, "anthropic", AT))
    assert {name: value for name, value in told.items() if name.startswith(b"anthropic")} == {
        b"anthropic-ratelimit-requests-limit": b"600",
        b"anthropic-ratelimit-requests-remaining": b"599",
        b"anthropic-ratelimit-requests-reset": b"2026-01-02T03:04:06Z",
        b"anthropic-ratelimit-tokens-limit": b"40000",
        b"anthropic-ratelimit-tokens-remaining": b"1234",
        b"anthropic-ratelimit-tokens-reset": b"2026-01-02T03:05:04Z",
    }
    assert not any(name.startswith(b"x-ratelimit") for name in told)


def test_who_has_no_limits_is_told_nothing() -> None:
    assert limits((), "openai", AT) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0s"),
        (0.0004, "1ms"),
        (0.02, "20ms"),
        (0.9999, "1s"),
        (1.5, "1.5s"),
        (59.9999, "1m0s"),
        (360.0, "6m0s"),
        (432.25, "7m12.25s"),
        (3600.0, "1h0m0s"),
        (100.001, "1m40.001s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
