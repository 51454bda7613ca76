"""A Messages request as a canonical one, and as it is when it goes to Anthropic itself.

Read next: anthropic_turns.py, for its messages; anthropic_answer.py, the way back.

What has no canonical words and changes nothing of the meaning is left out: hints to a cache as a whole, whose service
it is, how long what was said before is kept. Tools that Anthropic defines stay as they are, so that only who knows
them is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.dialects.anthropic_body import Block
from gateway.dialects.anthropic_turns import messages_of, system_of
from gateway.dialects.sealed import is_ours

__all__ = ["canonical", "native"]

#: Members that are called the same, or only otherwise.
SAME: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    # The newer name: providers that know only the older one are told that.
    "max_tokens": "max_completion_tokens",
    "stop_sequences": "stop",
}
CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "any": "required", "none": "none"}
TIERS: Final[Mapping[str, str]] = {"auto": "auto", "standard_only": "default"}
#: What a schema that has no name is called.
SCHEMA: Final = "answer"


def canonical(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical request that a judged body makes."""
    out: dict[str, Any] = {
        "model": fields["model"],
        "messages": [*system_of(fields.get("system")), *messages_of(fields["messages"])],
    }
    if fields.get("stream") is not None:
        out["stream"] = fields["stream"]
    for name, canonical_name in SAME.items():
        if fields.get(name) not in (None, []):
            out[canonical_name] = fields[name]
    if tools := tools_of(fields):
        out["tools"] = tools
        out |= choice_of(fields.get("tool_choice"))
    if (user := (fields.get("metadata") or {}).get("user_id")) is not None:
        out["user"] = user
    if (tier := TIERS.get(fields.get("service_tier") or "")) is not None:
        out["service_tier"] = tier
    return out | thinking_of(fields) | format_of(fields)


def native(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body as Anthropic may see it: without the blocks that were made here, which it would refuse."""
    if not any(ours_in(message) for message in fields["messages"]):
        return fields
    messages = [without_ours(message) if ours_in(message) else message for message in fields["messages"]]
    return {**fields, "messages": [message for message in messages if message["content"]]}


def ours_in(message: Mapping[str, Any]) -> bool:
    content = message["content"]
    return message["role"] == "assistant" and type(content) is list and any(map(is_ours, content))


def without_ours(message: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**message, "content": [block for block in message["content"] if not is_ours(block)]}


def tools_of(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    tools = [tool_of(tool) for tool in fields.get("tools") or ()]
    named = {tool.get("mcp_server_name") for tool in tools if tool.get("type") == "mcp_toolset"}
    # Servers are tools by another name: newer requests list them as such themselves.
    servers = [server["name"] for server in fields.get("mcp_servers") or ()]
    return tools + [{"type": "mcp_toolset", "mcp_server_name": name} for name in servers if name not in named]


def tool_of(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A function where the client's own; as it is where Anthropic defines it."""
    if tool.get("type") not in (None, "custom"):
        return dict(tool)
    function = {"name": tool["name"], "description": tool.get("description"), "parameters": tool["input_schema"]}
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"]
    if function["description"] is None:
        del function["description"]
    return {"type": "function", "function": function} | cache_of(tool)


def cache_of(block: Block) -> dict[str, Any]:
    return {"cache_control": cache} if (cache := block.get("cache_control")) is not None else {}


def choice_of(said: Mapping[str, Any] | None) -> dict[str, Any]:
    if said is None:
        return {}
    named = {"type": "function", "function": {"name": said.get("name")}}
    out: dict[str, Any] = {"tool_choice": CHOICES.get(said["type"], named)}
    if said.get("disable_parallel_tool_use"):
        out["parallel_tool_calls"] = False
    return out


def thinking_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """How hard to think, as a budget and as an effort. How thoughts are shown is Anthropic's alone."""
    out: dict[str, Any] = {}
    said = fields.get("thinking") or {}
    if said.get("type") == "enabled" and said.get("budget_tokens") is not None:
        out["thinking"] = {"type": "enabled", "budget_tokens": said["budget_tokens"]}
    elif said.get("type") in ("adaptive", "disabled"):
        out["thinking"] = {"type": said["type"]}
    if (effort := (fields.get("output_config") or {}).get("effort")) is not None:
        out["reasoning_effort"] = effort
    return out


def format_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the answer, in the newer place or the older one."""
    form = (fields.get("output_config") or {}).get("format") or fields.get("output_format") or {}
    if form.get("type") != "json_schema" or form.get("schema") is None:
        return {}
    schema = {"name": SCHEMA, "schema": form["schema"]}
    if is_strict(form["schema"]):
        schema["strict"] = True
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def is_strict(schema: Any) -> bool:
    """Whether OpenAI would take a schema as a strict one: objects are closed, and all their members are required."""
    if type(schema) is list:
        return all(map(is_strict, schema))
    if type(schema) is not dict:
        return True
    members = schema.get("properties")
    if type(members) is dict:
        required = schema.get("required")
        if schema.get("additionalProperties") is not False or type(required) is not list:
            return False
        if any(name not in required for name in members):
            return False
        return all(map(is_strict, members.values())) and is_strict(
            [value for name, value in schema.items() if name != "properties"]
        )
    return schema.get("type") != "object" and all(map(is_strict, schema.values()))
