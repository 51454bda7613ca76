"""Whatever names something names something that is there. Read next: reach.py."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.draft import Draft
from gateway.config.finding import Finding, Path, closest
from gateway.config.kinds import kind_of
from gateway.config.kinds import kinds as known_kinds

__all__ = ["deployments", "kinds", "providers"]


def kinds(draft: Draft) -> Iterator[Finding]:
    """Every provider is of a known kind, and has an address and the key it needs."""
    names = [kind.name for kind in known_kinds()]
    for name, entry in draft.config.providers.items():
        path: Path = ("providers", name)
        kind = kind_of(entry.kind or name)
        if kind is None and entry.kind is None:
            hint = closest(name, names) or ""
            yield Finding(path, f"provider {name!r} needs a kind: its name is not one", f"{hint} or add `kind:`")
        elif kind is None:
            yield Finding(
                (*path, "kind"), f"there is no kind of provider {entry.kind!r}", closest(entry.kind or "", names)
            )
        elif name not in draft.accounts:
            yield Finding(path, f"provider {name!r} needs a base_url", f"kind {kind.name} has none of its own")
        elif kind.key_required and not draft.accounts[name].keys:
            variable = kind.env or "PROVIDER_API_KEY"
            hint = f"export {variable}=… or write `api_key: ${{NAME}}`"
            yield Finding(path, f"provider {name!r} has no api_key, and {variable} is not set", hint)


def providers(draft: Draft) -> Iterator[Finding]:
    """Every deployment is at a provider that there is."""
    known = draft.config.providers
    for name, entry in draft.config.deployments.items():
        if entry.provider not in known:
            path = ("deployments", name, "provider")
            yield Finding(path, f"there is no provider {entry.provider!r}", closest(entry.provider, known))


def deployments(draft: Draft) -> Iterator[Finding]:
    """Every pool and fallback holds deployments that there are."""
    known = draft.config.deployments
    for index, route in enumerate(draft.config.routes):
        for part, names in (("pool", route.policy.pool or ()), ("fallback", route.policy.fallback)):
            for place, name in enumerate(names):
                if name not in known:
                    path = ("routes", index, "policy", part, place)
                    yield Finding(path, f"there is no deployment {name!r}", closest(name, known))
