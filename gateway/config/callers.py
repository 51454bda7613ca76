"""Who may ask, and what they are reckoned with: organisations, teams, keys. Read next: ../types.py, Scope."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.schema import BudgetEntry, Config, KeyEntry, ScopeEntry, ScopeLimitsEntry
from gateway.types import Budget, Caller, Key, Limits, Scope, Team

__all__ = ["key_of", "micros", "teams_of"]


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
            _scope(f"user:team/{name}/", entry.each_user) if entry.each_user is not None else None,
            dict(entry.tags),
        )
    return teams


def key_of(entry: KeyEntry, teams: Mapping[str, Team]) -> Key:
    """The key of an entry. One of a team that there is not is nobody's: whoever checks names has said so."""
    team = teams.get(entry.team) if entry.team is not None else None
    own = (_scope(f"key:{entry.id}", entry),) if _tells(entry) else ()
    each = _scope(f"user:key/{entry.id}/", entry.each_user) if entry.each_user is not None else None
    caller = Caller(
        id=entry.id,
        routes=_set(entry.routes),
        models=_set(entry.models),
        tags={**(team.tags if team is not None else {}), **entry.tags},
        organisation=team.organisation if team is not None else None,
        team=entry.team,
        operations=_set(entry.operations),
        priority=entry.priority,
        networks=entry.networks,
        expires_at=entry.expires,
        scopes=(team.scopes if team is not None else ()) + own,
        each_user=tuple(one for one in (team.each_user if team is not None else None, each) if one is not None),
    )
    return Key(caller, tuple(value.lower() for value in entry.secret_hash), entry.enabled)


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
