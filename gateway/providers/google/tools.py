"""Tools in generateContent's words: the client's functions, and what Google runs itself.

Read next: schema.py. Source: ``Tool`` and ``ToolConfig`` in the references of the Gemini API and Vertex.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import CannotSay
from gateway.providers.google.schema import cleaned
from gateway.providers.google.shapes import Object
from gateway.providers.wishes import Tool, Wishes

__all__ = ["declared", "server_tool", "tool_config"]

#: What Google runs, by its name. A client writes one as Google does, or with the name as its ``type``.
SERVER_TOOLS: Final = frozenset(
    """
    googleSearch googleSearchRetrieval codeExecution urlContext googleMaps fileSearch computerUse enterpriseWebSearch
    retrieval mcpServers
    """.split()
)
UNDERSCORE: Final = re.compile(r"_([a-z])")


def declared(tool: Tool) -> Object:
    """A function of the client's; one that takes nothing has no schema."""
    found: Object = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    if tool.parameters.get("properties") or tool.parameters.keys() - {"type", "properties", "required", "title"}:
        found["parametersJsonSchema"] = cleaned({"type": "object", **tool.parameters})
    return found


def server_tool(tool: Mapping[str, Any]) -> Object:
    """A tool that Google runs. Raises CannotSay for what it does not."""
    kind = tool.get("type")
    for written in (kind, *tool) if isinstance(kind, str) else tool:
        name = UNDERSCORE.sub(lambda found: found[1].upper(), written)
        if name in SERVER_TOOLS:
            inner = tool.get(written, tool.get(name))
            rest = {key: value for key, value in tool.items() if key != "type"} if inner is None else inner
            return {name: rest}
    raise CannotSay(f"Google does not run a tool {str(kind or next(iter(tool), ''))[:80]!r}.", param="tools")


def tool_config(wishes: Wishes, *, told: bool) -> Object | None:
    """Which functions may, must or must not be called; None where there is nothing to say.

    ``told``: what Google's own tools did is to be in the answer, which AI Studio wants where both kinds are used.
    """
    config: Object = {}
    if wishes.tools and (calling := calling_of(wishes)):
        config["functionCallingConfig"] = calling
    if told:
        config["includeServerSideToolInvocations"] = True
    return config or None


def calling_of(wishes: Wishes) -> Object | None:
    if wishes.choice == "named":
        return {"mode": "ANY", "allowedFunctionNames": [wishes.named]}
    if wishes.allowed is not None:
        # AUTO takes no names; VALIDATED is the mode that may call, may speak, and does.
        mode = "ANY" if wishes.choice == "required" else "VALIDATED"
        return {"mode": mode, "allowedFunctionNames": sorted(wishes.allowed)}
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    return {"mode": modes[wishes.choice]} if wishes.choice in modes else None
