"""When two requests in Anthropic's words mean the same.

Read next: requests.py, which asks.

They do when their normal forms are equal. In the normal form
- a text that stands for a list of blocks is one block; neighbouring turns of one role are one turn; neighbouring texts are
  one, in which white space does not count, for the seam between two may have become a blank line; empty ones are gone;
- in a user's turn the results of tools come first, each with a list of content;
- members that say what is so anyway are gone (``is_error: false``, ``tool_choice: auto``, a tool of ``type: custom``,
  ``service_tier: auto``, ``thinking: disabled``, null), and so are the model, ``stream`` and ``cache_control``,
  of which only is counted how often it comes.
Everything else is as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

__all__ = ["normal", "otherwise"]

Form = dict[str, Any]

#: What is so anyway.
DEFAULTS: Final[Mapping[str, Any]] = {
    "tool_choice": {"type": "auto"},
    "service_tier": "auto",
    "thinking": {"type": "disabled"},
    "stop_sequences": [],
    "tools": [],
    "system": [],
    "metadata": {},
}


def normal(fields: Mapping[str, Any]) -> Form:
    """The normal form of a request."""
    form: Form = {name: bare(value) for name, value in fields.items() if name not in ("model", "stream", "messages")}
    form["system"] = blocks(fields.get("system"))
    form["messages"] = turns(fields["messages"])
    form["tools"] = [tool(one) for one in fields.get("tools") or ()]
    if (choice := form.get("tool_choice")) and choice.get("disable_parallel_tool_use") is False:
        del choice["disable_parallel_tool_use"]
    form = {name: value for name, value in form.items() if value is not None and DEFAULTS.get(name) != value}
    return form | {"cache_control": msgspec.json.encode(fields).count(b'"cache_control":{')}


def tool(one: Mapping[str, Any]) -> Form:
    form = bare(one)
    return {name: value for name, value in form.items() if (name, value) not in (("type", "custom"), ("strict", False))}


def turns(messages: Iterable[Mapping[str, Any]]) -> list[Form]:
    found: list[tuple[str, list[Any]]] = []
    for message in messages:
        if not found or found[-1][0] != message["role"]:
            found.append((message["role"], []))
        content = message["content"]
        found[-1][1].extend([{"type": "text", "text": content}] if isinstance(content, str) else content)
    return [{"role": role, "content": content} for role, raw in found if (content := ordered(role, blocks(raw)))]


def ordered(role: str, content: list[Any]) -> list[Any]:
    return sorted(content, key=lambda block: block["type"] != "tool_result") if role == "user" else content


def blocks(content: Any) -> list[Any]:
    """Blocks with neighbouring texts made one."""
    found: list[Any] = []
    for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or ():
        plain = bare(block)
        if plain.get("type") == "tool_result":
            plain = {**plain, "content": blocks(plain.get("content"))}
        if is_text(plain):
            plain["text"] = "".join(plain["text"].split())
            if found and is_text(found[-1]):
                found[-1]["text"] += plain["text"]
                continue
            if not plain["text"]:
                continue
        found.append(plain)
    return found


def is_text(block: Mapping[str, Any]) -> bool:
    return block.keys() == {"type", "text"}


def bare(value: Any) -> Any:
    """Without null, hints to the cache and what is so anyway."""
    if isinstance(value, Mapping):
        return {name: bare(item) for name, item in value.items() if not idle(name, item)}
    return [bare(item) for item in value] if isinstance(value, list | tuple) else value


def idle(name: str, value: Any) -> bool:
    return (
        value is None
        or name == "cache_control"
        or (name == "is_error" and value is False)
        or (name, value)
        == (
            "citations",
            {"enabled": False},
        )
    )


def otherwise(wanted: Form, found: Form, path: str = "") -> list[str]:
    """Where they differ."""
    return list(differing(wanted, found, path))


def differing(wanted: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in {**wanted, **found}:
            yield from differing(wanted.get(name), found.get(name), f"{path}.{name}" if path else name)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differing(one, other, f"{path}[{index}]")
    elif wanted != found:
        yield f"{path}: {wanted!r:.160} became {found!r:.160}"
