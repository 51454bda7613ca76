"""Every route can be reached, and every pool can serve. Read next: sense.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.config.draft import Draft
from gateway.config.finding import Finding, Path
from gateway.config.schema import RouteEntry, WhenEntry
from gateway.policy.strategies import Cost, Weighted
from gateway.types import Deployment

Pool = list[Deployment]

__all__ = ["default_route", "floors", "ranges", "requirements", "routes", "served", "weights"]


def _condition(when: WhenEntry) -> bytes:
    """The same for conditions that mean the same."""
    return msgspec.json.encode(when.model_dump(), order="sorted")


_ALWAYS: Final = _condition(WhenEntry())


def routes(draft: Draft) -> Iterator[Finding]:
    """A route is not hidden behind an earlier one that takes the same requests, or all."""
    first_of_all: str | None = None
    seen: dict[bytes, str] = {}
    for index, route in enumerate(draft.config.routes):
        path: Path = ("routes", index, "name")
        condition = _condition(route.when)
        if first_of_all is not None:
            message = f"route {route.name!r} is only reached by its name: {first_of_all!r} before it takes everything"
            yield Finding(path, message, f"move {first_of_all!r} to the end", "warning")
        elif condition in seen:
            message = f"route {route.name!r} is only reached by its name: {seen[condition]!r} has the same conditions"
            yield Finding(path, message, "change its `when`", "warning")
        elif condition == _ALWAYS:
            first_of_all = route.name
        seen.setdefault(condition, route.name)


def default_route(draft: Draft) -> Iterator[Finding]:
    """Some route takes what no other does."""
    entries = draft.config.routes
    if entries and not any(_condition(route.when) == _ALWAYS for route in reversed(entries)):
        message = "no route takes the requests that match none of these; they are answered with an error"
        yield Finding(("routes",), message, "end with a route that has no `when`", "warning")


def served(draft: Draft) -> Iterator[Finding]:
    """There is something to serve with, and somebody may use each route."""
    config = draft.config
    if not config.deployments:
        hint = "set a provider's key, as OPENAI_API_KEY, or name deployments"
        message = "nothing was discovered, and no deployment is configured" if config.discover else "no deployment"
        yield Finding(("discover",) if config.discover else (), f"there is nothing to serve with: {message}", hint)
    callers = [*(key for key in config.keys if key.enabled), *config.identity]
    if not (config.keys or config.identity) or config.auth is False or any(one.routes is None for one in callers):
        return
    allowed = {name for one in callers for name in one.routes or ()}
    for index, route in enumerate(config.routes):
        if route.name not in allowed:
            hint = "add it to the `routes` of a key"
            yield Finding(("routes", index, "name"), f"no key may use route {route.name!r}", hint, "warning")


def ranges(draft: Draft) -> Iterator[Finding]:
    """A range of tokens is not empty."""
    for index, route in enumerate(draft.config.routes):
        tokens = route.when.input_tokens
        if tokens.min is not None and tokens.max is not None and tokens.min > tokens.max:
            message = f"no request has {tokens.min} or more and {tokens.max} or fewer tokens"
            yield Finding(("routes", index, "when", "input_tokens"), message, "swap min and max")


def requirements(draft: Draft) -> Iterator[Finding]:
    """Some deployment of each policy has the region, the company and the capabilities that are asked for."""
    for index, route, pool in _pools(draft):
        require, needs = route.policy.require, frozenset(route.when.needs)
        if not (require.region or require.company or needs):
            continue
        path: Path = ("routes", index, "policy", "require")
        everybody = [*pool, *(draft.deployments[n] for n in route.policy.fallback if n in draft.deployments)]
        regions = sorted({str(d.account.region or "unknown") for d in everybody})
        if require.region and not set(require.region).intersection(regions):
            yield Finding((*path, "region"), _none(route, "region", require.region), f"theirs: {', '.join(regions)}")
        companies = sorted({str(d.account.company or "unknown") for d in everybody})
        if require.company and not set(require.company).intersection(companies):
            hint = f"theirs: {', '.join(companies)}"
            yield Finding((*path, "company"), _none(route, "company", require.company), hint)
        if needs and not any(d.capabilities is None or needs <= d.capabilities for d in everybody):
            message = f"no deployment of route {route.name!r} can do {', '.join(sorted(needs))}"
            yield Finding(("routes", index, "when", "needs"), message, "correct `capabilities`, or add a deployment")


def _none(route: RouteEntry, what: str, asked: tuple[str, ...]) -> str:
    return f"no deployment of route {route.name!r} has the {what} {' or '.join(asked)}"


def floors(draft: Draft) -> Iterator[Finding]:
    """Some deployment of the pool clears the quality floor. Of what was only discovered, nobody promised that."""
    for index, route, pool in _pools(draft):
        strategy = route.policy.chosen()
        if not isinstance(strategy, Cost) or strategy.floor <= 0:
            continue
        best = max((quality for d in pool for quality in d.quality.values()), default=None)
        if best is None or best < strategy.floor:
            known = f"the best known is {best}" if best is not None else "none of them has a `quality`"
            message = f"no deployment of route {route.name!r} clears the quality floor {strategy.floor}: {known}"
            path = ("routes", index, "policy", "strategy", "cost", "floor")
            found = draft.config.discover and route.policy.pool is None
            yield Finding(
                path, message, "give deployments a `quality`, or lower the floor", "warning" if found else "error"
            )


def weights(draft: Draft) -> Iterator[Finding]:
    """Some weight of a weighted pool is more than zero."""
    for index, route, pool in _pools(draft):
        strategy = route.policy.chosen()
        if isinstance(strategy, Weighted) and not any(strategy.weights.get(d.name, d.weight) > 0 for d in pool):
            path = ("routes", index, "policy", "strategy")
            yield Finding(path, f"all weights of route {route.name!r} are 0", "give one deployment a weight above 0")


def _pools(draft: Draft) -> Iterator[tuple[int, RouteEntry, Pool]]:
    """Each route with the deployments of its pool, where all of them are there."""
    pools: dict[tuple[str, ...] | None, Pool] = {}
    for index, route in enumerate(draft.config.routes):
        named = route.policy.pool
        if named not in pools:
            names = draft.pool_of(named)
            pools[named] = [draft.deployments[name] for name in names] if named is None or names == named else []
        if pools[named]:
            yield index, route, pools[named]
