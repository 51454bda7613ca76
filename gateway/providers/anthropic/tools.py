"""Tools and the choice among them, in Anthropic's words. Read next: request.py; forced.py, for answers of a schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from gateway.errors import CannotSay
from gateway.providers.anthropic.forced import ANSWER, WHY
from gateway.providers.anthropic.schema import closed, object_schema
from gateway.providers.turns import Called, Turn
from gateway.providers.wishes import Tool, Wishes

__all__ = ["Offer", "offer_of"]

Body = dict[str, Any]

#: Tools that Anthropic runs, or has trained its models for, have a date in their type.
OWN: Final = re.compile(r"_20\d{6}$|^mcp_toolset$")
CHOICES: Final = {"auto": "auto", "required": "any", "none": "none", "named": "tool"}


class Offer(Struct):
    """What is offered: the tools, the choice among them, and the members of the request that are not said so."""

    tools: list[Body]
    choice: Body | None
    dropped: list[str]

    @property
    def forces(self) -> bool:
        """Whether the model must call a tool."""
        return self.choice is not None and self.choice["type"] in ("any", "tool")

    @property
    def open(self) -> bool:
        """Whether there is a tool that may be called."""
        return bool(self.tools) and (self.choice is None or self.choice["type"] != "none")


def offer_of(
    wishes: Wishes, turns: list[Turn], search: Any, *, strict: bool, forces: bool, answer: Mapping[str, Any] | None
) -> Offer:
    """The tools of a request.

    ``strict``: the model can be held to schemas; ``forces``: it can be made to call a tool. ``answer`` is the schema
    of an answer that has to be a tool's input. ``search`` are OpenAI's ``web_search_options``. Raises CannotSay for
    tools that are another provider's.
    """
    dropped: list[str] = []
    tools = [own(tool) for tool in wishes.server_tools]
    tools += [
        made(tool, strict, dropped) for tool in wishes.tools if wishes.allowed is None or tool.name in wishes.allowed
    ]
    if search is not None:
        tools.append(web_search(search))
    offer = Offer(tools, choice_of(wishes) if tools else None, dropped)
    if offer.forces and not forces:
        # The named tool is the only one on offer then, and request.py asks for a call in words.
        offer.tools = [tool for tool in tools if wishes.named in (None, tool.get("name"))] or tools
        offer.choice = None
        dropped.append("tool_choice")
    if not tools and (known := called_in(turns)):
        # Anthropic refuses calls in the history of tools that it was not told of.
        offer.tools = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in known]
        offer.choice = {"type": "none"}
    if answer is not None and wishes.choice != "named":
        offer.choice = {"type": "any"} if offer.open else {"type": "tool", "name": ANSWER}
        offer.tools.append({"name": ANSWER, "description": WHY, "input_schema": object_schema(answer)})
    if wishes.parallel is False and offer.open:
        offer.choice = {**(offer.choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return offer


def made(tool: Tool, strict: bool, dropped: list[str]) -> Body:
    body: Body = {"name": tool.name}
    if tool.description:
        body["description"] = tool.description
    body["input_schema"] = object_schema(tool.parameters)
    if tool.strict:
        held = closed(body["input_schema"]) if strict else None
        if held is None:
            dropped.append("tools[].function.strict")
        else:
            body |= {"input_schema": held, "strict": True}
    if tool.cache:
        body["cache_control"] = tool.cache
    return body


def own(tool: Mapping[str, Any]) -> Body:
    kind = str(tool.get("type"))
    if not OWN.search(kind):
        raise CannotSay(f"A tool of type {kind[:40]!r} is not one of Anthropic's.", param="tools")
    return dict(tool)


def choice_of(wishes: Wishes) -> Body | None:
    if wishes.choice is None or (wishes.choice == "auto" and wishes.parallel is not False):
        return None
    choice = {"type": CHOICES[wishes.choice]}
    return {**choice, "name": wishes.named} if wishes.named else choice


def web_search(options: Any) -> Body:
    """OpenAI's web search in Anthropic's words."""
    tool: Body = {"type": "web_search_20250305", "name": "web_search"}
    place = options.get("user_location") if isinstance(options, dict) else None
    near = place.get("approximate") if isinstance(place, dict) else None
    if isinstance(near, dict):
        known = {name: near[name] for name in ("city", "region", "country", "timezone") if near.get(name)}
        tool["user_location"] = {"type": "approximate", **known}
    return tool


def called_in(turns: list[Turn]) -> list[str]:
    """The names of the tools that were called, each once."""
    return list(dict.fromkeys(part.name for turn in turns for part in turn.parts if isinstance(part, Called)))
