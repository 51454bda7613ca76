"""Tools and the choice among them, in Converse's words. Read next: request.py.

Source: ToolConfiguration in the Amazon Bedrock Runtime API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from gateway.errors import CannotSay
from gateway.providers.anthropic.forced import ANSWER, WHY
from gateway.providers.anthropic.schema import closed, object_schema
from gateway.providers.bedrock.content import Speaker
from gateway.providers.bedrock.models import Family
from gateway.providers.bedrock.words import Body
from gateway.providers.turns import Called, Result, Turn
from gateway.providers.wishes import Tool, Wishes

__all__ = ["Offer", "offer_of"]

ANY_OBJECT: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


class Offer(Struct):
    """What is offered: the toolConfig, None where there are no tools, and whether the model must call one."""

    config: Body | None = None
    forces: bool = False


def offer_of(wished: Wishes, turns: list[Turn], family: Family, speaker: Speaker, answer: Body | None) -> Offer:
    """The tools of a request; ``answer`` is the schema of an answer that must be called for as a tool.

    Raises CannotSay for tools that some provider runs itself, and for a choice of a tool that is not there.
    """
    if wished.server_tools:
        kind = str(wished.server_tools[0].get("type"))
        raise CannotSay(f"Converse has no tool of type {kind[:40]!r}.", param="tools")
    tools = [tool for tool in wished.tools if wished.allowed is None or tool.name in wished.allowed]
    choice = wished.choice if tools else None
    used = called_in(turns)
    if choice == "none" and not used:
        tools = []
    elif choice == "none":
        # Converse has no word for it, and refuses a history with calls where no tools are offered.
        speaker.dropped.append("tool_choice")
    elif choice == "named":
        tools = chosen(tools, wished.named, family)
    specs = [block for tool in tools for block in said(tool, family, speaker)] or [bare(name) for name in used]
    if answer is not None and choice not in ("required", "named"):
        return with_answer(specs if choice != "none" else [bare(name) for name in used], answer, family)
    if not specs:
        return Offer()
    config: Body = {"tools": specs}
    if choice == "required" or (choice == "named" and not family.names_tool):
        config["toolChoice"] = {"any": {}}
    elif choice == "named":
        config["toolChoice"] = {"tool": {"name": wished.named}}
    return Offer(config, "toolChoice" in config)


def chosen(tools: list[Tool], name: str | None, family: Family) -> list[Tool]:
    """The tools where one is named: all, or that one alone where a model can only be told to call any."""
    if all(tool.name != name for tool in tools):
        raise CannotSay(f"tool_choice names {name!r}, which is not among the tools.", param="tool_choice")
    return tools if family.names_tool else [tool for tool in tools if tool.name == name]


def with_answer(others: list[Body], schema: Body, family: Family) -> Offer:
    """Our tool for the answer, beside the client's: then it calls one of them, or ours."""
    spec = {"name": ANSWER, "description": WHY, "inputSchema": {"json": object_schema(schema)}}
    alone = not others and family.names_tool
    choice: Body = {"tool": {"name": ANSWER}} if alone else {"any": {}}
    return Offer({"tools": [*others, {"toolSpec": spec}], "toolChoice": choice}, forces=True)


def said(tool: Tool, family: Family, speaker: Speaker) -> list[Body]:
    spec: Body = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    schema = object_schema(tool.parameters)
    held = closed(schema) if tool.strict and family.schemas else None
    spec["inputSchema"] = {"json": schema if held is None else held}
    if held is not None:
        spec["strict"] = True
    elif tool.strict:
        speaker.dropped.append("tools[].function.strict")
    return [{"toolSpec": spec}, *speaker.cache(tool.cache, among_tools=True)]


def bare(name: str) -> Body:
    """A tool that the history knows and the request does not: it must be offered, or the history is refused."""
    return {"toolSpec": {"name": name, "inputSchema": {"json": ANY_OBJECT}}}


def called_in(turns: list[Turn]) -> list[str]:
    """The names of the tools in the history, each once."""
    found = [part.name for turn in turns for part in turn.parts if isinstance(part, Called | Result) and part.name]
    return list(dict.fromkeys(found))
