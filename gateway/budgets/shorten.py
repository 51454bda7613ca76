"""A request made to fit into what a budget has left: a shorter answer instead of none. Read next: bound.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from gateway.budgets.bound import bound_of_all
from gateway.types import Asked, Call, Decision, World

__all__ = ["shortened"]

#: An answer of fewer tokens is not worth the input.
LEAST: Final = 16


def shortened(asked: Asked, decision: Decision, world: World) -> tuple[Asked, str] | None:
    """The request with the most tokens for its answer that one of the deployments ruled out as too dear could give it.

    And the sentence that tells the client; None when not even a short answer is within the budget.
    """
    best, scope = 0, ""
    for verdict in decision.verdicts:
        if verdict.why is not None and verdict.why.code == "over_budget":
            tokens = _most_tokens(asked, verdict.deployment, int(verdict.why.args[2]), world)
            if tokens > best:
                best, scope = tokens, str(verdict.why.args[0])
    if best < LEAST + _thinking(asked.call.fields):
        return None
    call = _limited(asked.call, best)
    kind, _, who = scope.partition(":")
    features = replace(asked.features, max_output=best)
    said = f"max_tokens was lowered to {best}: the budget of {kind} {who} holds no longer answer"
    return replace(asked, call=call, features=features), said


def _thinking(fields: Mapping[str, Any]) -> int:
    """The tokens that a client wants thought with: those of an answer come on top, or providers refuse it."""
    thinking = fields.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return budget if isinstance(budget, int) else 0


def _most_tokens(asked: Asked, name: str, left: int, world: World) -> int:
    """By halving: what one more token costs at most is the bound's own affair."""
    deployment = world.deployments[name]
    high = asked.features.max_output or deployment.max_output or 1_000_000
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        most = bound_of_all(_limited(asked.call, middle), replace(asked.features, max_output=middle), deployment)
        if most is not None and most <= left:
            low = middle
        else:
            high = middle - 1
    return low


def _limited(call: Call, tokens: int) -> Call:
    native = call.native
    if native is not None:
        native = replace(native, fields=_with(native.fields, tokens))
    return replace(call, fields=_with(call.fields, tokens), native=native)


def _with(fields: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    name = "max_completion_tokens" if fields.get("max_completion_tokens") is not None else "max_tokens"
    return {**fields, name: tokens}
