"""May this deployment serve this request? Each rule says why not, or None. Read next: decide.py.

Add a rule: one function, and one line in RULES. They are asked in order; the first reason stands.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Final

from gateway.types import Asked, Deployment, Policy, Reason

__all__ = ["RULES", "Rule", "why_not"]

#: What no provider need be able to do: several choices are as many calls (upstream/several.py).
OURS: Final = frozenset({"choices"})
#: What is a matter of protocols alone, and no model's capability.
OF_PROTOCOLS: Final = frozenset({"file_urls"})

Rule = Callable[[Deployment, Asked, Policy], Reason | None]


def allowed_to_caller(candidate: Deployment, asked: Asked, policy: Policy) -> Reason | None:
    """The caller's key names the models it may use."""
    models = asked.caller.models
    return (
        Reason("not_allowed_to_key", (asked.caller.id,))
        if models is not None and candidate.name not in models
        else None
    )


def in_region(candidate: Deployment, asked: Asked, policy: Policy) -> Reason | None:
    """The policy requires a region, as for data residency."""
    regions = policy.require.regions
    if not regions or candidate.account.region in regions:
        return None
    return Reason("wrong_region", (candidate.account.region or "unknown", ", ".join(sorted(regions))))


def by_company(candidate: Deployment, asked: Asked, policy: Policy) -> Reason | None:
    """The policy requires that certain companies operate the endpoint."""
    companies = policy.require.companies
    if not companies or candidate.account.company in companies:
        return None
    return Reason("wrong_company", (candidate.account.company or "unknown", ", ".join(sorted(companies))))


def is_capable(candidate: Deployment, asked: Asked, policy: Policy) -> Reason | None:
    """What the request needs can be said in the provider's protocol, and is among the capabilities, where known.

    The reason names all that is missing, then what of it the protocol has no words for, whatever the model can do.
    """
    needs = asked.features.needs - OURS
    if not needs:
        return None
    unsaid, known = needs & candidate.cannot, candidate.capabilities
    missing = unsaid if known is None else unsaid | needs - known - OF_PROTOCOLS
    if not missing:
        return None
    return Reason("cannot", (_listed(missing), _listed(unsaid)) if unsaid else (_listed(missing),))


def _listed(needs: Set[str]) -> str:
    return ", ".join(sorted(needs))


def has_room(candidate: Deployment, asked: Asked, policy: Policy) -> Reason | None:
    """The estimated input fits the context window, where that is known."""
    window = candidate.context_window
    tokens = asked.features.input_tokens
    return Reason("context_too_small", (tokens, window)) if window is not None and tokens > window else None


RULES: Final[tuple[Rule, ...]] = (allowed_to_caller, in_region, by_company, is_capable, has_room)


def why_not(candidate: Deployment, asked: Asked, policy: Policy) -> Reason | None:
    """The first rule's reason against this deployment, None when all agree."""
    for rule in RULES:
        if (reason := rule(candidate, asked, policy)) is not None:
            return reason
    return None
