"""What a canonical request holds beyond OpenAI's own, fitted to one provider that speaks OpenAI's protocol.

Read next: efforts.py, for how hard to think; rows.py, whose ``keeps`` says what a provider understands.

A client may be another's: its hints for caches, its thinking, what we told it of an earlier answer. Providers refuse
members that they do not know. What comes back of our own goes silently, what the client wished for is named.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.providers.efforts import tell
from gateway.providers.rows import Row
from gateway.types import Deployment

__all__ = ["fit"]

Message = Mapping[str, Any]

#: Members of messages and tool calls that we, another provider, or OpenAI's SDK wrote into an earlier answer.
OURS: Final = frozenset(
    """
    reasoning_content reasoning reasoning_details thinking_blocks extra_content annotations images content_parts
    native_annotations parsed index
    """.split()
)
#: What the SDK writes into the function of a call.
PARSED: Final = "parsed_arguments"
#: Members of messages, parts and tools that a client of another dialect wished for.
WISHED: Final = frozenset({"cache_control", "is_error"})
BEYOND: Final = OURS | WISHED
#: Those of them that stand on parts, tools and tool calls.
MARKS: Final = frozenset({"cache_control", "extra_content", "index"})
#: Members of the request itself that are looked at here.
TOP: Final = frozenset({"top_k", "thinking", "reasoning_effort", "cache_control"})
#: Parts that every provider takes in the result of a tool.
SAID: Final = frozenset({"text", "refusal"})
#: Stands for the thinking of a turn that another model made, where a provider refuses a turn without.
UNTOLD: Final = " "


def fit(fields: dict[str, Any], row: Row, deployment: Deployment) -> tuple[str, ...]:
    """Fit a request to the provider, in place but for its messages and tools; the names of what the client loses."""
    dropped: set[str] = set()
    messages: Sequence[Message] = fields["messages"]
    for message in messages:
        if len(message) != 2 or type(message.get("content")) is not str or message["role"] == "developer":
            due = row.thinking_due and _thinks(fields, deployment)
            fields["messages"] = _fitted(messages, row, due, dropped)
            break
    if tools := fields.get("tools"):
        fields["tools"] = _without(tools, row, dropped)
    if not TOP.isdisjoint(fields):
        for name in ("top_k", "cache_control"):
            if name in fields and name not in row.keeps and fields.pop(name) is not None:
                dropped.add(name)
        dropped.update(tell(fields, row, deployment))
    return tuple(sorted(dropped)) if dropped else ()


def _thinks(fields: Mapping[str, Any], deployment: Deployment) -> bool:
    thinking = fields.get("thinking")
    told = isinstance(thinking, dict) and thinking.get("type") == "enabled"
    return told or deployment.reasoning or fields.get("reasoning_effort") not in (None, "none")


def _fitted(messages: Sequence[Message], row: Row, due: bool, dropped: set[str]) -> Sequence[Message]:
    """``due``: a turn with calls must come with what was thought before them."""
    fitted = [message if _is_plain(message, due) else _message(message, row, due, dropped) for message in messages]
    return fitted if row.media_in_results else apart(fitted)


def _is_plain(message: Message, due: bool) -> bool:
    """Whether it is as OpenAI describes it, in texts and calls: so most are, and then nothing is to be done.

    Members are counted rather than compared, since an agent's request has many messages.
    """
    if len(message) == 2:
        return type(message.get("content")) is str and message["role"] != "developer"
    if len(message) != 3:
        return False
    if "tool_call_id" in message:
        return type(message.get("content")) is str
    if due or "content" not in message or type(message["content"]) is list:
        return False
    calls = message.get("tool_calls") or ()
    return bool(calls) and not any(map(_is_odd, calls))


def _is_odd(call: Mapping[str, Any]) -> bool:
    """Whether a tool call has more than OpenAI describes."""
    return len(call) != 3 or not MARKS.isdisjoint(call) or PARSED in (call.get("function") or ())


def _message(message: Message, row: Row, due: bool, dropped: set[str]) -> Message:
    """The message as the provider takes it: itself where there is nothing to change."""
    changed = {name: value for name, value in message.items() if _stays(name, value, row, dropped)}
    if changed.get("role") == "developer" and not row.developer:
        changed["role"] = "system"
    if isinstance(content := changed.get("content"), list):
        changed["content"] = _without([_part(part) for part in content], row, dropped)
    if message["role"] == "assistant":
        _thought(message, changed, row, due)
        if calls := changed.get("tool_calls"):
            changed["tool_calls"] = _without([_called(call) for call in calls], row, dropped)
    return changed


def _stays(name: str, value: Any, row: Row, dropped: set[str]) -> bool:
    if value is None and name != "content":
        return False
    if name == "tool_calls":
        return bool(value)
    if name not in BEYOND or (name in row.keeps and not _is_a_turn(name, value)):
        return True
    if name in WISHED and value:
        dropped.add(name)
    return False


def _is_a_turn(name: str, value: Any) -> bool:
    """Whether it is a turn in another protocol's words, which is for that protocol alone; a signature of Google's is
    not, whose models stand behind addresses that speak OpenAI's protocol as well.
    """
    if name != "extra_content" or not isinstance(value, dict):
        return False
    return any(isinstance(said, dict) and "content" in said for said in value.values())


def _thought(message: Message, changed: dict[str, Any], row: Row, due: bool) -> None:
    """The thinking of an earlier turn, as this provider calls it; it may have to be there where tools were called."""
    for name, other in (("reasoning_content", "reasoning"), ("reasoning", "reasoning_content")):
        if name in row.keeps and other not in row.keeps and name not in changed and message.get(other):
            changed[name] = message[other]
    if due and changed.get("tool_calls") and not changed.get("reasoning_content"):
        changed["reasoning_content"] = UNTOLD


def _called(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """A call without what the SDK has read out of its arguments."""
    function = call.get("function")
    if not isinstance(function, dict) or PARSED not in function:
        return call
    return {**call, "function": {name: value for name, value in function.items() if name != PARSED}}


def _part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A document that is plain text is a text: few providers take it otherwise."""
    file = part.get("file")
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str) or not data.startswith("data:text/plain;base64,"):
        return part
    try:
        text = base64.b64decode(data.partition(",")[2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return part
    rest = {name: value for name, value in part.items() if name not in ("type", "file")}
    return {"type": "text", "text": text, **rest}


def _without(items: Sequence[Mapping[str, Any]], row: Row, dropped: set[str]) -> Sequence[Mapping[str, Any]]:
    """Parts, tools or tool calls without what the provider does not know; themselves where there is nothing of it."""
    for item in items:
        if not MARKS.isdisjoint(item):
            return [{k: v for k, v in item.items() if _stays(k, v, row, dropped)} for item in items]
    return items


def apart(messages: Sequence[Message]) -> Sequence[Message]:
    """Pictures and documents in results of tools follow them as a message of the user's, since results are texts."""
    for message in messages:
        if message["role"] == "tool" and type(message.get("content")) is list and _media(message):
            return _apart(messages)
    return messages


def _apart(messages: Sequence[Message]) -> Sequence[Message]:
    told: list[Message] = []
    shown: list[Any] = []
    for message in messages:
        if message["role"] != "tool":
            _show(told, shown)
            told.append(message)
        elif media := _media(message):
            texts = [part for part in message["content"] if part.get("type") in SAID]
            told.append({**message, "content": texts or "It follows."})
            shown += [{"type": "text", "text": f"The result of {message.get('tool_call_id') or 'the tool'}:"}, *media]
        else:
            told.append(message)
    _show(told, shown)
    return told


def _show(told: list[Message], shown: list[Any]) -> None:
    if shown:
        told.append({"role": "user", "content": list(shown)})
        shown.clear()


def _media(message: Message) -> list[Any]:
    content = message.get("content")
    return [part for part in content if part.get("type") not in SAID] if isinstance(content, list) else []
