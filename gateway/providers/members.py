"""How members are read that may be anything: what is not of the type that it should be is as good as not there.

Read next: turns.py, where such a member would change the meaning and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["inner", "listed", "text_in"]


def text_in(said: Mapping[str, Any], name: str) -> str:
    """A member that should be text; nothing when it is not."""
    value = said.get(name)
    return value if isinstance(value, str) else ""


def inner(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A member that should be an object; an empty one when it is not."""
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[dict[str, Any]]:
    """The objects in what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
