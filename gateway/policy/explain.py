"""Sentences for people: what a decision saw and why it chose. Nothing here runs on the request path.

Read next: ../telemetry/record.py, which keeps what is explained here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from gateway.money import usd
from gateway.policy.strategies.cost import UNKNOWN_PRICE
from gateway.types import Attempt, Decision, Exchange, Features, Reason, Signal, Verdict

__all__ = ["explain", "sentence"]

#: Every reason code of a verdict, as a sentence with its arguments in order.
SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "not_allowed_to_key": "key {0} may not use it",
        "wrong_region": "it is in region {0}, the policy requires {1}",
        "wrong_company": "it is operated by {0}, the policy requires {1}",
        "cannot": "{0}",
        "context_too_small": "about {0} input tokens do not fit its window of {1}",
        "quality_unknown": "its quality is unknown and the floor is {0}",
        "below_floor": "its expected quality {0} is below the floor {1}",
        "weight_zero": "its weight is 0",
        "cooling": "it is left alone for {1} s more: {0}",
        "too_large": "it needs more than its provider allows in a minute",
        "diverted": "{0} % of its traffic goes elsewhere while some of its calls fail",
        "over_budget": "it might cost {1} USD, and the budget of {0} has {2} left",
        "price_unknown": "its price is not known, and the caller has a budget",
        "standby": "it stands by for when the pool has failed",
    }
)

ROUTING = MappingProxyType(
    {
        "forced_by_client": "the client named this deployment",
        "rule": "the conditions of the route led to it",
        "cost_optimal": "it is the cheapest that is good enough",
        "weighted": "the weights, or its turn, drew it",
        "latency_best": "it is expected to begin its answer soonest",
        "sticky": "requests that begin alike go there",
        "intent": "the request's intent selected the route",
        "budget_shift": "a budget is running out, and it is cheaper",
        "overflow": "the better choice is at its rate limit",
        "breaker_open": "the better choice is failing",
        "fallback": "an earlier try failed",
        "default": "it is the first that can serve",
    }
)


#: What something is left alone for (see Cooling).
LEFT_ALONE: Mapping[str, str] = MappingProxyType(
    {
        "breaker": "too many of its calls failed",
        "limit": "the request does not fit into what its provider allows now",
        "share": "its provider's limits are nearly used up, and this team or key has had more than its share of them",
        "full": "as many requests are under way as it takes",
        "rate": "its provider has limited the rate of its keys",
        "quota": "its keys are out of credit or quota",
        "auth": "its keys were refused",
    }
)
#: What a try was for, where that is not plain.
ROLES: Mapping[str, str] = MappingProxyType(
    {
        "primary": "",
        "retry": ", again",
        "key": ", with another key",
        "fallback": ", instead",
        "hedge": ", beside the slow one",
        "continue": ", going on from what had gone out",
        "splice": ", anew, for what had not gone out yet",
    }
)


def sentence(reason: Reason) -> str:
    """A verdict's reason in words."""
    args = reason.args
    if reason.code == "cooling":
        args = (LEFT_ALONE.get(str(args[0]), args[0]), *args[1:])
    elif reason.code == "over_budget":
        args = tuple([usd(max(0, arg)) if isinstance(arg, int) else arg for arg in args])
    elif reason.code == "cannot":
        args = (_lacking(*map(str, args)),)
    return SENTENCES.get(reason.code, reason.code).format(*args)


def _lacking(needs: str, unsaid: str = "") -> str:
    """What the request needs and the deployment lacks: ``capabilities`` can correct the one, nothing the other."""
    words = frozenset(filter(None, unsaid.split(", ")))
    undone = [need for need in needs.split(", ") if need not in words]
    parts = [f"its provider's protocol has no words for {unsaid}"] if words else []
    return " and ".join([*parts, *([f"its capabilities leave out {', '.join(undone)}"] if undone else [])])


def explain(exchange: Exchange) -> list[str]:
    """The story of one exchange, or of a dry run that made no attempt, one sentence a line."""
    return list(_story(exchange))


