"""Who may ask, and what they are reckoned with: organisations, teams, keys, issuers. Read next: ../types.py, Scope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Final

from msgspec.structs import replace

from gateway.budgets.scopes import each_user_of
from gateway.config.schema import (
    BudgetEntry,
    CallerEntry,
    Config,
    IssuerEntry,
    KeyEntry,
    ScopeEntry,
    ScopeLimitsEntry,
    TermsEntry,
)
from gateway.types import Budget, Caller, Issuer, Key, Limits, Networks, Scope, Team

__all__ = ["TOKENS", "caller_of", "claim_of", "issuer_of", "key_of", "micros", "networks_of", "teams_of"]

#: What the ids of callers with a token begin with, before the name of the issuer: no key's id does.
TOKENS: Final = "jwt:"


def teams_of(config: Config) -> dict[str, Team]:
    """The teams of a configuration, by name."""
    organisations = {
        name: _scope(f"organisation:{name}", entry) for name, entry in config.organisations.items() if _tells(entry)
    }
    teams = {}
    for name, entry in config.teams.items():
        above = organisations.get(entry.organisation) if entry.organisation is not None else None
        own = _scope(f"team:{name}", entry) if _tells(entry) else None
        teams[name] = Team(
            name,
            entry.organisation,
            tuple(scope for scope in (above, own) if scope is not None),
            _scope(each_user_of("team", name), entry.each_user) if entry.each_user is not None else None,
            dict(entry.tags),
        )
    return teams


def key_of(entry: KeyEntry, teams: Mapping[str, Team]) -> Key:
    """The key of an entry."""
    return Key(caller_of(entry, teams), tuple(value.lower() for value in entry.secret_hash), entry.enabled)


def caller_of(entry: TermsEntry, teams: Mapping[str, Team]) -> Caller:
    """Who asks with a key. A team that there is not is nobody's: whoever checks names has said so."""
    team = teams.get(entry.team) if entry.team is not None else None
    return replace(_caller(entry.id, entry, team), team=entry.team, expires_at=entry.expires)


def issuer_of(entry: IssuerEntry, teams: Mapping[str, Team]) -> Issuer:
    """The issuer of an entry. What a caller of each team may do is known; only the claims are to come."""
    id = f"{TOKENS}{entry.name}"
    callers = {name: _caller(id, entry, team) for name, team in teams.items()}
    named = {value: callers[name] for value, name in entry.teams.items() if name in callers}
    return Issuer(
        name=entry.name,
        issuer=entry.issuer,
        audiences=frozenset(entry.audience),
        algorithms=frozenset(entry.algorithms),
        jwks=entry.jwks,
        team=claim_of(entry.team) if entry.team is not None else None,
        callers=named if entry.teams else callers,
        default=callers.get(entry.default_team) if entry.default_team is not None else None,
        user=claim_of(entry.user) if entry.user is not None else None,
        tags=tuple((tag, claim_of(claim)) for tag, claim in entry.claim_tags.items()),
        require=tuple(
            (claim_of(claim), frozenset(() if "*" in values else values)) for claim, values in entry.require.items()
        ),
        leeway_s=entry.leeway,
        max_age_s=entry.max_age,
        allow_private=entry.allow_private,
    )


def claim_of(text: str) -> tuple[str, ...]:
    """The way to a claim. Claims that are named by an address have dots that lead nowhere."""
    return (text,) if "/" in text else tuple(text.split("."))


def _caller(id: str, entry: CallerEntry, team: Team | None) -> Caller:
    own = (_scope(f"key:{id}", entry),) if _tells(entry) else ()
    each = _scope(each_user_of("key", id), entry.each_user) if entry.each_user is not None else None
    return Caller(
        id=id,
        routes=_set(entry.routes),
        models=_set(entry.models),
        tags={**(team.tags if team is not None else {}), **entry.tags},
        organisation=team.organisation if team is not None else None,
        team=team.name if team is not None else None,
        operations=_set(entry.operations),
        priority=entry.priority,
        networks=networks_of(entry.networks) if entry.networks is not None else None,
        scopes=(team.scopes if team is not None else ()) + own,
        each_user=tuple(one for one in (team.each_user if team is not None else None, each) if one is not None),
    )


def networks_of(written: Iterable[str]) -> Networks:
    """Networks that the schema has found to be some."""
    return tuple(ip_network(one) for one in written)


def micros(usd: float) -> int:
    """Dollars as written, in micro-dollars."""
    return round(usd * 1_000_000)


def _scope(name: str, entry: ScopeEntry) -> Scope:
    return Scope(name, _budget(entry.budget), _limits(entry.limits))


def _tells(entry: ScopeEntry) -> bool:
    return entry.budget is not None or entry.limits is not None


def _budget(entry: BudgetEntry | None) -> Budget | None:
    return Budget(micros(entry.usd), entry.per, tuple(sorted(set(entry.alert_at)))) if entry is not None else None


def _limits(entry: ScopeLimitsEntry | None) -> Limits | None:
    return Limits(entry.rpm, entry.tpm, entry.concurrency) if entry is not None else None


def _set(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return frozenset(names) if names is not None else None
