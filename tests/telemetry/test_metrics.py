"""What a scrape says after what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import Failure
from gateway.telemetry.catalogue import CATALOGUE, Metric, document
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.slots import Family, Number
from gateway.types import Exchange, Plan, Try
from tests.telemetry.exchanges import DECISION, FAILED, SERVED, USAGE, exchange, plain

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
OPERATION = 'gen_ai_operation_name="chat"'


def scraped(metrics: Metrics, *names: str) -> dict[str, float]:
    """Samples of these metrics, by name and labels as written, without buckets."""
    wanted = tuple(names)
    lines = (line for line in metrics.render().decode().splitlines() if line.startswith(wanted))
    return {key: float(value) for key, value in (line.rsplit(" ", 1) for line in lines) if "_bucket" not in key}


def told(*exchanges: Exchange) -> Metrics:
    metrics = Metrics("0.1.0")
    metrics.know({"auto", "gpt"})
    for one in exchanges:
        metrics(one, b"")
    return metrics


def test_a_request_is_counted_by_route_model_outcome_and_stream() -> None:
    metrics = told(plain(), plain(), plain(model="gpt", stream=False))
    assert scraped(metrics, "gateway_requests_total", "gateway_request_duration_seconds_count") == {
        'gateway_requests_total{model="auto",outcome="ok",route="agents",stream="true"}': 2,
        'gateway_requests_total{model="gpt",outcome="ok",route="agents",stream="false"}': 1,
        'gateway_request_duration_seconds_count{outcome="ok",route="agents"}': 3,
    }


def test_requests_of_which_something_was_left_out_are_counted_by_who_served() -> None:
    metrics = told(plain(), plain(dropped=("seed", "user")), plain(dropped=("seed",)))
    assert scraped(metrics, "gateway_dropped_total") == {
        f'gateway_dropped_total{{target="{plain().deployment}"}}': 2,
    }


def test_names_that_clients_make_up_share_one_series() -> None:
    metrics = told(*(plain(model=f"made-up-{n}") for n in range(50)), plain(model=None))
    assert scraped(metrics, "gateway_requests_total") == {
        'gateway_requests_total{model="unknown",outcome="ok",route="agents",stream="true"}': 51
    }


def test_a_name_that_a_new_configuration_brings_is_told_apart_from_then_on() -> None:
    metrics = told(plain(model="new"))
    metrics.know({"new"})
    metrics.observe(plain(model="new"))
    assert scraped(metrics, "gateway_requests_total") == {
        'gateway_requests_total{model="unknown",outcome="ok",route="agents",stream="true"}': 1,
        'gateway_requests_total{model="new",outcome="ok",route="agents",stream="true"}': 1,
    }


def test_attempts_and_failovers_are_counted_by_deployment_and_result() -> None:
    again = exchange(attempts=(FAILED, FAILED, SERVED, replace(FAILED, failure=None, cancelled=True)))
    assert scraped(told(again), "gateway_attempts_total", "gateway_failovers_total") == {
        'gateway_attempts_total{result="overloaded",target="sonnet"}': 2,
        'gateway_attempts_total{result="ok",target="gpt"}': 1,
        'gateway_attempts_total{result="cancelled",target="sonnet"}': 1,
        'gateway_failovers_total{from_target="sonnet",to_target="gpt"}': 1,
        'gateway_failovers_total{from_target="gpt",to_target="sonnet"}': 1,
    }


def test_tokens_and_dollars_of_every_attempt_are_counted() -> None:
    wasted = replace(FAILED, usage=replace(USAGE, output=1, reasoning=0, cache_write=7), cost=90)
    assert scraped(told(exchange(attempts=(wasted, SERVED)), plain()), "gateway_tokens", "gateway_cost") == {
        'gateway_tokens_total{target="sonnet",type="input"}': 1200,
        'gateway_tokens_total{target="sonnet",type="output"}': 1,
        'gateway_tokens_total{target="sonnet",type="cached_input"}': 1024,
        'gateway_tokens_total{target="sonnet",type="cache_write"}': 7,
        'gateway_tokens_total{target="sonnet",type="reasoning"}': 0,
        'gateway_tokens_total{target="gpt",type="input"}': 2400,
        'gateway_tokens_total{target="gpt",type="output"}': 680,
        'gateway_tokens_total{target="gpt",type="cached_input"}': 2048,
        'gateway_tokens_total{target="gpt",type="cache_write"}': 0,
        'gateway_tokens_total{target="gpt",type="reasoning"}': 128,
        'gateway_cost_usd_total{route="agents",target="sonnet"}': 0.00009,
        'gateway_cost_usd_total{route="agents",target="gpt"}': 0.01042,
    }


def test_the_baseline_counts_where_the_cost_is_known_and_attempts_without_a_price_are_counted() -> None:
    unpriced = plain(attempts=(replace(SERVED, cost=None),), cost=None, baseline=9_000)
    metrics = told(plain(baseline=20_000), plain(baseline=5), plain(), unpriced)
    assert scraped(metrics, "gateway_cost_baseline", "gateway_unpriced") == {
        'gateway_cost_baseline_usd_total{route="agents"}': 0.020005,
        'gateway_unpriced_attempts_total{target="gpt"}': 1,
    }


def test_sound_and_pictures_are_counted_where_there_are_any() -> None:
    heard = replace(SERVED, usage=replace(USAGE, audio_input=9, image_output=4))
    assert scraped(told(plain(attempts=(heard,))), "gateway_tokens_total").items() >= {
        ('gateway_tokens_total{target="gpt",type="audio_input"}', 9),
        ('gateway_tokens_total{target="gpt",type="image_output"}', 4),
    }


def test_a_decision_is_counted_with_its_intent_and_first_choice() -> None:
    metrics = told(exchange(), exchange(signals=()), exchange(decision=None, attempts=()))
    assert scraped(metrics, "gateway_routing_decisions_total") == {
        'gateway_routing_decisions_total{intent="tool_use",reason="cost_optimal",route="agents",strategy="cost",target="sonnet"}': 1,  # noqa: E501
        'gateway_routing_decisions_total{intent="none",reason="cost_optimal",route="agents",strategy="cost",target="sonnet"}': 1,  # noqa: E501
    }


def test_a_request_refused_before_routing_has_route_none() -> None:
    refused = Exchange("x", 1.0, "chat", "anonymous", "client_error", 400, 0.001, 0.001)
    assert scraped(told(refused), "gateway_requests_total") == {
        'gateway_requests_total{model="unknown",outcome="client_error",route="none",stream="false"}': 1
    }


def test_a_client_that_left_is_counted_by_how_far_it_got() -> None:
    left = exchange(outcome="cancelled", status=499)
    metrics = told(left, replace(left, ttft_s=None), replace(left, ttft_s=None), plain())
    assert scraped(metrics, "gateway_client_disconnects_total") == {
        'gateway_client_disconnects_total{phase="streaming"}': 1,
        'gateway_client_disconnects_total{phase="waiting"}': 2,
    }


def test_first_token_times_are_those_of_streams() -> None:
    assert scraped(told(plain(), plain(stream=False)), "gateway_ttft_seconds") == {
        'gateway_ttft_seconds_count{target="gpt"}': 1,
        'gateway_ttft_seconds_sum{target="gpt"}': 0.812457,
    }


def test_an_attempt_is_told_in_the_words_of_opentelemetry() -> None:
    served = f'{OPERATION},gen_ai_provider_name="azure-eu",gen_ai_request_model="gpt-4o"'
    failed = f'{OPERATION},gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-4-5"'
    counts = {k: v for k, v in scraped(told(exchange()), "gen_ai_").items() if "_count" in k}
    assert counts == {
        f'gen_ai_client_operation_duration_seconds_count{{error_type="",{served}}}': 1,
        f'gen_ai_client_operation_duration_seconds_count{{error_type="overloaded",{failed}}}': 1,
        f'gen_ai_client_token_usage_count{{{served},gen_ai_token_type="input"}}': 1,
        f'gen_ai_client_token_usage_count{{{served},gen_ai_token_type="output"}}': 1,
    }


@pytest.mark.parametrize(("lag", "bucket"), [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (9.0, "+Inf")])
def test_a_value_falls_into_the_first_bucket_that_holds_it(lag: float, bucket: str) -> None:
    metrics = Metrics("0.1.0")
    metrics.lagged(lag)
    lines = metrics.render().decode().splitlines()
    filled = [line for line in lines if line.startswith("gateway_event_loop_lag_seconds_bucket") and line[-3:] == "1.0"]
    assert filled[0] == f'gateway_event_loop_lag_seconds_bucket{{le="{bucket}"}} 1.0'


def test_gauges_say_how_the_process_does() -> None:
    metrics = Metrics("0.1.0")
    metrics.inflight.value += 2
    metrics.streams.value += 1
    metrics.redis_up(False)
    metrics.refused("unknown_key")
    metrics.watch_drops("journal", lambda: 4)
    assert scraped(metrics, "gateway_") == {
        "gateway_inflight_requests": 2,
        "gateway_open_streams": 1,
        "gateway_redis_up": 0,
        'gateway_auth_failures_total{reason="unknown_key"}': 1,
        'gateway_decision_log_dropped_total{sink="journal"}': 4,
        'gateway_build_info{version="0.1.0"}': 1,
        "gateway_overhead_seconds_count": 0,
        "gateway_overhead_seconds_sum": 0,
        "gateway_event_loop_lag_seconds_count": 0,
        "gateway_event_loop_lag_seconds_sum": 0,
    }


def test_a_failed_reload_keeps_saying_which_configuration_is_in_use() -> None:
    metrics = Metrics("0.1.0")
    metrics.reloaded(True, 100.0, "aaa")
    metrics.reloaded(True, 200.0, "bbb")
    metrics.reloaded(False, 300.0, "ccc")
    assert scraped(metrics, "gateway_config") == {
        "gateway_config_last_reload_successful": 0,
        "gateway_config_last_reload_timestamp_seconds": 200,
        'gateway_config_info{hash="bbb"}': 1,
    }


def test_a_label_value_is_escaped() -> None:
    metrics = told(replace(plain(), deployment='a"b\\c\n'))
    assert r'gateway_ttft_seconds_count{target="a\"b\\c\n"} 1.0' in metrics.render().decode().splitlines()


def test_a_scrape_is_readable_and_holds_the_whole_catalogue() -> None:
    families = {f.name: f.type for f in text_string_to_metric_families(told(exchange()).render().decode())}
    ours = {m.name.removesuffix("_total") if m.type == "counter" else m.name: m.type for m in CATALOGUE}
    assert {name: kind for name, kind in families.items() if not name.startswith(("process_", "python_"))} == ours


def test_a_slot_with_the_wrong_labels_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="gateway_build_info has labels"):
        Metrics("0.1.0")._number("gateway_build_info", "a", "b")


def test_the_page_of_metrics_is_current() -> None:
    assert DOCUMENT.read_text() == document(), "run: python -m gateway.telemetry.catalogue > docs/metrics.md"


def test_a_scrape_in_a_thread_is_not_disturbed_by_what_is_counted_meanwhile() -> None:
    family = Family(Metric("x_total", "counter", ("a",), "x"), Number)
    family.slot("1").value = 1
    scrape = family.items()
    family.slot("2").value = 1
    assert [labels for labels, _ in scrape] == [("1",)]


TO_NEXT = ("gateway_retries_total", "gateway_failovers_total")


def test_a_retry_is_at_the_deployment_of_the_try_before_and_named_by_its_failure() -> None:
    rate = replace(FAILED, failure=Failure("rate", "Slow down"))
    tries = (FAILED, replace(rate, n=2, part="retry"), replace(FAILED, n=3, part="key"), replace(SERVED, n=4))
    assert scraped(told(exchange(attempts=tries)), *TO_NEXT) == {
        'gateway_retries_total{class="overloaded",target="sonnet"}': 1,
        'gateway_retries_total{class="rate",target="sonnet"}': 1,
        'gateway_failovers_total{from_target="sonnet",to_target="gpt"}': 1,
    }


def test_a_hedge_is_neither_a_retry_nor_a_failover() -> None:
    slow = replace(FAILED, failure=None, cancelled=True)
    assert scraped(told(exchange(attempts=(slow, replace(SERVED, part="hedge")))), *TO_NEXT) == {}


def test_a_retry_after_a_lost_race_is_one_of_the_deployment_that_failed() -> None:
    beside = replace(FAILED, n=2, deployment="gpt", part="hedge", failure=Failure("silent", "no content"))
    tries = (FAILED, beside, replace(FAILED, n=3, part="retry"))
    assert scraped(told(exchange(attempts=tries)), *TO_NEXT) == {
        'gateway_retries_total{class="overloaded",target="sonnet"}': 1
    }


BROKEN = replace(FAILED, first_s=0.2, failure=Failure("stall", "silent for 15 s"))


@pytest.mark.parametrize(
    ("outcome", "rest", "labels"),
    [
        ("fallback_ok", ("continue",), 'result="rescued",strategy="continue"'),
        ("fallback_ok", ("continue", "splice"), 'result="rescued",strategy="splice"'),
        ("upstream_error", ("continue",), 'result="broken",strategy="continue"'),
        ("timeout", (), 'result="broken",strategy="none"'),
        ("cancelled", ("splice",), 'result="cancelled",strategy="splice"'),
    ],
)
def test_a_stream_that_breaks_off_is_counted_by_how_it_was_gone_on_with(
    outcome: str, rest: tuple[Any, ...], labels: str
) -> None:
    legs = tuple(replace(SERVED, n=2 + n, part=part) for n, part in enumerate(rest))
    metrics = told(exchange(outcome=outcome, attempts=(BROKEN, *legs)))
    assert scraped(metrics, "gateway_midstream_total", "gateway_retries_total") == {
        f'gateway_midstream_total{{{labels},target="sonnet"}}': 1
    }


def test_an_answer_that_broke_off_before_its_client_had_any_of_it_is_no_break_in_a_stream() -> None:
    whole = exchange(stream=False, attempts=(BROKEN, SERVED))
    before_content = exchange(attempts=(FAILED, SERVED))
    assert scraped(told(whole, before_content), "gateway_midstream_total") == {}


def test_who_was_passed_over_is_counted_with_who_came_instead() -> None:
    plan = Plan((Try("gpt"), Try("mini", "fallback")), 600.0)
    passed = replace(DECISION, reason="breaker_open", plan=plan)
    nobody = replace(passed, plan=Plan((), 600.0))
    metrics = told(exchange(decision=passed), exchange(decision=replace(passed, reason="overflow")), exchange())
    metrics.observe(exchange(decision=nobody))
    assert scraped(metrics, "gateway_overflow_total") == {
        'gateway_overflow_total{from_target="sonnet",reason="breaker_open",to_target="gpt"}': 1,
        'gateway_overflow_total{from_target="sonnet",reason="overflow",to_target="gpt"}': 1,
        'gateway_overflow_total{from_target="sonnet",reason="breaker_open",to_target="none"}': 1,
    }


def test_what_is_told_takes_the_place_of_what_was_told_before() -> None:
    metrics = Metrics("0.1.0")
    metrics.tell({"gateway_breaker_state": {("old",): 1, ("kept",): 2}})
    metrics.tell({"gateway_breaker_state": {("kept",): 0}, "gateway_queue_depth": {(): 3}})
    assert scraped(metrics, "gateway_breaker_state", "gateway_queue_depth") == {
        'gateway_breaker_state{target="kept"}': 0,
        "gateway_queue_depth": 3,
    }
