"""How a budget stands over the fleet, in its running period. Read next: forecast.py, what will become of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from msgspec import Struct

from gateway.budgets.account import Row
from gateway.budgets.period import Span, span_of
from gateway.types import Caller, Scope, World

__all__ = ["Standing", "account_of", "budgeted", "stands", "templates"]


class Standing(Struct, frozen=True):
    """Micro-dollars of one scope in one period.

    ``settled`` is spent. ``committed`` is what the fleet reckons with: that, what is leased, and ``unaccounted``, what
    replicas had leased or reserved that ended without saying what became of it.
    """

    scope: Scope
    span: Span
    limit: int
    settled: int = 0
    committed: int = 0
    unaccounted: int = 0

    @property
    def leased(self) -> int:
        """What replicas that are there may spend or have reserved."""
        return max(0, self.committed - self.settled - self.unaccounted)


def account_of(scope: Scope, wall: float) -> str:
    """The name of the account of a scope that has a budget, at ``wall`` (Unix time)."""
    assert scope.budget is not None
    return f"{scope.name}/{span_of(scope.budget.per, wall).name}"


def stands(scope: Scope, wall: float, rows: Mapping[str, Mapping[str, Row]], present: Set[str]) -> Standing:
    """The standing of a scope that has a budget, by the rows of each account and replica.

    ``present`` are the replicas that are there.
    """
    assert scope.budget is not None
    told = rows.get(account_of(scope, wall), {})
    gone = sum(row.committed - row.settled for replica, row in told.items() if replica not in present)
    lost = sum(row.lost for replica, row in told.items() if replica in present)
    return Standing(
        scope,
        span_of(scope.budget.per, wall),
        scope.budget.micros,
        sum(row.settled for row in told.values()),
        sum(row.committed for row in told.values()),
        gone + lost,
    )


def budgeted(world: World, made: Sequence[Caller] = ()) -> dict[str, Scope]:
    """The scopes with a budget, by name: organisations, then teams, then keys; of those ``made`` at run time too."""
    scopes = [scope for team in world.teams.values() for scope in team.scopes]
    scopes += [scope for caller in (*made, *world.callers) for scope in caller.scopes]
    found = {scope.name: scope for scope in scopes if scope.budget is not None}
    order = ("organisation", "team", "key")
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0].partition(":")[0]), item[0])))


def templates(world: World, made: Sequence[Caller] = ()) -> dict[str, Scope]:
    """Those of end users, whose names follow."""
    each = [team.each_user for team in world.teams.values() if team.each_user is not None]
    each += [scope for caller in (*made, *world.callers) for scope in caller.each_user]
    return {scope.name: scope for scope in each if scope.budget is not None}
