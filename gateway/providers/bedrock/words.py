"""Words of Converse that several files here use. Read next: request.py, what is said; blocks.py, what is read."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["DIALECT", "SERVER_TOOL", "Body"]

Body = dict[str, Any]

DIALECT: Final = "bedrock"
#: What a tool use says that the provider runs itself.
SERVER_TOOL: Final = "server_tool_use"
