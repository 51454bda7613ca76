"""Numbers and addresses that cannot be, patterns that do not compile, fallbacks of no help. Read next: safety.py."""

from __future__ import annotations

from collections.abc import Iterator

import re2

from gateway.config.draft import Draft
from gateway.config.finding import Finding, Path
from gateway.state.address import parse_address

__all__ = ["addresses", "backoff", "fallbacks", "patterns", "state", "timeouts"]


def timeouts(draft: Draft) -> Iterator[Finding]:
    """No part of an attempt may take longer than the whole."""
    for name, entry in draft.config.providers.items():
        allowed = entry.timeouts
        for part in ("connect", "first_byte", "first_token", "stall", "no_content"):
            written = part in allowed.model_fields_set
            if written and (getattr(allowed, part) or 0) > allowed.total:
                path = ("providers", name, "timeouts", part)
                message = f"{part} ({getattr(allowed, part):g}s) is longer than total ({allowed.total:g}s)"
                yield Finding(path, message, "lower it, or raise total")


def backoff(draft: Draft) -> Iterator[Finding]:
    """The first wait is not longer than the longest, and an attempt leaves room for what is planned."""
    for index, route in enumerate(draft.config.routes):
        retry = route.policy.retry
        for part in ("base", "base_rate_limited"):
            if getattr(retry, part) > retry.cap:
                path = ("routes", index, "policy", "retry", part)
                message = f"{part} ({getattr(retry, part):g}s) is longer than cap ({retry.cap:g}s)"
                yield Finding(path, message, "lower it, or raise cap")


def patterns(draft: Draft) -> Iterator[Finding]:
    """Every intent has something to be recognised by, and its patterns are RE2."""
    options = re2.Options()
    options.log_errors = False
    for name, entry in draft.config.intents.items():
        if not entry.keywords and not entry.patterns:
            yield Finding(("intents", name), f"intent {name!r} has no keywords or patterns", "give it some")
        for place, pattern in enumerate(entry.patterns):
            try:
                re2.compile(pattern, options)
            except re2.error as error:
                said = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
                path = ("intents", name, "patterns", place)
                yield Finding(path, f"this is not an RE2 pattern: {said}", "RE2 has no look-around or back-references")


def fallbacks(draft: Draft) -> Iterator[Finding]:
    """A fallback is not what has just failed, and not all of it is run by one company."""
    for index, route in enumerate(draft.config.routes):
        pool = draft.pool_of(route.policy.pool)
        path: Path = ("routes", index, "policy", "fallback")
        for place, name in enumerate(route.policy.fallback):
            if route.policy.pool is not None and name in pool:
                message = f"{name!r} is in the pool already: it does not wait for the pool to fail"
                yield Finding((*path, place), message, "remove it from one of the two", "warning")
        chain = [name for name in (*pool, *route.policy.fallback) if name in draft.deployments]
        companies = {d.account.company for name in chain if not (d := draft.deployments[name]).simulated}
        written = route.policy.fallback or route.policy.pool is not None
        if written and len(chain) > 1 and len(companies) == 1 and None not in companies:
            message = f"all of route {route.name!r} is run by {companies.pop()}, and fails when it does"
            where = path if route.policy.fallback else (*path[:-1], "pool")
            yield Finding(where, message, "add a deployment of another company", "warning")


def addresses(draft: Draft) -> Iterator[Finding]:
    """A provider has one address."""
    for name, entry in draft.config.providers.items():
        if entry.base_url is not None and entry.endpoint is not None:
            path = ("providers", name, "endpoint")
            yield Finding(
                path, f"provider {name!r} has both a base_url and an endpoint", "they mean the same: keep one"
            )


def state(draft: Draft) -> Iterator[Finding]:
    """The address of the shared state is one."""
    address = draft.config.state
    if address is None:
        return
    try:
        parse_address(address.reveal())
    except ValueError as wrong:
        hint = "as redis://host:6379/0 or redis+sentinel://host1:26379,host2:26379/mymaster/0"
        yield Finding(("state",), f"state is not the address of a Redis: {wrong}", hint)
