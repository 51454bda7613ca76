"""Prices that are whole, and known where money is reckoned with. Read next: ../prices.py."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.draft import Draft
from gateway.config.finding import Finding
from gateway.config.schema import CallerEntry, ScopeEntry, TeamEntry

__all__ = ["prices", "references", "unpriced"]

SAY = "give its price: {input: …, output: …}"


def prices(draft: Draft) -> Iterator[Finding]:
    """A price is whole, by itself or with the catalogue's, and its tiers differ."""
    for name, entry in draft.config.deployments.items():
        if entry.price is None or name not in draft.deployments:
            continue
        if draft.deployments[name].price is None and (entry.price.requests or any(entry.price.given())):
            message = f"the price of {name!r} lacks input or output, and the catalogue does not know {entry.model!r}"
            yield Finding(("deployments", name, "price"), message, "give both")
        above = [tier.above for tier in entry.price.tiers or ()]
        for place, tokens in enumerate(above):
            if tokens in above[:place]:
                path = ("deployments", name, "price", "tiers", place, "above")
                yield Finding(path, f"another tier begins above {tokens} tokens, too", "remove one of them")


def unpriced(draft: Draft) -> Iterator[Finding]:
    """Where anybody has a budget, every deployment has a price."""
    if not _has_budgets(draft):
        return
    refused = draft.config.budgets.unknown_price == "refuse"
    then = "callers with a budget may not use it" if refused else "what it serves counts for nothing in any budget"
    for name, deployment in draft.deployments.items():
        if deployment.price is None:
            path = ("deployments", name)
            yield Finding(path, f"the price of {name!r} is unknown: {then}", SAY, "warning")


def references(draft: Draft) -> Iterator[Finding]:
    """What savings are reckoned against has a price."""
    for index, route in enumerate(draft.config.routes):
        found = draft.deployments.get(route.policy.reference or "")
        if found is not None and found.price is None:
            path = ("routes", index, "policy", "reference")
            message = f"the price of {found.name!r} is unknown: the saving of route {route.name!r} is not reckoned"
            yield Finding(path, message, SAY, "warning")


def _has_budgets(draft: Draft) -> bool:
    config = draft.config
    callers: list[CallerEntry | TeamEntry] = [*config.teams.values(), *config.keys, *config.identity]
    scopes: list[ScopeEntry] = [*config.organisations.values(), *callers]
    scopes += [one.each_user for one in callers if one.each_user is not None]
    return any(scope.budget is not None for scope in scopes)
