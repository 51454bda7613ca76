"""What a client is told when a decision found nothing that can serve. Read next: pipeline.py, which asks.

The fault is the key's or the request's where every verdict says so. Where deployments are only left alone for a while
the client is told for how long. An SDK is told to try again where only limits stand in the way, not in an outage.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from gateway.budgets.period import Span
from gateway.errors import BadRequest, Failure, Forbidden, GatewayError, NotFound, OverBudget, RateLimited, Unavailable
from gateway.money import usd
from gateway.reliability.failures import to_client
from gateway.types import Call, Cooling, Decision, Snapshot

__all__ = ["full", "nothing_can"]

#: Verdicts that blame the request: when all of a pool say so, another deployment would not help.
OF_THE_REQUEST: Final = frozenset({"cannot", "context_too_small"})
#: Kinds of cooling that are a provider's limits.
OF_LIMITS: Final = frozenset({"rate", "limit", "share"})
#: Kinds that somebody has to do something about.
OF_THE_ACCOUNT: Final = frozenset({"auth", "quota"})
#: Kinds that pass by themselves, so that trying again when told to is right.
OF_LOAD: Final = OF_LIMITS | {"full"}
#: Whose budgets are the caller's alone.
OWN: Final = frozenset({"key", "user"})
#: What each need (intent/features.py) is in words, and the member of the request that makes it one.
NEEDS: Final[Mapping[str, tuple[str, str]]] = {
    "choices": ("several choices", "n"),
    "logprobs": ("logprobs", "logprobs"),
    "tools": ("tools", "tools"),
    "custom_tools": ("custom tools", "tools"),
    "server_tools:anthropic": ("tools that Anthropic defines", "tools"),
    "server_tools:google": ("tools that Google runs", "tools"),
    "server_tools:openai": ("tools that the provider runs", "tools"),
    "json_object": ("a JSON object as the answer", "response_format"),
    "json_schema": ("an answer that fits a JSON schema", "response_format"),
    "web_search": ("web search", "web_search_options"),
    "audio_output": ("audio as the answer", "modalities"),
    "vision": ("pictures", "messages"),
    "audio": ("audio", "messages"),
    "video": ("video", "messages"),
    "documents": ("documents", "messages"),
    "file_ids": ("ids of files", "messages"),
    "file_urls": ("files by their address (send them as data URLs, or let the operator allow `fetch`)", "messages"),
}


def full(decision: Decision) -> list[str]:
    """The deployments that could serve as soon as one of the requests under way there has ended."""
    whys = [(v.deployment, v.why) for v in decision.verdicts if v.why is not None]
    return [name for name, why in whys if why.code == "cooling" and why.args[0] == "full"]


def nothing_can(
    decision: Decision, call: Call, snapshot: Snapshot, spans: Mapping[str, Span] | None = None
) -> GatewayError:
    """The error for a decision without tries. ``spans`` are the periods of the caller's budgets, by scope."""
    name = f"{call.model[:64]!r}"
    reasons = {v.why.code for v in decision.verdicts if v.why is not None}
    if not reasons:
        return NotFound(f"No route takes this request for {name}.", code="no_route", param="model")
    if "cooling" in reasons:
        names = [v.deployment for v in decision.verdicts if v.why is not None and v.why.code == "cooling"]
        return _left_alone([snapshot.cooling[n] for n in names], name, snapshot.at)
    if "over_budget" in reasons:
        return _over_budget(decision, name, spans or {})
    if "too_large" in reasons:
        said = f"The request is larger than the rate limits of every deployment of {name} allow in a minute."
        error: GatewayError = RateLimited(said, code="upstream_rate_limited")
        error.should_retry = False
        return error
    if "price_unknown" in reasons:
        said = (
            f"What {name} costs is not known here, as it must be for a caller with a budget: the operator can say it."
        )
        unpriced = Unavailable(said, code="no_deployment")
        unpriced.should_retry = False
        return unpriced
    codes = reasons - {"not_allowed_to_key"}
    if not codes:
        return Forbidden(f"The key may use none of the deployments of {name}.", code="model_not_allowed", param="model")
    if codes <= OF_THE_REQUEST:
        return _too_much_asked(decision, name)
    return Unavailable(f"No deployment can serve {name} now.", code="no_deployment")


def _over_budget(decision: Decision, name: str, spans: Mapping[str, Span]) -> GatewayError:
    """Which budget, how much is left of it, what the cheapest try might cost, and what can be done."""
    whys = [v.why for v in decision.verdicts if v.why is not None and v.why.code == "over_budget"]
    scope, most, left = min([why.args for why in whys], key=lambda args: args[1])
    kind, _, who = str(scope).partition(":")
    less = " A smaller max_tokens costs less." if int(left) > 0 else ""
    # What others spend is not for one of them to know.
    own = f"has {usd(max(0, int(left)))} USD left" if kind in OWN else "does not hold it"
    return OverBudget(
        f"The budget of {kind} {who} {own}: this request for {name} might cost {usd(int(most))} USD."
        f"{less} {_anew(spans.get(str(scope)))}"
    )


def _anew(span: Span | None) -> str:
    if span is None or span.ends_at is None:
        return "More has to be granted by whoever operates this gateway."
    return f"It begins anew on {datetime.fromtimestamp(span.ends_at, UTC):%Y-%m-%d at %H:%M} UTC."


def _too_much_asked(decision: Decision, name: str) -> BadRequest:
    """What the request needs is named, as far as no deployment has it; else whatever any deployment lacks."""
    whys = [v.why for v in decision.verdicts if v.why is not None and v.why.code in OF_THE_REQUEST]
    lacks = [frozenset(str(why.args[0]).split(", ")) for why in whys if why.code == "cannot"]
    if not lacks:
        said = f"The request is longer than the context window of every deployment of {name}."
        return BadRequest(said, code="context_length_exceeded", param="messages")
    common = lacks[0].intersection(*lacks[1:]) if len(lacks) == len(whys) else frozenset()
    known = [NEEDS.get(need, (need, "messages")) for need in sorted(common or frozenset().union(*lacks))]
    what = " and ".join(words for words, _ in known)
    said = f"No deployment of {name} can do what this request needs: {what}."
    return BadRequest(said, code="unsupported_request", param=known[0][1])


def _left_alone(cooling: list[Cooling], name: str, now: float) -> GatewayError:
    """All that could serve is left alone: for a limit of its provider where it is only that, else for an outage."""
    wait = max(0.0, min(c.until_at for c in cooling) - now)
    kinds = {c.kind for c in cooling}
    error: GatewayError
    if kinds <= OF_THE_ACCOUNT:
        return to_client(Failure("quota" if "quota" in kinds else "auth", "its keys are left alone"))
    if kinds <= OF_LIMITS:
        said, code = f"All deployments of {name} are at their provider's rate limit", "upstream_rate_limited"
        if "share" in kinds:
            said = f"{name} is shared and busy, and you have had more than your share of it lately"
            code = "fair_share"
        error = RateLimited(f"{said}; try again in {wait:.1f} s.", code=code, retry_after_s=wait)
    elif kinds <= OF_LOAD:
        said = f"All deployments of {name} are busy; try again shortly."
        error = Unavailable(said, code="overloaded", retry_after_s=wait)
    else:
        why = ", ".join(sorted(kinds))
        said = f"All deployments of {name} are left alone after failures ({why}); the next is asked in {wait:.1f} s."
        error = Unavailable(said, code="no_deployment", retry_after_s=wait)
    error.should_retry = kinds <= OF_LOAD
    return error
