"""What the name of a Gemini model tells of how it is asked.

Read next: thinking.py. Source: ai.google.dev, "Gemini thinking".
"""

from __future__ import annotations

import re
from typing import Final, Literal

from gateway.types import Deployment

__all__ = ["Thinking", "is_third", "thinking_of", "version"]

Thinking = Literal["none", "budget", "level"]

VERSION: Final = re.compile(r"gemini-(\d+)(?:\.(\d+))?")


def version(model: str) -> tuple[int, int]:
    """The version in a model's name, (0, 0) where there is none."""
    found = VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def is_third(deployment: Deployment) -> bool:
    """Whether it is Gemini 3 or later: signatures of calls are checked, results of functions may hold media."""
    return version(deployment.model) >= (3, 0) or deployment.thinking == "level"


def thinking_of(deployment: Deployment) -> Thinking:
    """How it is told how much to think: as configured, or else as its name says."""
    if deployment.thinking in ("none", "budget", "level"):
        return deployment.thinking
    found = version(deployment.model)
    return "level" if found >= (3, 0) else "budget" if found >= (2, 5) else "none"
