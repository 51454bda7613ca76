"""What an answer costs, to the micro-dollar."""

from __future__ import annotations

import pytest

from gateway.money import cost
from gateway.types import Price, Usage

PLAIN = Price(input=1_000_000, output=10_000_000)
WITH_CACHE = Price(input=1_000_000, output=10_000_000, cached_input=100_000, cache_write=300_000)
BY_HOUR = Price(input=1_000_000, output=0, cached_input=100_000, cache_write=1_250_000, cache_write_1h=2_000_000)


@pytest.mark.parametrize(
    ("price", "usage", "micros"),
    [
        (PLAIN, Usage(100, 10), 200),
        (PLAIN, Usage(100, 10, cached_input=80), 200),
        (PLAIN, Usage(100, 10, cached_input=80, cache_write=80), 200),
        (WITH_CACHE, Usage(100, 10, cached_input=80), 128),
        (WITH_CACHE, Usage(100, 10, cached_input=50, cache_write=50), 120),
        (WITH_CACHE, Usage(100, 10, cached_input=80, cache_write=80), 132),
        (WITH_CACHE, Usage(100, 10, cache_write=100, cache_write_1h=100), 130),
        (BY_HOUR, Usage(100, 10, cache_write=80, cache_write_1h=40), 20 + 50 + 80),
        (BY_HOUR, Usage(100, 10, cache_write=40, cache_write_1h=80), 60 + 80),
        (Price(input=1, output=0), Usage(1, 0), 1),
    ],
)
def test_a_token_is_charged_once_as_input_and_the_sum_is_rounded_up(price: Price, usage: Usage, micros: int) -> None:
    assert cost(price, usage) == micros


def test_an_unknown_price_or_usage_is_an_unknown_cost() -> None:
    assert (cost(None, Usage(1, 1)), cost(PLAIN, None)) == (None, None)
