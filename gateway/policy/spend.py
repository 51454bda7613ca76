"""What a caller's budgets leave of a choice: who costs too much, and who is moved to something cheaper.

Read next: decide.py.
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol

from gateway.budgets.bound import bound_of_all
from gateway.dice import uniform
from gateway.policy.strategies.cost import Cost
from gateway.types import Asked, Deployment, Funds, Money, Place, Policy, Reason, Shift

__all__ = ["Cheapest", "Scores", "part_of", "shifts", "unaffordable"]

_COST: Final = Cost()


class Scores(Protocol):
    """The part of a strategy that ranks."""

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """A score, lower is better, or the reason why this deployment cannot be chosen."""
        ...


class Cheapest:
    """By expected cost, among those that the policy's own strategy would choose at all; as listed where it was."""

    __slots__ = ("_listed", "_policy")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._listed = policy.shift is not None and bool(policy.shift.to)

    def score(self, candidate: Deployment, place: Place, asked: Asked) -> float | Reason:
        """See Scores."""
        if self._listed:
            return float(place.position)
        own = self._policy.strategy.score(candidate, place, asked)
        return own if isinstance(own, Reason) else _COST.score(candidate, place, asked)


def unaffordable(candidate: Deployment, asked: Asked, funds: Funds | None, money: Money) -> Reason | None:
    """A try at this deployment might cost more than the caller's budgets hold, or nobody knows what it costs."""
    if funds is None:
        return None
    most = bound_of_all(asked.call, asked.features, candidate)
    if most is None:
        return Reason("price_unknown") if money.unknown_price == "refuse" else None
    lacking = most > max(0, funds.left)
    return Reason("over_budget", (funds.least or funds.scope, most, funds.left)) if lacking else None


def shifts(shift: Shift, funds: Funds, asked: Asked) -> bool:
    """Whether this request is of the part that is moved: none at ``since`` of the budget, all when nothing is left.

    By its conversation, so that one that has been moved stays where it is as the part grows.
    """
    part = part_of(shift, funds)
    return part > 0 and uniform(asked.features.conversation, zlib.crc32(funds.scope.encode())) < part


def part_of(shift: Shift, funds: Funds) -> float:
    """The part of the traffic that is moved: 0 and less is none of it, 1 and more is all."""
    return (funds.used / 1000 - shift.since) / (1 - shift.since)
