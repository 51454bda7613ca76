"""Whatever names something names something that is there, and no name means two things. Read next: reach.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.config.build import resolve
from gateway.config.draft import Draft, uses_usual_key
from gateway.config.finding import Finding, Path, closest
from gateway.config.kinds import Kind, kind_of
from gateway.config.kinds import kinds as known_kinds
from gateway.config.schema import CallerEntry
from gateway.intent.classify import STRUCTURAL
from gateway.policy.decide import DIRECT
from gateway.policy.match import AUTO
from gateway.policy.strategies import Weighted

__all__ = ["aliases", "intents", "issuers", "keys", "kinds", "names", "pools", "providers", "teams"]

#: Intents that every request may be found to have.
BUILT_IN: Final = frozenset(label for label, _ in STRUCTURAL) | {"chat"}
#: Names with a meaning of their own.
_RESERVED: Final = {AUTO: "it asks for a route to be found", DIRECT: "it marks requests that name a deployment"}


def kinds(draft: Draft) -> Iterator[Finding]:
    """Every provider is of a known kind, and has an address and the key it needs."""
    known = [kind.kind for kind in known_kinds()]
    for name, entry in draft.config.providers.items():
        path: Path = ("providers", name)
        kind = kind_of(entry.kind or name)
        if kind is None and entry.kind is None:
            hint = f"add `kind:`, as openai_compatible; {closest(name, known)}"
            yield Finding(path, f"provider {name!r} needs a kind, for its name is not one", hint)
        elif kind is None:
            yield Finding(
                (*path, "kind"), f"there is no kind of provider {entry.kind!r}", closest(entry.kind or "", known)
            )
        elif name not in draft.accounts:
            yield Finding(path, f"provider {name!r} needs a base_url", f"kind {kind.kind} has none of its own")
        elif (kind.key_required or kind.login) and not draft.accounts[name].keys and draft.accounts[name].auth is None:
            yield _no_key(name, kind, usual=uses_usual_key(entry, kind))


def _no_key(name: str, kind: Kind, usual: bool) -> Finding:
    path, message = ("providers", name), f"provider {name!r} has no api_key"
    if kind.login is not None:
        hint = f"write `auth: {kind.login}` if that login is meant for this address: by itself it goes only to its own"
        return Finding(path, message, hint, "error" if kind.key_required else "warning")
    if not kind.env:
        return Finding(path, message, "write `api_key: ${NAME}`")
    if usual:
        hint = f"export {kind.env[0]}=… or write `api_key: ${{NAME}}`"
        return Finding(path, f"{message}, and {kind.env[0]} is not set", hint)
    hint = (
        f"write `api_key: ${{{kind.env[0]}}}` if that key is meant for this address: by itself it goes only to its own"
    )
    return Finding(path, message, hint)


def providers(draft: Draft) -> Iterator[Finding]:
    """Every deployment is at a provider that there is."""
    known = draft.config.providers
    for name, entry in draft.config.deployments.items():
        if entry.provider not in known:
            path = ("deployments", name, "provider")
            yield Finding(path, f"there is no provider {entry.provider!r}", closest(entry.provider, known))


def pools(draft: Draft) -> Iterator[Finding]:
    """Every pool, fallback and list of weights names deployments that there are, and no pool is empty."""
    for index, route in enumerate(draft.config.routes):
        policy = route.policy
        path: Path = ("routes", index, "policy")
        yield from _deployments(draft, (*path, "pool"), policy.pool or ())
        yield from _deployments(draft, (*path, "fallback"), policy.fallback)
        if isinstance(strategy := policy.chosen(), Weighted):
            for name in strategy.weights:
                yield from _deployment(draft, (*path, "strategy", "weighted", "weights", name), name)
        if policy.budget_shift is not None:
            yield from _deployments(draft, (*path, "budget_shift", "to"), policy.budget_shift.to)
        if policy.reference is not None:
            yield from _deployment(draft, (*path, "reference"), policy.reference)
        if policy.pool == () or (policy.pool is None and not draft.config.deployments):
            hint = "name deployments, or leave it out for all of them"
            yield Finding((*path, "pool"), f"the pool of route {route.name!r} is empty", hint)


def _deployments(draft: Draft, path: Path, names: Sequence[str]) -> Iterator[Finding]:
    seen = set()
    for place, name in enumerate(names):
        yield from _deployment(draft, (*path, place), name)
        if name in seen:
            yield Finding((*path, place), f"deployment {name!r} is in this list twice", "remove one")
        seen.add(name)


def _deployment(draft: Draft, path: Path, name: str) -> Iterator[Finding]:
    known = draft.config.deployments
    if name not in known:
        yield Finding(path, f"there is no deployment {name!r}", closest(name, known))


def intents(draft: Draft) -> Iterator[Finding]:
    """Every intent that a route waits for, or a quality is given for, is one that something signals."""
    known = BUILT_IN | set(draft.config.intents)
    for index, route in enumerate(draft.config.routes):
        for place, label in enumerate(route.when.intent or ()):
            if label not in known:
                path: Path = ("routes", index, "when", "intent", place)
                yield Finding(path, f"nothing signals the intent {label!r}", closest(label, known))
    for name, entry in draft.config.deployments.items():
        for label in entry.quality:
            if label not in known and label != "default":
                path = ("deployments", name, "quality", label)
                yield Finding(path, f"nothing signals the intent {label!r}", closest(label, known | {"default"}))


def names(draft: Draft) -> Iterator[Finding]:
    """No two of the names that a client may send are the same."""
    config = draft.config
    seen: dict[str, str] = {}
    everything: list[tuple[str, Path, str]] = [
        *(("deployment", ("deployments", name), name) for name in config.deployments),
        *(("route", ("routes", index, "name"), route.name) for index, route in enumerate(config.routes)),
        *(("alias", ("aliases", name), name) for name in config.aliases),
    ]
    for what, path, name in everything:
        if name in _RESERVED:
            yield Finding(path, f"{what} may not be called {name!r}: {_RESERVED[name]}", "choose another name")
        elif name in seen:
            yield Finding(path, f"{what} {name!r} has the name of a {seen[name]}", "choose another name for one")
        seen.setdefault(name, what)


def aliases(draft: Draft) -> Iterator[Finding]:
    """Every alias leads to a deployment, a route or ``auto``."""
    config = draft.config
    known = {*config.deployments, *(route.name for route in config.routes), AUTO}
    for alias, target in config.aliases.items():
        end = resolve(alias, config.aliases)
        if end in known:
            continue
        if target in config.aliases:
            if end == alias or end in config.aliases:
                yield Finding(("aliases", alias), f"alias {alias!r} leads round in a circle", "let one of them end")
            continue
        message = f"alias {alias!r} leads to {target!r}, which is no deployment, route or alias"
        yield Finding(("aliases", alias), message, closest(target, known | set(config.aliases)))


def keys(draft: Draft) -> Iterator[Finding]:
    """Every key has an id and hashes of its own, and whatever it may use is there; routes name keys that are there.

    Or will be, since keys are also made at run time.
    """
    config = draft.config
    seen: dict[str, str] = {}
    for index, entry in enumerate(config.keys):
        path: Path = ("keys", index)
        for word, what in ((entry.id, "id"), *((value.lower(), "secret_hash") for value in entry.secret_hash)):
            if word in seen:
                yield Finding((*path, what), f"key {entry.id!r} has the {what} of another", "give it its own")
            seen[word] = what
        yield from _allowed(draft, path, entry)
        if entry.team is not None and entry.team not in config.teams:
            yield Finding((*path, "team"), f"there is no team {entry.team!r}", closest(entry.team, config.teams))
    ids = {entry.id for entry in config.keys}
    for index, route in enumerate(config.routes):
        for place, name in enumerate(route.when.key or ()):
            if name not in ids:
                message = f"there is no key {name!r} in this file"
                yield Finding(("routes", index, "when", "key", place), message, closest(name, ids), "warning")


def issuers(draft: Draft) -> Iterator[Finding]:
    """Whatever those with a token may use is there."""
    for index, entry in enumerate(draft.config.identity):
        yield from _allowed(draft, ("identity", index), entry)


def _allowed(draft: Draft, path: Path, entry: CallerEntry) -> Iterator[Finding]:
    routes = {route.name for route in draft.config.routes} or {"default"}
    for place, name in enumerate(entry.models or ()):
        yield from _deployment(draft, (*path, "models", place), name)
    for place, name in enumerate(entry.routes or ()):
        if name not in routes:
            yield Finding((*path, "routes", place), f"there is no route {name!r}", closest(name, routes))


def teams(draft: Draft) -> Iterator[Finding]:
    """Every team belongs to an organisation that there is, if to any."""
    known = draft.config.organisations
    for name, entry in draft.config.teams.items():
        if entry.organisation is not None and entry.organisation not in known:
            path: Path = ("teams", name, "organisation")
            yield Finding(path, f"there is no organisation {entry.organisation!r}", closest(entry.organisation, known))