def _story(exchange: Exchange) -> Iterator[str]:
    asked = "a stream" if exchange.stream else "an answer"
    yield f"Request {exchange.id}: {exchange.caller} asked model {exchange.model or '(none)'} for {asked}."
    if exchange.features is not None:
        yield _features(exchange.features)
    yield from map(_signal, exchange.signals)
    if exchange.decision is not None:
        yield from _decision(exchange.decision)
    for attempt in exchange.attempts:
        yield _attempt(attempt, exchange)
    if exchange.dropped:
        yield f"Left out, since its provider has no words for it: {', '.join(exchange.dropped)}."
    for warning in exchange.warnings:
        yield f"The client was warned: {warning}."
    if exchange.status:
        yield _ending(exchange)


def _features(features: Features) -> str:
    needs = f", needs {', '.join(sorted(features.needs))}" if features.needs else ""
    limit = f", at most {features.max_output} out" if features.max_output is not None else ""
    return f"It has about {features.input_tokens} input tokens in {features.turns} turns{limit}{needs}."


def _signal(signal: Signal) -> str:
    return f"Its {signal.name} is {signal.label} (confidence {signal.confidence:.2f}, by {signal.by})."


def _decision(decision: Decision) -> Iterator[str]:
    route = f"Route {decision.route}" if decision.route else "No route takes it"
    yield f"{route}, strategy {decision.strategy}, policy {decision.policy}, seed {decision.seed:#x}."
    chosen = decision.plan.tries[0].deployment if decision.plan.tries else None
    for verdict in decision.verdicts:
        yield f"  {'→' if verdict.deployment == chosen else ' '} {verdict.deployment}: {_verdict(verdict, decision)}"
    if chosen is None:
        yield "Nothing can serve it."
        return
    code, _, detail = decision.reason.partition(":")
    because = ROUTING.get(code, code) + (f" ({detail})" if detail else "")
    yield f"Chosen: {chosen}, because {because}. Plan: {', '.join(t.deployment for t in decision.plan.tries)}."


def _verdict(verdict: Verdict, decision: Decision) -> str:
    why = sentence(verdict.why) if verdict.why is not None else None
    if verdict.score is None:
        return why or "not considered"
    if decision.strategy == "cost":
        score = "price unknown" if verdict.score >= UNKNOWN_PRICE else f"about ${verdict.score / 1e6:.6f}"
    else:
        score = f"score {verdict.score:.4g}"
    return f"{score}, but {why}" if why else score


def _attempt(attempt: Attempt, exchange: Exchange) -> str:
    took = f"{attempt.started_s * 1000:.1f} ms to {attempt.ended_s * 1000:.1f} ms"
    first = f"first content at {attempt.first_s * 1000:.1f} ms" if attempt.first_s is not None else ""
    what = f"Try {attempt.n} at {attempt.deployment}{ROLES[attempt.part]} ({took}): "
    if attempt.failure is not None:
        begun = f"{first}, then " if first else ""
        said = f"status {attempt.status}, " if attempt.status is not None else ""
        return f"{what}{begun}{attempt.failure.kind}: {said}{attempt.failure.message}"
    if attempt.cancelled:
        return what + ("another was faster." if _was_slower(attempt, exchange) else "the client left.")
    return f"{what}answered{', ' if first else ''}{first}."


def _was_slower(attempt: Attempt, exchange: Exchange) -> bool:
    """Whether a try was given up for another one rather than because the client left."""
    others = [other for other in exchange.attempts if other.n != attempt.n]
    return exchange.outcome != "cancelled" or any(o.first_s is not None and o.failure is None for o in others)


def _ending(exchange: Exchange) -> str:
    parts = [f"Ended {exchange.outcome} with status {exchange.status} after {exchange.total_s * 1000:.1f} ms"]
    parts.append(f"{exchange.overhead_s * 1000:.2f} ms of it in the gateway")
    if exchange.usage is not None:
        about = "about " if exchange.usage.estimated else ""
        parts.append(f"{about}{exchange.usage.input} tokens in and {exchange.usage.output} out")
    if exchange.attempts:
        parts.append(_cost(exchange.cost, exchange.baseline))
    if exchange.message:
        parts.append(exchange.message.rstrip("."))
    return "; ".join(parts) + "."


def _cost(cost: int | None, baseline: int | None) -> str:
    if cost is None:
        return "cost unknown"
    beside = f" (at its route's reference ${baseline / 1e6:.6f})" if baseline is not None else ""
    return f"cost ${cost / 1e6:.6f}{beside}"
