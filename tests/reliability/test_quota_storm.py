"""Half as much again as a quota allows, five minutes long: next to nothing is refused, next to nothing is left over.

Read next: storm.py, which plays it. The bounds are R15's where a provider refills like a bucket (OpenAI, Anthropic,
Groq, Cerebras); what strict windows cost is held as it was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import pytest

from gateway.testing.limits import FixedWindow, Limit, SlidingWindow, TokenBucket
from tests.reliability.storm import Provider, Result, Storm

SMALL, MEDIUM, LARGE = (20, 60), (84, 250), (300, 500)
SEEDS = range(6)


def storms(
    limit: Callable[[float], Limit],
    *,
    headers: bool = True,
    configured: bool = True,
    replicas: int = 2,
    tokens: tuple[int, int] = MEDIUM,
) -> list[Result]:
    per_minute = 1.5 * min(60, 20_000 / sum(tokens))
    return [
        Storm(
            Provider(limit, headers=headers),
            configured=configured,
            replicas=replicas,
            tokens=tokens,
            per_minute=per_minute,
            seed=seed,
        ).run()
        for seed in SEEDS
    ]


@pytest.mark.parametrize("tokens", [SMALL, MEDIUM, LARGE], ids=["requests", "both", "tokens"])
@pytest.mark.parametrize(
    ("configured", "headers"), [(True, True), (True, False), (False, True)], ids=["both", "configured", "told"]
)
def test_a_provider_that_refills_refuses_nothing_and_its_quota_is_used(
    tokens: tuple[int, int], configured: bool, headers: bool
) -> None:
    results = storms(TokenBucket, configured=configured, headers=headers, tokens=tokens)
    assert max(result.refused for result in results) <= 0.01
    assert fmean(result.used for result in results) >= 0.95


def test_four_replicas_do_no_worse_than_two() -> None:
    results = storms(TokenBucket, replicas=4)
    assert max(result.refused for result in results) <= 0.01
    assert fmean(result.used for result in results) >= 0.95


def test_a_provider_that_starts_each_minute_afresh_refuses_less_than_one_in_a_hundred() -> None:
    for configured in (True, False):
        results = storms(FixedWindow, configured=configured)
        assert fmean(result.refused for result in results) <= 0.01
        assert fmean(result.used for result in results) >= 0.95


def test_the_strictest_window_there_could_be_refuses_one_in_fifty() -> None:
    for configured in (True, False):
        results = storms(SlidingWindow, configured=configured)
        assert fmean(result.refused for result in results) <= 0.02
        assert fmean(result.used for result in results) >= 0.93


def test_without_any_of_it_one_in_eight_is_refused() -> None:
    """The storm is one: nobody who listens to nothing comes through it."""
    results = storms(TokenBucket, configured=False, headers=False)
    assert min(result.refused for result in results) > 0.12
