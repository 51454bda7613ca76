"""Counts what happens for Prometheus. Read next: catalogue.py, the list of all metrics.

A request costs one look-up: requests of one kind (route, model, outcome, deployment and so on) share a prepared set
of slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric as Scraped
from prometheus_client.registry import Collector

from gateway.telemetry.catalogue import CATALOGUE, Metric
from gateway.telemetry.slots import Family, Histogram, Number
from gateway.types import Attempt, Decision, Exchange, Usage

__all__ = ["CONTENT_TYPE", "Metrics"]

#: Counted in micro-dollars until the scrape: integers do not drift.
_MONEY: Final = frozenset({"gateway_cost_usd_total", "gateway_cost_baseline_usd_total"})
#: What the answer to a scrape says it is.
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_NONE: Final = "none"
_OTHER: Final = "unknown"
#: Routing reasons of decisions that passed over the best by score.
_DISPLACED: Final = frozenset({"overflow", "breaker_open"})
#: Parts of tries at a deployment that has just failed.
_AGAIN: Final = frozenset({"retry", "key"})
#: Parts of tries that go on with a stream that broke off.
_RESCUES: Final = frozenset({"continue", "splice"})
_RESULTS: Final = {"ok": "rescued", "fallback_ok": "rescued", "cancelled": "cancelled"}


class _Request(Struct, eq=False):
    """The slots of one kind of request. ``baseline`` is made when one of them has it."""

    requests: Number
    duration: Histogram
    decisions: Number | None
    overflow: Number | None
    disconnects: Number | None
    ttft: Histogram | None
    baseline: Number | None = None


class _Spent(Struct, eq=False):
    """The slots of what attempts of one kind took."""

    cost: Number
    tokens: tuple[Number, Number, Number, Number, Number]
    usage: tuple[Histogram, Histogram]


class _Tried(Struct, eq=False):
    """The slots of one kind of attempt. ``spent`` is made when one of them reports usage."""

    attempts: Number
    operation: Histogram
    spent: _Spent | None = None


class Metrics:
    """All metrics of one process. A sink for closed exchanges; the rest is told by name.

    ``inflight`` and ``streams`` are gauges that the server counts up and down through ``value``.
    """

    def __init__(self, version: str) -> None:
        self._counters = {m.name: Family(m, Number) for m in CATALOGUE if m.type != "histogram"}
        self._histograms = {m.name: Family(m, Histogram) for m in CATALOGUE if m.type == "histogram"}
        self._known: frozenset[str] = frozenset()
        self._requests: dict[tuple[str | bool | None, ...], _Request] = {}
        self._tried: dict[tuple[str, ...], _Tried] = {}
        self._overhead = self._histograms["gateway_overhead_seconds"].slot()
        self._lag = self._histograms["gateway_event_loop_lag_seconds"].slot()
        self._dropped: dict[str, Callable[[], int]] = {}
        self.inflight = self._number("gateway_inflight_requests")
        self.streams = self._number("gateway_open_streams")
        self._number("gateway_build_info", version).value = 1
        self._registry = CollectorRegistry()
        self._registry.register(_Scrape(self._counters, self._histograms))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def __call__(self, exchange: Exchange, record: bytes) -> None:
        """Count a closed exchange, as a sink."""
        self.observe(exchange)

    def observe(self, exchange: Exchange) -> None:
        """Count a closed exchange."""
        request = self._request(exchange)
        request.requests.value += 1
        request.duration.observe(exchange.total_s)
        self._overhead.observe(exchange.overhead_s)
        if request.decisions is not None:
            request.decisions.value += 1
        if request.overflow is not None:
            request.overflow.value += 1
        if request.disconnects is not None:
            request.disconnects.value += 1
        if request.ttft is not None and exchange.ttft_s is not None:
            request.ttft.observe(exchange.ttft_s)
        if exchange.baseline is not None and exchange.cost is not None:
            if request.baseline is None:
                route = exchange.decision.route if exchange.decision is not None else _NONE
                request.baseline = self._number("gateway_cost_baseline_usd_total", route)
            request.baseline.value += exchange.baseline
        if exchange.dropped:
            self._number("gateway_dropped_total", exchange.deployment or _NONE).value += 1
        if exchange.attempts:
            self._observe_attempts(exchange)

    def tell(self, values: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        """What others count and measure, by metric and labels: it takes the place of what was told before."""
        for name, by_labels in values.items():
            self._counters[name].put(by_labels)

    def know(self, models: Iterable[str]) -> None:
        """The names that clients may ask for: what else they ask for is counted as ``unknown``."""
        self._known = frozenset(models)
        self._requests = {}

    def lagged(self, seconds: float) -> None:
        """The event loop woke a timer this late."""
        self._lag.observe(seconds)

    def reloaded(self, ok: bool, at: float, hash: str) -> None:
        """A configuration was read at Unix time ``at``; ``hash`` and ``at`` count only if it is in use now."""
        self._number("gateway_config_last_reload_successful").value = int(ok)
        if ok:
            self._number("gateway_config_last_reload_timestamp_seconds").value = at
            self._counters["gateway_config_info"].clear()
            self._number("gateway_config_info", hash).value = 1

    def refused(self, reason: str) -> None:
        """A request was turned away for its key. ``reason`` is one of a few words, never the key."""
        self._number("gateway_auth_failures_total", reason).value += 1

    def redis_up(self, up: bool) -> None:
        """Whether the shared state answers."""
        self._number("gateway_redis_up").value = int(up)

    def watch_drops(self, sink: str, dropped: Callable[[], int]) -> None:
        """Ask ``dropped`` at every scrape how many records that sink has dropped so far."""
        self._dropped[sink] = dropped

    def render(self) -> bytes:
        """The answer to a scrape, of CONTENT_TYPE. Takes milliseconds: call it in a thread."""
        for sink, dropped in self._dropped.items():
            self._number("gateway_decision_log_dropped_total", sink).value = dropped()
        return generate_latest(self._registry)

    def _number(self, name: str, *labels: str) -> Number:
        return self._counters[name].slot(*labels)

    def _request(self, exchange: Exchange) -> _Request:
        decision = exchange.decision
        intent = _intent(exchange)
        model = exchange.model if exchange.model in self._known else _OTHER
        waiting = exchange.ttft_s is None
        route, reason, strategy, first, best = _NONE, None, _NONE, _NONE, None
        if decision is not None:
            route, reason, strategy = decision.route, decision.reason, decision.strategy
            first = decision.plan.tries[0].deployment if decision.plan.tries else _NONE
            best = _best(decision) if reason in _DISPLACED else None
        key = (
            route,
            reason,
            strategy,
            first,
            best,
            intent,
            model,
            exchange.outcome,
            exchange.stream,
            exchange.deployment,
            waiting,
        )
        found = self._requests.get(key)
        if found is None:
            decided = None if reason is None else (route, strategy, intent, first, reason)
            displaced = (best, first, reason) if best is not None and reason is not None else None
            found = self._requests[key] = self._prepare(exchange, route, model, decided, displaced)
        return found

    def _prepare(
        self,
        exchange: Exchange,
        route: str,
        model: str,
        decided: tuple[str, str, str, str, str] | None,
        displaced: tuple[str, str, str] | None,
    ) -> _Request:
        outcome, target = exchange.outcome, exchange.deployment
        stream = "true" if exchange.stream else "false"
        phase = "waiting" if exchange.ttft_s is None else "streaming"
        return _Request(
            requests=self._number("gateway_requests_total", route, model, outcome, stream),
            duration=self._histograms["gateway_request_duration_seconds"].slot(route, outcome),
            decisions=None if decided is None else self._number("gateway_routing_decisions_total", *decided),
            overflow=None if displaced is None else self._number("gateway_overflow_total", *displaced),
            disconnects=self._number("gateway_client_disconnects_total", phase) if outcome == "cancelled" else None,
            ttft=self._histograms["gateway_ttft_seconds"].slot(target) if target and exchange.stream else None,
        )

    def _observe_attempts(self, exchange: Exchange) -> None:
        route = exchange.decision.route if exchange.decision is not None else _NONE
        before: Attempt | None = None
        failed: dict[str, str] = {}
        for attempt in exchange.attempts:
            self._observe_attempt(exchange.operation, route, attempt)
            if attempt.part in _AGAIN:
                kind = failed.get(attempt.deployment, _NONE)
                self._number("gateway_retries_total", attempt.deployment, kind).value += 1
            elif before is not None and before.deployment != attempt.deployment and attempt.part != "hedge":
                self._number("gateway_failovers_total", before.deployment, attempt.deployment).value += 1
            if attempt.failure is not None:
                failed[attempt.deployment] = attempt.failure.kind
            if exchange.stream and attempt.failure is not None and attempt.first_s is not None:
                strategy, result = _rescue(exchange, attempt)
                self._number("gateway_midstream_total", attempt.deployment, strategy, result).value += 1
            before = attempt

    def _observe_attempt(self, operation: str, route: str, attempt: Attempt) -> None:
        result = attempt.failure.kind if attempt.failure is not None else "cancelled" if attempt.cancelled else "ok"
        key = (operation, route, attempt.deployment, attempt.provider, attempt.model, result)
        tried = self._tried.get(key)
        if tried is None:
            tried = self._tried[key] = self._prepare_attempt(operation, attempt, result)
        tried.attempts.value += 1
        tried.operation.observe(attempt.ended_s - attempt.started_s)
        if attempt.usage is not None:
            if tried.spent is None:
                tried.spent = self._prepare_spent(operation, route, attempt)
            _count_spent(tried.spent, attempt.usage, attempt.cost)
            if attempt.cost is None:
                self._number("gateway_unpriced_attempts_total", attempt.deployment).value += 1
            if attempt.usage.audio_input or attempt.usage.audio_output or attempt.usage.image_output:
                self._count_media(attempt.deployment, attempt.usage)

    def _count_media(self, target: str, usage: Usage) -> None:
        self._number("gateway_tokens_total", target, "audio_input").value += usage.audio_input
        self._number("gateway_tokens_total", target, "audio_output").value += usage.audio_output
        self._number("gateway_tokens_total", target, "image_output").value += usage.image_output

    def _prepare_attempt(self, operation: str, attempt: Attempt, result: str) -> _Tried:
        error = "" if result == "ok" else result
        durations = self._histograms["gen_ai_client_operation_duration_seconds"]
        return _Tried(
            attempts=self._number("gateway_attempts_total", attempt.deployment, result),
            operation=durations.slot(operation, attempt.provider, attempt.model, error),
        )

    def _prepare_spent(self, operation: str, route: str, attempt: Attempt) -> _Spent:
        target, provider, model = attempt.deployment, attempt.provider, attempt.model
        tokens, usage = self._counters["gateway_tokens_total"], self._histograms["gen_ai_client_token_usage"]
        return _Spent(
            cost=self._number("gateway_cost_usd_total", target, route),
            tokens=(
                tokens.slot(target, "input"),
                tokens.slot(target, "output"),
                tokens.slot(target, "cached_input"),
                tokens.slot(target, "cache_write"),
                tokens.slot(target, "reasoning"),
            ),
            usage=(
                usage.slot(operation, provider, model, "input"),
                usage.slot(operation, provider, model, "output"),
            ),
        )


class _Scrape(Collector):
    """Turns the slots into what prometheus-client writes out."""

    def __init__(self, counters: Mapping[str, Family[Number]], histograms: Mapping[str, Family[Histogram]]) -> None:
        self._counters = counters
        self._histograms = histograms

    def collect(self) -> Iterator[Scraped]:
        for counter in self._counters.values():
            yield _scraped_number(counter)
        for histogram in self._histograms.values():
            yield _scraped_histogram(histogram)

    def describe(self) -> Iterator[Scraped]:
        return self.collect()


def _scraped_number(family: Family[Number]) -> Scraped:
    metric = family.metric
    scraped = (CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily)(
        metric.name, metric.help, labels=metric.labels
    )
    scale = 1_000_000 if metric.name in _MONEY else 1
    for labels, slot in family.items():
        scraped.add_metric(labels, slot.value / scale)
    return scraped


def _scraped_histogram(family: Family[Histogram]) -> Scraped:
    scraped = HistogramMetricFamily(family.metric.name, family.metric.help, labels=family.metric.labels)
    for labels, slot in family.items():
        scraped.add_metric(labels, _cumulative(family.metric, slot), slot.sum)
    return scraped


def _cumulative(metric: Metric, slot: Histogram) -> list[tuple[str, float]]:
    counts, total, buckets = slot.counts.copy(), 0, []
    for bound, count in zip((*metric.buckets, None), counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound is None else str(float(bound)), float(total)))
    return buckets


def _count_spent(spent: _Spent, usage: Usage, cost: int | None) -> None:
    read, written, cached, cache_write, reasoning = spent.tokens
    read.value += usage.input
    written.value += usage.output
    cached.value += usage.cached_input
    cache_write.value += usage.cache_write
    reasoning.value += usage.reasoning
    spent.usage[0].observe(usage.input)
    spent.usage[1].observe(usage.output)
    spent.cost.value += cost or 0


def _intent(exchange: Exchange) -> str:
    for signal in exchange.signals:
        if signal.name == "intent":
            return signal.label
    return _NONE


def _best(decision: Decision) -> str | None:
    """The deployment that the score alone would have chosen."""
    scored = [(v.score, v.deployment) for v in decision.verdicts if v.score is not None]
    return min(scored, key=_first)[1] if scored else None


def _first(scored: tuple[float, str]) -> float:
    return scored[0]


def _rescue(exchange: Exchange, broken: Attempt) -> tuple[str, str]:
    """How a stream that broke off was gone on with in the end, if it was, and what came of it."""
    after = [attempt.part for attempt in exchange.attempts if attempt.n > broken.n and attempt.part in _RESCUES]
    return after[-1] if after else _NONE, _RESULTS.get(exchange.outcome, "broken")
