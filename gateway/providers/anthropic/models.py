"""What the families of Claude differ in, as far as a request must know it, read off a model's name.

Read next: request.py. Source: Anthropic's published model overview, and its pages on thinking, effort, structured
outputs and migration. A deployment's own facts come first: this stands in where nothing is known.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from gateway.types import Deployment

__all__ = ["Family", "family_of"]

NEW: Final = re.compile(r"claude-(?P<name>[a-z]+)-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)")
OLD: Final = re.compile(r"claude-(?P<major>\d)(?:[-.](?P<minor>\d))?(?!\d)")

LINES: Final = ("opus", "sonnet", "haiku", "fable", "mythos")
#: The version that a name without one is taken for: what Claude has done for long, and still does.
UNNAMED: Final = (4, 5)


#: Lines of models that began with this version, also where a name has none, and that always think.
LATE: Final = ("fable", "mythos")
LATE_VERSION: Final = (5, 0)


class Family:
    """A line of models (opus, sonnet, …), its version as ``(major, minor)``, and what follows from them."""

    __slots__ = ("known", "line", "version")

    def __init__(self, line: str = "", version: tuple[int, int] | None = None) -> None:
        self.line = line
        self.known = version is not None
        self.version = version or UNNAMED

    def __repr__(self) -> str:
        return f"Claude {self.version[0]}.{self.version[1]}" if self.known else "some Claude"

    @property
    def limit(self) -> int:
        """Tokens of output that every model of the family takes."""
        if self.version < (3, 5):
            return 4096
        return 8192 if self.version < (3, 7) else 32_000

    @property
    def thinking(self) -> Literal["none", "budget", "adaptive"]:
        """How it is told to think."""
        if self.version < (3, 7):
            return "none"
        return "budget" if self.version < (4, 6) else "adaptive"

    @property
    def budgets(self) -> bool:
        """Whether it takes a budget of thinking at all."""
        return (3, 7) <= self.version < (4, 7)

    @property
    def off(self) -> Literal["disabled", "between_tools"] | None:
        """How it is told not to think; None where it always does."""
        if self.line in LATE or (self.line == "opus" and self.version >= (5, 5)):
            return None
        return "between_tools" if self.line == "sonnet" and self.version >= (5, 5) else "disabled"

    @property
    def forces(self) -> bool:
        """Whether it can be made to call a tool."""
        return self.version < (5, 1)

    @property
    def binds(self) -> bool:
        """Whether its thinking is valid only after the very conversation that it came of."""
        return self.version >= (5, 1)

    @property
    def extra_high(self) -> bool:
        """Whether it knows the effort ``xhigh``."""
        return self.version >= (4, 7)

    @property
    def sampling(self) -> Literal["both", "one", "none"]:
        """Whether it takes temperature together with top_p, one of them, or only their defaults."""
        if self.version < (4, 1):
            return "both"
        return "one" if self.version < (4, 7) else "none"

    @property
    def schemas(self) -> bool:
        """Whether it answers by a schema, and holds to one in calls of tools."""
        return self.version >= (4, 1)


def family_of(deployment: Deployment) -> Family:
    """The family of a deployment's model."""
    return _family(deployment.model)


@lru_cache(1024)
def _family(model: str) -> Family:
    name = model.lower()
    line = next((line for line in LINES if line in name), "")
    found = NEW.search(name) or OLD.search(name)
    if found is None:
        return Family(line, LATE_VERSION if line in LATE else None)
    return Family(line, (int(found["major"]), int(found["minor"] or 0)))
