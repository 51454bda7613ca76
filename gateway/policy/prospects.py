"""What a caller's budgets would make of a request, had so much of them been spent: sentences of a dry run.

Read next: spend.py, the same for a request that is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.budgets.bound import bound_of_all
from gateway.money import usd
from gateway.policy.spend import part_of, shifts
from gateway.types import Asked, Budget, Decision, Funds, Scope, World

__all__ = ["funds_at", "prospects"]


def funds_at(scopes: Sequence[Scope], used: float) -> Funds | None:
    """How budgets stand that are all ``used`` to this share, the smallest as the tightest; None without any."""
    budgets = [(scope.budget.micros, scope.name) for scope in scopes if scope.budget is not None]
    if not budgets:
        return None
    micros, name = min(budgets)
    return Funds(name, round(used * 1000), micros - round(micros * used))


def prospects(asked: Asked, decision: Decision, world: World, scopes: Sequence[Scope]) -> list[str]:
    """Which budgets there are, what the request reserves of them, and whether it is moved: a sentence a line."""
    return list(_prospects(asked, decision, world, scopes))


def _prospects(asked: Asked, decision: Decision, world: World, scopes: Sequence[Scope]) -> Iterator[str]:
    funds = decision.funds
    if funds is None:
        yield f"{asked.caller.id} has no budget."
        return
    budgets = [f"{scope.name} {_written(scope.budget)}" for scope in scopes if scope.budget is not None]
    yield f"Budgets: {', '.join(budgets)}."
    yield f"With {funds.used / 10:g}% of them used, {funds.scope} has {usd(funds.left)} USD left."
    names = dict.fromkeys(verdict.deployment for verdict in decision.verdicts)
    mosts = [(name, bound_of_all(asked.call, asked.features, world.deployments[name])) for name in names]
    reserved = [f"{usd(most) if most is not None else 'an unknown amount of'} USD at {name}" for name, most in mosts]
    yield f"A try reserves, since it may cost so much: {', '.join(reserved)}."
    yield _shift(asked, decision, world, funds)


def _shift(asked: Asked, decision: Decision, world: World, funds: Funds) -> str:
    """Whether it is of the part of the traffic that is moved."""
    shift = next((route.policy.shift for route in world.routes if route.name == decision.route), None)
    if shift is None:
        return "Its route has no budget_shift: nothing changes until a budget does not hold it."
    part = part_of(shift, funds)
    if part <= 0:
        return f"budget_shift moves nothing up to {shift.since:.0%} of a budget."
    which = "this one among them" if shifts(shift, funds, asked) else "this one not among them"
    return f"budget_shift now moves {min(part, 1):.0%} of conversations to what is cheaper, {which}."


def _written(budget: Budget) -> str:
    return f"{budget.micros / 1e6:g} USD {'in total' if budget.per == 'total' else f'a {budget.per}'}"
