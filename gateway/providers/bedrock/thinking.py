"""How hard to think, in the words of the model behind Converse: among its own fields, each family in its own way.

Read next: request.py. Source: the Amazon Bedrock user guide (extended and adaptive thinking, Claude), the Amazon Nova 2
user guide (extended thinking), and recordings of gpt-oss and Qwen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from gateway.providers.anthropic.thinking import BUDGETS, LEAST
from gateway.providers.bedrock.models import Family, Thinks
from gateway.providers.bedrock.words import Body
from gateway.providers.wishes import Wishes
from gateway.types import Deployment

__all__ = ["Thought", "thought_of"]

#: Tokens that are left for the answer where the client set no limit.
ANSWER_ROOM: Final = 4096
OFF: Final[Body] = {"thinking": {"type": "disabled"}}
#: Of our efforts those that a family with three levels knows.
LEVELS: Final[Mapping[str, str]] = {"minimal": "low", "xhigh": "high", "max": "high"}


class Thought(Struct):
    """What a request says of thinking.

    ``fields`` are members of additionalModelRequestFields, ``effort`` is the one of outputConfig. ``limit`` is the most
    tokens of output, which a budget is part of. ``dropped``: the client's wish cannot be granted.
    """

    limit: int | None
    fields: Body = {}
    effort: str | None = None
    dropped: bool = False

    @property
    def on(self) -> bool:
        """Whether it was told to think, so that its other settings are bound."""
        return bool(self.fields) and self.fields != OFF


def thought_of(wished: Wishes, deployment: Deployment, family: Family, limit: int | None, *, barred: bool) -> Thought:
    """What to say of thinking; ``barred``: something else in the request forbids Claude to think."""
    asked = wished.effort not in (None, "none") or wished.budget is not None or wished.adaptive
    how = way_of(deployment, family)
    if not asked and wished.effort != "none":
        return Thought(limit)
    if not asked:
        # Only who adapts may think untold; gpt-oss and Qwen cannot be told not to.
        return Thought(limit, OFF if how == "adaptive" else {}, dropped=how in ("reasoning_effort", "reasoning_config"))
    if how is None or (barred and how in ("budget", "adaptive")):
        return Thought(limit, dropped=True)
    effort = effort_of(wished)
    level = LEVELS.get(effort, effort)
    if how == "budget":
        return budgeted(wished, deployment, limit, effort)
    if how == "adaptive":
        named = wished.effort is not None or wished.budget is not None
        return Thought(limit, {"thinking": {"type": "adaptive"}}, claude_effort(effort, family) if named else None)
    if how == "nova":
        # Nova takes no limit of output where it thinks hardest, and the limit is the client's.
        level = "medium" if level == "high" and limit is not None else level
        return Thought(limit, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}})
    return Thought(limit, {how: level})


def way_of(deployment: Deployment, family: Family) -> Thinks | None:
    """How this deployment is told: as its configuration or the catalogue says, else as its family is."""
    if deployment.thinking == "none":
        return None
    if deployment.thinking in ("budget", "adaptive") and family.thinks in (None, "budget", "adaptive"):
        return "budget" if deployment.thinking == "budget" else "adaptive"
    return family.thinks


def effort_of(wished: Wishes) -> str:
    """The effort, also where a budget was asked for of a model that takes none."""
    if wished.effort is not None and wished.effort != "none":
        return wished.effort
    if wished.budget is None:
        return "high"
    return next((name for name in ("low", "medium", "high") if wished.budget <= BUDGETS[name]), "high")


def claude_effort(effort: str, family: Family) -> str:
    """The effort as Claude knows it: xhigh came with the versions that take no sampling any more."""
    if effort == "xhigh" and family.samples != "none":
        return "high"
    return "low" if effort == "minimal" else effort


def budgeted(wished: Wishes, deployment: Deployment, limit: int | None, effort: str) -> Thought:
    """A budget below the limit: as much as was asked for, less where that does not fit, none where nothing does."""
    budget = max(wished.budget if wished.budget is not None else BUDGETS.get(effort, LEAST), LEAST)
    most = limit if limit is not None else deployment.max_output
    if most is not None and budget >= most:
        budget = most * 3 // 4
    if budget < LEAST:
        return Thought(limit, dropped=True)
    return Thought(limit or min(budget + ANSWER_ROOM, most or budget + ANSWER_ROOM), enabled(budget))


def enabled(budget: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}
