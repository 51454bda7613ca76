"""How hard to think, in Anthropic's words: by a budget of tokens, or adaptively by an effort.

Read next: request.py. Source: Anthropic's published pages on extended thinking, adaptive thinking and effort.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from gateway.providers.anthropic.models import Family
from gateway.providers.wishes import Wishes
from gateway.types import Deployment

__all__ = ["BUDGETS", "LEAST", "Thought", "thought_of"]

#: The least budget that is taken, and the budget of each effort where a model is told one. At Bedrock too.
LEAST: Final = 1024
BUDGETS: Final[Mapping[str, int]] = {
    "minimal": LEAST,
    "low": LEAST,
    "medium": 8192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 49_152,
}
EFFORTS: Final[Mapping[str, str]] = {"minimal": "low"}
LEAST_EFFORT: Final = "low"


class Thought(Struct):
    """What a request says of thinking, and the limit of its output, which has to be above the budget.

    ``dropped``: the client's wish cannot be granted here.
    """

    limit: int
    thinking: dict[str, Any] | None = None
    effort: str | None = None
    dropped: bool = False

    @property
    def on(self) -> bool:
        """Whether it thinks."""
        return self.thinking is not None and self.thinking["type"] in ("adaptive", "enabled")


def thought_of(wishes: Wishes, deployment: Deployment, family: Family, limit: int, *, barred: bool) -> Thought:
    """What to say of thinking. ``limit`` is the most tokens of output so far.

    ``barred``: a tool has to be called, or the turn that is to be gone on with does not begin with thinking. A budget
    is refused then; a model that adapts its thinking takes both.
    """
    how = deployment.thinking or family.thinking
    if wishes.budget is None and not wishes.adaptive:
        if wishes.effort is None:
            return Thought(limit)
        if wishes.effort == "none":
            return Thought(limit) if how == "none" else unthinking(limit, family)
        if wishes.effort not in BUDGETS:
            return Thought(limit, dropped=True)
    if how == "none":
        return Thought(limit, dropped=True)
    if how == "adaptive" and not (wishes.budget is not None and family.budgets):
        return Thought(limit, {"type": "adaptive"}, effort_of(wishes, family))
    if barred:
        return Thought(limit, dropped=True)
    return budgeted(wishes, deployment, limit)


def unthinking(limit: int, family: Family) -> Thought:
    """No thinking; as little as there can be where a model always thinks."""
    return Thought(limit, effort=LEAST_EFFORT) if family.off is None else Thought(limit, {"type": family.off})


def effort_of(wishes: Wishes, family: Family) -> str | None:
    """The effort, also where a budget was asked for of a model that takes none."""
    effort = wishes.effort
    if wishes.budget is not None:
        effort = next((name for name in ("low", "medium", "high") if wishes.budget <= BUDGETS[name]), "high")
    if effort == "xhigh" and not family.extra_high:
        return "high"
    return None if effort is None else EFFORTS.get(effort, effort)


def budgeted(wishes: Wishes, deployment: Deployment, limit: int) -> Thought:
    """A budget, and a limit above it. Of a limit that has to hold both, a quarter is left for the answer."""
    budget = wishes.budget
    if budget is None:
        budget = min(BUDGETS.get(wishes.effort or "medium", BUDGETS["medium"]), limit * 3 // 4)
    budget = max(budget, LEAST)
    if limit <= budget:
        limit += budget
    if deployment.max_output is not None and limit > deployment.max_output > LEAST:
        limit = deployment.max_output
        budget = min(budget, limit - 1)
    return Thought(limit, {"type": "enabled", "budget_tokens": budget})
