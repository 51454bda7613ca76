"""What must hold between the parts of a configuration: the list of checks. Read next: checks/references.py.

Add a check: one function from a Draft to Findings, and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from gateway.config.checks import identity, logins, prices, reach, references, safety, sense
from gateway.config.draft import Draft
from gateway.config.finding import Finding

__all__ = ["CHECKS", "check"]

CHECKS: Final[tuple[Callable[[Draft], Iterator[Finding]], ...]] = (
    references.kinds,
    references.providers,
    references.pools,
    references.intents,
    references.names,
    references.aliases,
    references.keys,
    references.issuers,
    references.teams,
    identity.keys,
    identity.installed,
    identity.names,
    identity.teams,
    identity.claims,
    identity.addresses,
    logins.one_way_in,
    logins.places,
    logins.aws,
    logins.google,
    logins.azure_ad,
    reach.routes,
    reach.default_route,
    reach.served,
    reach.ranges,
    reach.requirements,
    reach.floors,
    reach.weights,
    sense.timeouts,
    sense.backoff,
    sense.patterns,
    sense.fallbacks,
    sense.addresses,
    sense.state,
    prices.prices,
    prices.unpriced,
    prices.references,
    safety.base_urls,
    safety.alerts,
    safety.headers,
    safety.fetched,
    safety.listeners,
    safety.plain_secrets,
)


def check(draft: Draft) -> list[Finding]:
    """Everything that every check found."""
    return [finding for rule in CHECKS for finding in rule(draft)]
