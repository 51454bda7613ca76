"""A story closes into the exchange that it was, with times in whole microseconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from gateway.errors import Failure, GatewayError, RateLimited, Unavailable
from gateway.money import cost, usd
from gateway.reliability.failures import to_client
from gateway.story import Story, micros
from gateway.types import Attempt, Price, Usage
from tests.make import deployment, world

A, B = deployment("a"), deployment("b")
FAILED = Attempt(1, "a", "acme", "a", 0.1, 0.2, failure=Failure("overloaded", "down"))
SERVED = Attempt(2, "b", "acme", "b", 0.2, 0.9, usage=Usage(10, 5), cost=15)


def story(**known: object) -> Story:
    return Story(**{"id": "1" * 32, "at": 1000.0, "received_at": 50.0, "world": world(A, B), **known})  # type: ignore[arg-type]


@given(st.floats(0, 4e9))
def test_no_time_moves_by_more_than_a_microsecond_and_none_has_more_than_six_decimals(seconds: float) -> None:
    assert abs(micros(seconds) - seconds) <= 1e-6
    assert len(encode(micros(seconds)).partition(b".")[2]) <= 6


def test_overhead_is_the_time_before_the_first_try_and_after_the_answer() -> None:
    assert story(tried_at=50.25, answered_at=60.0, delivered_at=60.5).overhead_s(99.0) == 0.75
    assert story(tried_at=50.25).overhead_s(99.0) == 0.25
    assert story().overhead_s(50.5) == 0.5


def test_the_reason_names_the_failure_that_led_elsewhere() -> None:
    assert story(attempts=[FAILED, SERVED], serving=B, decision=None).reason() == "default"


def test_every_end_has_one_outcome() -> None:
    ends = {
        "ok": story(status=200),
        "fallback_ok": story(status=200, attempts=[FAILED, SERVED]),
        "cancelled": story(status=499, cancelled=True),
        "timeout": story(status=200, broken=Failure("stall", "silent")),
        "upstream_error": story(status=200, broken=Failure("truncated", "cut")),
        "rate_limited": story(status=429, error=RateLimited("slow down")),
        "shed": story(status=503, error=Unavailable("full")),
        "client_error": story(status=404, error=GatewayError("no")),
        "gateway_error": story(status=500, error=GatewayError("ours")),
    }
    assert {name: end.outcome() for name, end in ends.items()} == {name: name for name in ends}
    spent = story(status=502, error=to_client(Failure("garbage", "spent")), attempts=[FAILED])
    assert spent.outcome() == "upstream_error"
    assert story(status=500, error=GatewayError("a defect"), attempts=[FAILED]).outcome() == "gateway_error"


def test_the_cost_is_the_sum_of_all_attempts_and_unknown_as_soon_as_one_is() -> None:
    assert story(attempts=[FAILED, SERVED]).cost() == 15
    unpriced = Attempt(3, "b", "acme", "b", 0.2, 0.9, usage=Usage(1, 1))
    assert story(attempts=[SERVED, unpriced]).cost() is None


def test_the_baseline_is_of_an_answer_that_came_and_of_nothing_else() -> None:
    usage = Usage(10, 5)
    assert story(reference=A, usage=usage, delivered_at=60.0).baseline() == 15
    assert story(reference=A, usage=usage).baseline() is None
    assert story(reference=A, usage=usage, delivered_at=60.0, stale_s=5.0).baseline() is None
    assert story(reference=A, delivered_at=60.0).baseline() is None
    assert story(usage=usage, delivered_at=60.0).baseline() is None
    assert story(reference=deployment("c", price=None), usage=usage, delivered_at=60.0).baseline() is None


def test_money_is_rounded_up_to_the_micro_dollar_and_cached_tokens_have_their_price() -> None:
    price = Price(input=150_000, output=600_000, cached_input=75_000)
    assert cost(price, Usage(input=1, output=0)) == 1
    assert cost(price, Usage(input=1_000_000, output=1_000_000, cached_input=400_000)) == 90_000 + 30_000 + 600_000
    assert (cost(None, Usage(1, 1)), cost(price, None)) == (None, None)
    assert (usd(0), usd(1_234), usd(12_000_000)) == ("0.000000", "0.001234", "12.000000")
