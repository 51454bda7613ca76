"""How hard to think, in the words of each provider. Read next: rows.py, whose ``effort`` names one of these spellings.

Sources, November 2026: the pages on reasoning of OpenAI, Groq, xAI, Mistral, DeepSeek, Z.ai, Moonshot, Alibaba,
OpenRouter and Vercel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.providers.rows import Row
from gateway.types import Deployment

__all__ = ["EFFORTS", "level_of", "nearest", "tell"]

Fields = dict[str, Any]

#: OpenAI's words, from the least to the most.
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def tell(fields: Fields, row: Row, deployment: Deployment) -> tuple[str, ...]:
    """Spell ``reasoning_effort`` and ``thinking`` as the provider does, in place; the names of what it is not told.

    A model that does not think, or cannot be told how much, is not told; to be told not to is no loss to it.
    """
    if "thinking" in row.keeps and row.effort == "effort" and deployment.thinking != "none":
        return ()
    effort, thinking = fields.pop("reasoning_effort", None), fields.pop("thinking", None)
    thinking = thinking if isinstance(thinking, dict) else None
    off = effort == "none" or (effort is None and thinking is not None and thinking.get("type") == "disabled")
    if effort is None and thinking is None:
        return ()
    if deployment.thinking == "none":
        asked = (("reasoning_effort", effort), ("thinking", thinking))
        return () if off else tuple(name for name, value in asked if value is not None)
    return SPELLINGS[row.effort](fields, row, deployment, effort, thinking or {}, off)


def nearest(effort: str, known: tuple[str, ...]) -> str:
    """The word among those known that means most nearly the same; the greater of two; any other word as it is."""
    if not known or effort in known or effort not in EFFORTS:
        return effort
    at = EFFORTS.index(effort)
    return min(known, key=lambda word: (abs(EFFORTS.index(word) - at), -EFFORTS.index(word)))


def level_of(budget: int) -> str:
    """The effort that is meant by a budget of so many tokens of thinking."""
    return "low" if budget <= 4096 else "medium" if budget <= 16_384 else "high"


def _effort(
    fields: Fields, row: Row, deployment: Deployment, effort: str | None, thinking: Mapping[str, Any], off: bool
) -> tuple[str, ...]:
    """``reasoning_effort``, with the words that the provider knows."""
    budget = thinking.get("budget_tokens")
    if effort is None and off:
        if "none" not in row.efforts:
            return ("thinking",)
        effort = "none"
    elif effort is None and isinstance(budget, int):
        effort = level_of(budget)
    if effort is not None:
        fields["reasoning_effort"] = nearest(effort, row.efforts)
    return ()


def _level_or_default(
    fields: Fields, row: Row, deployment: Deployment, effort: str | None, thinking: Mapping[str, Any], off: bool
) -> tuple[str, ...]:
    """Levels for models that have them, ``none`` and ``default`` for the others."""
    if deployment.thinking == "level":
        return _effort(fields, row, deployment, effort, thinking, off)
    fields["reasoning_effort"] = "none" if off else "default"
    return ()


def _reasoning(
    fields: Fields, row: Row, deployment: Deployment, effort: str | None, thinking: Mapping[str, Any], off: bool
) -> tuple[str, ...]:
    """``reasoning: {effort | max_tokens | enabled}``."""
    if fields.get("reasoning") is None:
        budget = thinking.get("budget_tokens")
        if off or effort is not None:
            fields["reasoning"] = {"effort": "none" if off else effort}
        else:
            fields["reasoning"] = {"max_tokens": budget} if isinstance(budget, int) else {"enabled": True}
    return ()


def _toggle(
    fields: Fields, row: Row, deployment: Deployment, effort: str | None, thinking: Mapping[str, Any], off: bool
) -> tuple[str, ...]:
    """``thinking: {type: enabled | disabled}``; other members of it are the client's own for this provider."""
    own = {name: value for name, value in thinking.items() if name not in ("type", "budget_tokens", "display")}
    told = off or effort is not None or not own or "type" in thinking
    fields["thinking"] = {"type": "disabled" if off else "enabled", **own} if told else own
    return ()


def _toggle_and_effort(
    fields: Fields, row: Row, deployment: Deployment, effort: str | None, thinking: Mapping[str, Any], off: bool
) -> tuple[str, ...]:
    """The same, with ``reasoning_effort`` beside it."""
    _toggle(fields, row, deployment, effort, thinking, off)
    budget = thinking.get("budget_tokens")
    if effort is None and isinstance(budget, int):
        effort = level_of(budget)
    if effort is not None and not off:
        fields["reasoning_effort"] = nearest(effort, row.efforts)
    return ()


def _enable_thinking(
    fields: Fields, row: Row, deployment: Deployment, effort: str | None, thinking: Mapping[str, Any], off: bool
) -> tuple[str, ...]:
    """``enable_thinking``, and ``thinking_budget`` where one is given."""
    fields.setdefault("enable_thinking", not off)
    budget = thinking.get("budget_tokens")
    if isinstance(budget, int) and not off:
        fields.setdefault("thinking_budget", budget)
    return ()


Spelling = Callable[[Fields, Row, Deployment, str | None, Mapping[str, Any], bool], tuple[str, ...]]
SPELLINGS: Final[Mapping[str, Spelling]] = {
    "effort": _effort,
    "level_or_default": _level_or_default,
    "reasoning": _reasoning,
    "toggle": _toggle,
    "toggle_and_effort": _toggle_and_effort,
    "enable_thinking": _enable_thinking,
}
