"""When two requests in Anthropic's words mean the same.

Read next: requests.py, which asks.

They do when their normal forms are equal. In the normal form
- a text that stands for a list of blocks is one block; neighbouring turns of one role are one turn; neighbouring texts
  are one, in which white space does not count, for the seam between two may have become a blank line; empty ones are
  gone;
- in a user's turn the results of tools come first, each with a list of content;
- tools are in the order of their names; a turn of the system's stands among the system's texts; the older
  ``output_format`` is ``output_config.format``;
- members that say what is so anyway are gone (``is_error: false``, ``tool_choice: auto``, a tool of ``type: custom``,
  ``service_tier: auto``, ``thinking: disabled``, ``temperature: 1``, an empty description, null); what stands in for
  what the canonical form cannot do without (a document's name, a user's first turn); the model, ``stream`` and
  ``cache_control``, of which only is counted how often it comes.
Everything else is as it is. A request that says what only Anthropic has words for (WORDLESS) is not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

__all__ = ["normal", "otherwise", "wordless"]

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
    "temperature": 1,
}


#: What has no words but Anthropic's, as it stands in a body. Another provider is asked without, or not at all.
WORDLESS: Final[Mapping[str, bytes]] = {
    "tools that are found": b'"defer_loading":true',
    "references to tools": b'"type":"tool_reference"',
    "search results": b'"type":"search_result"',
    "citations": b'"citations":{"enabled":true}',
    "edits of the context": b'"context_management":{',
    "containers": b'"container":',
    "MCP servers": b'"mcp_servers":[{',
    "a budget of the task": b'"task_budget":{',
    "how thoughts are shown": b'"display":',
}
#: What stands in: Anthropic's API wants a user's turn first, OpenAI's a name for each file.
FIRST: Final = [{"type": "text", "text": "…"}]
UNNAMED: Final = (("title", "document.pdf"), ("title", "document.txt"))


def wordless(fields: Mapping[str, Any]) -> str | None:
    """What in this request only Anthropic has words for, the first of it."""
    parts = {name: value for name, value in fields.items() if name != "cache_control"}
    body = msgspec.json.encode(parts)
    if "effort" in (fields.get("output_config") or {}) and not fields.get("thinking"):
        return "an effort without thoughts"
    said = [what for what, sign in WORDLESS.items() if sign in body]
    return said[0] if said else "a hint to cache the whole" if "cache_control" in fields else None


def normal(fields: Mapping[str, Any]) -> Form:
    """The normal form of a request."""
    form: Form = {name: bare(value) for name, value in fields.items() if name not in ("model", "stream", "messages")}
    system = [one for one in fields["messages"] if one["role"] == "system"]
    form["system"] = blocks([*listed(fields.get("system")), *(b for one in system for b in listed(one["content"]))])
    form["messages"] = turns(one for one in fields["messages"] if one["role"] != "system")
    form["tools"] = sorted(map(tool, fields.get("tools") or ()), key=lambda one: str(one.get("name")))
    if (schema := form.pop("output_format", None)) is not None:
        form["output_config"] = {**form.get("output_config", {}), "format": schema}
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
        found[-1][1].extend(listed(message["content"]))
    if found and found[0] == ("user", FIRST):
        del found[0]
    return [{"role": role, "content": content} for role, raw in found if (content := ordered(role, blocks(raw)))]


def listed(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def ordered(role: str, content: list[Any]) -> list[Any]:
    return sorted(content, key=lambda block: block["type"] != "tool_result") if role == "user" else content


def blocks(content: Any) -> list[Any]:
    """Blocks with neighbouring texts made one."""
    found: list[Any] = []
    for block in listed(content):
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
    return value is None or name == "cache_control" or (name, value) in IDLE


IDLE: Final[tuple[tuple[str, Any], ...]] = (
    ("is_error", False),
    ("citations", {"enabled": False}),
    ("description", ""),
    *UNNAMED,
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
