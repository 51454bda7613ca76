"""How hard to think, in generateContent's words.

Read next: config.py. Source: ai.google.dev, "Gemini thinking"; "OpenAI compatibility" has the table of efforts.
"""

from __future__ import annotations

from typing import Final

from gateway.providers.google.models import thinking_of, version
from gateway.providers.google.shapes import Object
from gateway.providers.wishes import Wishes
from gateway.types import Deployment

__all__ = ["thinking"]

BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
LEVELS: Final = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
#: The least that a Pro of 2.5 thinks.
LEAST: Final = 128


def thinking(wishes: Wishes, deployment: Deployment) -> Object | None:
    """``thinkingConfig``; None when nothing is asked, or when the model does not think."""
    kind = thinking_of(deployment)
    if kind == "none" or not (wishes.effort or wishes.budget is not None or wishes.adaptive):
        return None
    if wishes.effort == "none":
        return quiet(deployment, level=kind == "level")
    config: Object = {"includeThoughts": True}
    if wishes.budget is not None:
        # Levels came later; the models that have them still take a budget, but never both.
        config["thinkingBudget"] = wishes.budget
    elif wishes.effort is not None and kind == "level":
        config["thinkingLevel"] = level(wishes.effort, deployment.model)
    elif wishes.effort is not None:
        config["thinkingBudget"] = BUDGETS.get(wishes.effort, BUDGETS["medium"])
    elif kind == "budget":
        config["thinkingBudget"] = -1
    return config


def quiet(deployment: Deployment, *, level: bool) -> Object:
    """As little as the model can: a Pro cannot do without."""
    pro = "-pro" in deployment.model
    if level:
        return {"thinkingLevel": "low" if pro else "minimal"}
    return {"thinkingBudget": LEAST if pro else 0}


def level(effort: str, model: str) -> str:
    found = LEVELS.get(effort, "medium")
    if "-pro" not in model:
        return found
    if found == "minimal":
        return "low"
    # The first Pro of Gemini 3 knew two levels.
    return "high" if found == "medium" and version(model) == (3, 0) else found
