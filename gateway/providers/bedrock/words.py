"""Words of Converse that several files here use, and how members are read that may be anything.

Read next: request.py, what is said; blocks.py, what is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["DIALECT", "SERVER_TOOL", "Body", "inner", "listed", "text_in"]

Body = dict[str, Any]

DIALECT: Final = "bedrock"
#: What a tool use says that the provider runs itself.
SERVER_TOOL: Final = "server_tool_use"


def text_in(said: Mapping[str, Any], name: str) -> str:
    """A member that should be text; nothing when it is not."""
    value = said.get(name)
    return value if isinstance(value, str) else ""


def inner(said: Mapping[str, Any], name: str) -> Body:
    """A member that should be an object; an empty one when it is not."""
    value = said.get(name)
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Body]:
    """The objects in what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
