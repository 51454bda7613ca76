"""Every metric of the gateway: name, kind, labels, meaning. Read next: metrics.py, which counts them.

docs/metrics.md is written from it: ``python -m gateway.telemetry.catalogue > docs/metrics.md``.
"""

from __future__ import annotations

import sys
from typing import Final, Literal

from msgspec import Struct

__all__ = ["CATALOGUE", "Metric", "document"]


class Metric(Struct, frozen=True):
    """One metric. ``name`` is as it is scraped; ``buckets`` are upper bounds in the metric's unit."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


DURATION: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600)
TTFT: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, 120)
OVERHEAD: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25)
LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
# Those of the OpenTelemetry GenAI semantic conventions.
OPERATION: Final = tuple(round(0.01 * 2**n, 2) for n in range(14))
TOKENS: Final = tuple(float(4**n) for n in range(14))

_GEN_AI: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

CATALOGUE: Final = (
    Metric(
        "gateway_requests_total",
        "counter",
        ("route", "model", "outcome", "stream"),
        "Requests, by how they ended. `model` is a configured name that the client asked for, or `unknown`.",
    ),
    Metric(
        "gateway_request_duration_seconds",
        "histogram",
        ("route", "outcome"),
        "From the first byte of the request to the last byte of the answer.",
        DURATION,
    ),
    Metric(
        "gateway_ttft_seconds",
        "histogram",
        ("target",),
        "From the request to the first content of a streamed answer, as the client saw it.",
        TTFT,
    ),
    Metric(
        "gateway_overhead_seconds",
        "histogram",
        (),
        "Time spent in the gateway itself: before the first try, and from the provider's first byte to ours.",
        OVERHEAD,
    ),
    Metric(
        "gateway_attempts_total",
        "counter",
        ("target", "result"),
        "Tries at a deployment: `ok`, `cancelled`, or the kind of failure.",
    ),
    Metric(
        "gateway_failovers_total",
        "counter",
        ("from_target", "to_target"),
        "Times that another deployment was tried after one had failed.",
    ),
    Metric(
        "gateway_retries_total",
        "counter",
        ("target", "class"),
        "Tries at the deployment of the try before, with another key or the same, by the kind of failure that it had.",
    ),
    Metric(
        "gateway_midstream_total",
        "counter",
        ("target", "strategy", "result"),
        "Streams that broke off at `target` after content had gone out: `strategy` is how the answer was gone on with "
        "(`continue`, `splice`, `none`), `result` whether it became whole (`rescued`), the client was told (`broken`) "
        "or had left (`cancelled`).",
    ),
    Metric(
        "gateway_breaker_state",
        "gauge",
        ("target",),
        "0 closed, 1 open, 2 half-open: one probe is let through. Deployments of one model at one account share it.",
    ),
    Metric(
        "gateway_breaker_transitions_total",
        "counter",
        ("target", "to"),
        "Changes of that state, by failures here or by word of another replica.",
    ),
    Metric(
        "gateway_retry_budget_remaining",
        "gauge",
        ("target",),
        "How many tries may be made at it twice now; the fallback to another one is not paid from this.",
    ),
    Metric("gateway_target_inflight", "gauge", ("target",), "Calls under way at a deployment."),
    Metric(
        "gateway_target_concurrency_limit",
        "gauge",
        ("target",),
        "How many there may be at once: lower after rate limits and overloads.",
    ),
    Metric(
        "gateway_ratelimit_remaining_ratio",
        "gauge",
        ("target",),
        "What is left of the provider's limits, 0 to 1, with the key that has least; 1 while nothing runs short.",
    ),
    Metric(
        "gateway_overflow_total",
        "counter",
        ("from_target", "to_target", "reason"),
        "Requests for which the best deployment by score was passed over: it is at a limit (`overflow`) or failing "
        "(`breaker_open`). `to_target` is asked first instead.",
    ),
    Metric(
        "gateway_keys_usable",
        "gauge",
        ("provider",),
        "Keys of an account that were not refused and have credit; 1 for an account that needs none.",
    ),
    Metric(
        "gateway_tokens_total",
        "counter",
        ("target", "type"),
        "Tokens of all tries. `cached_input`, `cache_write` and `audio_input` are part of `input`, `reasoning`, "
        "`audio_output` and `image_output` of `output`.",
    ),
    Metric(
        "gateway_cost_usd_total",
        "counter",
        ("target", "route"),
        "Dollars for all tries; a try whose price is unknown adds nothing.",
    ),
    Metric(
        "gateway_cost_baseline_usd_total",
        "counter",
        ("route",),
        "Dollars that the answers would have cost at their route's reference deployment; a request whose cost or "
        "baseline is unknown adds nothing. What it is above `gateway_cost_usd_total` is saved.",
    ),
    Metric(
        "gateway_unpriced_attempts_total",
        "counter",
        ("target",),
        "Tries that took tokens at a deployment whose price is unknown: what they cost is in no sum.",
    ),
    Metric(
        "gateway_routing_decisions_total",
        "counter",
        ("route", "strategy", "intent", "target", "reason"),
        "Decisions, by the deployment that was to be tried first and the routing reason.",
    ),
    Metric("gateway_inflight_requests", "gauge", (), "Requests being answered now."),
    Metric("gateway_queue_depth", "gauge", (), "Requests that wait for a place, or for a deployment to have room."),
    Metric(
        "gateway_shed_total",
        "counter",
        ("reason", "priority"),
        "Requests turned away: the event loop lagged (`lag`), no place came free in time (`queue`), or no deployment "
        "had room in time (`full`).",
    ),
    Metric("gateway_open_streams", "gauge", (), "Answers being streamed now."),
    Metric(
        "gateway_client_disconnects_total",
        "counter",
        ("phase",),
        "Clients that left: `waiting` for the first content, or while `streaming`.",
    ),
    Metric(
        "gateway_dropped_total",
        "counter",
        ("target",),
        "Requests of which a provider was not told something that it has no words for: see the record's `dropped`.",
    ),
    Metric(
        "gateway_kept_total",
        "counter",
        ("result",),
        "What providers want back in the next turn: `remembered` of their answers, `recalled` for clients that had not "
        "sent it, or `lost`, being too large or for want of the shared state. A turn with several calls counts each.",
    ),
    Metric(
        "gateway_budget_used_ratio",
        "gauge",
        ("scope",),
        "The share of a budget that is settled or leased over the fleet: of organisations and teams, 100 at most.",
    ),
    Metric("gateway_budget_reservations", "gauge", (), "Tries under way that have reserved what they may cost."),
    Metric(
        "gateway_budget_overshoot_usd_total",
        "counter",
        (),
        "US dollars that tries did cost beyond what they had reserved.",
    ),
    Metric("gateway_redis_up", "gauge", (), "1 when the shared state answers, 0 when not. Absent without Redis."),
    Metric(
        "gateway_redis_awaited_total",
        "counter",
        ("reason",),
        "Requests that waited for the shared state, 50 ms at most: for a lease of a budget (`budget`), for a limit "
        "that only the fleet can decide (`limit`), for a place among requests served at once (`concurrency`), for a "
        "key that is not known here (`key`), for what another replica may remember of an earlier turn (`turn`).",
    ),
    Metric(
        "gateway_limited_total",
        "counter",
        ("scope", "limit"),
        "Requests refused for a limit of their `organisation`, `team`, `key` or `user`: `requests` or `tokens` a "
        "minute, or `concurrency`.",
    ),
    Metric(
        "gateway_decision_log_dropped_total",
        "counter",
        ("sink",),
        "Decision records that a sink could not keep.",
    ),
    Metric("gateway_config_last_reload_successful", "gauge", (), "1 when the newest configuration is in use."),
    Metric(
        "gateway_config_last_reload_timestamp_seconds",
        "gauge",
        (),
        "Unix time when the configuration in use was loaded.",
    ),
    Metric("gateway_config_info", "gauge", ("hash",), "The configuration in use."),
    Metric("gateway_build_info", "gauge", ("version",), "The version that runs."),
    Metric(
        "gateway_event_loop_lag_seconds",
        "histogram",
        (),
        "How late the event loop woke a timer, sampled ten times a second.",
        LAG,
    ),
    Metric(
        "gateway_auth_failures_total",
        "counter",
        ("reason",),
        "Requests turned away for their key or token. Clients are told the same whatever was wrong with it.",
    ),
    Metric(
        "gateway_identity_keys",
        "gauge",
        ("issuer",),
        "Public keys of an issuer of tokens that are at hand; without any, its tokens are answered with 503.",
    ),
    Metric(
        "gateway_identity_keys_age_seconds",
        "gauge",
        ("issuer",),
        "How long ago these were fetched: more than ten minutes where the issuer cannot be reached.",
    ),
    Metric(
        "gen_ai_client_operation_duration_seconds",
        "histogram",
        (*_GEN_AI, "error_type"),
        "gen_ai.client.operation.duration: one try at a provider; `error_type` is empty for a success.",
        OPERATION,
    ),
    Metric(
        "gen_ai_client_token_usage",
        "histogram",
        (*_GEN_AI, "gen_ai_token_type"),
        "gen_ai.client.token.usage: tokens of one try, `input` or `output`.",
        TOKENS,
    ),
)


def document() -> str:
    """docs/metrics.md, as Markdown."""
    return _INTRODUCTION + "\n".join(_row(metric) for metric in CATALOGUE) + _BUCKETS + _buckets()


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |"


def _buckets() -> str:
    rows = (f"| `{m.name}` | {', '.join(f'{b:.15g}' for b in m.buckets)} |" for m in CATALOGUE if m.buckets)
    return "\n".join(rows) + "\n"


_INTRODUCTION: Final = """\
# Metrics

The admin port serves these at `/metrics` in the Prometheus text format, beside `process_*` and `python_info`.
No label ever holds a key, a caller, a prompt or a request id: those are in the [decision log](decision-record.md).
`target` is the name of a deployment; `route` and `target` are `none` where there was none.

This page is written from `gateway/telemetry/catalogue.py`; a test holds the two together.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
"""
_BUCKETS: Final = """

## Buckets

| Histogram | Upper bounds |
|---|---|
"""

if __name__ == "__main__":
    sys.stdout.write(document())
