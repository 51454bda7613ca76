"""What Mistral's chat API wants otherwise than OpenAI's. Read next: rows.py, which lists it in Mistral's row.

Source: the types of the mistralai package (3.7.0), the recordings, and the errors that people quote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from gateway.providers.wishes import allowed_in, name_in
from gateway.types import Deployment

__all__ = ["as_mistral_says_it", "tool_id"]

#: All that a message of each role may have.
MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "system": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls", "prefix"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
OWN_ID: Final = re.compile(r"[A-Za-z0-9]{9}")
NO_PARAMETERS: Final = {"type": "object", "properties": {}}


def as_mistral_says_it(fields: dict[str, Any], deployment: Deployment) -> tuple[str, ...]:
    """The whole request in Mistral's words."""
    dropped: set[str] = set()
    thinks = deployment.reasoning or deployment.thinking != "none"
    messages = [_message(message, thinks, dropped) for message in fields["messages"]]
    for last in messages[-1:]:
        if last["role"] == "assistant" and not last.get("tool_calls"):
            messages[-1] = {**last, "prefix": True}
    fields["messages"] = messages
    if not fields.get("stop", True):
        del fields["stop"]
    if isinstance(prediction := fields.get("prediction"), dict) and isinstance(prediction.get("content"), list):
        fields["prediction"] = {**prediction, "content": "".join(map(_text, prediction["content"]))}
    if tools := fields.get("tools"):
        fields["tools"] = [_tool(tool) for tool in tools]
    _choice(fields)
    return tuple(sorted(dropped))


@lru_cache(4096)
def tool_id(said: str) -> str:
    """Nine letters and digits for any id of a tool call, always the same for the same one; Mistral's own stay."""
    if OWN_ID.fullmatch(said):
        return said
    number = int.from_bytes(blake2b(said.encode(), digest_size=7).digest())
    found = []
    for _ in range(9):
        number, digit = divmod(number, 62)
        found.append(DIGITS[digit])
    return "".join(found)


# --- messages ---------------------------------------------------------------------------------------------------


def _message(message: Mapping[str, Any], thinks: bool, dropped: set[str]) -> Mapping[str, Any]:
    members = MEMBERS.get(message["role"], frozenset(message))
    told = {name: value for name, value in message.items() if name in members}
    if message.get("name") and "name" not in members:
        dropped.add("messages[].name")
    if isinstance(content := told.get("content"), list):
        told["content"] = [_part(part) for part in content]
    if message["role"] == "tool":
        told["content"] = told.get("content") or ""
        if isinstance(said := message.get("tool_call_id"), str):
            told["tool_call_id"] = tool_id(said)
    elif message["role"] == "assistant":
        _assistant(message, told, thinks)
    return told


def _assistant(message: Mapping[str, Any], told: dict[str, Any], thinks: bool) -> None:
    """What it thought stands before what it said, and its calls have ids as Mistral makes them."""
    thought = message.get("reasoning_content") or message.get("reasoning")
    if thinks and isinstance(thought, str) and thought:
        told["content"] = [_thinking(thought), *_parts(told.get("content"))]
    if calls := told.get("tool_calls"):
        told["tool_calls"] = [
            {**call, "id": tool_id(said)} if isinstance(said := call.get("id"), str) else call for call in calls
        ]


def _thinking(thought: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": thought}], "closed": True}


def _parts(content: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(content, list):
        return [part for part in content if part.get("type") != "thinking"]
    return [{"type": "text", "text": content}] if content else []


def _part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = part.get("type")
    if kind == "file" and isinstance(file := part.get("file"), dict):
        if file.get("file_data") is None:
            return {"type": "file", "file_id": file.get("file_id")}
        named = {"document_name": file["filename"]} if file.get("filename") else {}
        return {"type": "document_url", "document_url": file["file_data"], **named}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or ""}
    return part


def _text(part: Mapping[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""


# --- tools ------------------------------------------------------------------------------------------------------


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A function without parameters says so."""
    function = tool.get("function")
    if not isinstance(function, dict) or function.get("parameters"):
        return tool
    return {**tool, "function": {**function, "parameters": NO_PARAMETERS}}


def _choice(fields: dict[str, Any]) -> None:
    """``required`` is ``any``; of tools that are allowed only those are told."""
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and isinstance(allowed := choice.get("allowed_tools"), dict):
        names = allowed_in(allowed.get("tools"))
        fields["tools"] = [tool for tool in fields.get("tools") or () if name_in(tool) in names]
        choice = fields["tool_choice"] = allowed.get("mode") or "auto"
    if choice == "required":
        fields["tool_choice"] = "any"
