"""The turns of a Messages request as canonical messages.

Read next: sealed.py, for what a client sends back of another provider's; anthropic_request.py, for all the rest.

An assistant's turn that says more than canonical members can goes along verbatim beside them, for when Anthropic is
asked again. A block of the user's that has no canonical words is kept as a part of a type of its own, PART: who asks
with one can only be served by Anthropic.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.dialects.anthropic_body import Block, blocks_of
from gateway.dialects.sealed import PREFIX, Sealed, is_ours, opened

__all__ = ["PART", "messages_of", "system_of"]

#: The type of a content part that holds a block of Anthropic's.
PART: Final = "anthropic"
#: What a document that has no title is called: OpenAI takes none without a name.
NAMES: Final[Mapping[str, str]] = {"application/pdf": "document.pdf", "text/plain": "document.txt"}
#: Blocks of an assistant's turn that canonical members say in full, with these members alone.
PLAIN: Final[Mapping[str, frozenset[str]]] = {
    "text": frozenset({"type", "text", "cache_control"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control"}),
}

_json: Final = msgspec.json.Encoder().encode


def system_of(system: Any) -> Iterator[dict[str, Any]]:
    """The system's text as its message, if there is any."""
    if parts := parts_of(system):
        yield {"role": "system", "content": flat(parts)}


def messages_of(messages: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The turns in order, with each result of a tool as a message of its own."""
    for message in messages:
        if message["role"] == "assistant":
            yield answer_of(message)
        elif message["role"] == "system":
            yield from system_of(message["content"])
        else:
            yield from question_of(message["content"])


def question_of(content: Any) -> Iterator[dict[str, Any]]:
    """A user's turn: the results of tools, which have to follow their calls, then everything else."""
    rest = []
    for block in blocks_of(content):
        if block["type"] == "tool_result":
            yield result_of(block)
        else:
            rest.append(block)
    if rest or not content:
        yield {"role": "user", "content": flat(parts_of(rest))}


def result_of(block: Block) -> dict[str, Any]:
    message = {"role": "tool", "tool_call_id": block["tool_use_id"], "content": flat(parts_of(block.get("content")))}
    if block.get("is_error"):
        message["is_error"] = True
    return message | cache_of(block)


# --- parts ------------------------------------------------------------------------------------------------------


def parts_of(content: Any) -> list[dict[str, Any]]:
    return [part for block in blocks_of(content) for part in part_of(block)]


def part_of(block: Block) -> Iterator[dict[str, Any]]:
    """The parts that say what a block does; the last carries its hint to the cache."""
    kind = block["type"]
    if kind == "text":
        said = [{"type": "text", "text": block["text"]}]
    elif kind == "image":
        said = [image_of(block)]
    elif kind == "document":
        said = document_of(block)
    elif kind == "search_result":
        said = [{"type": "text", "text": found_of(block)}]
    elif kind == "tool_reference":
        # All tools are told to others at once, so that the one found needs no more than its name.
        said = [{"type": "text", "text": str(block.get("tool_name"))}]
    else:
        said = [kept(block)]
    yield from said[:-1]
    for last in said[-1:]:
        yield last | cache_of(block)


def image_of(block: Block) -> dict[str, Any]:
    url = url_of(block["source"])
    return {"type": "image_url", "image_url": {"url": url}} if url is not None else kept(block)


def document_of(block: Block) -> list[dict[str, Any]]:
    source = block["source"]
    before = [{"type": "text", "text": block["context"]}] if block.get("context") else []
    if source["type"] == "content":
        title = [{"type": "text", "text": block["title"]}] if block.get("title") else []
        return [*title, *before, *parts_of(source["content"])]
    url = url_of(source)
    if url is None:
        return [kept(block)]
    kind = source.get("media_type") or ("text/plain" if source["type"] == "text" else "application/pdf")
    file = {"file_data": url, "filename": block.get("title") or NAMES.get(kind, "document")}
    return [*before, {"type": "file", "file": file}]


def url_of(source: Mapping[str, Any]) -> str | None:
    """A source as a URL; None for what only Anthropic can find."""
    if source["type"] == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    if source["type"] == "text":
        return "data:text/plain;base64," + base64.b64encode(source["data"].encode("utf-8", "replace")).decode()
    return source["url"] if source["type"] == "url" else None


def found_of(block: Block) -> str:
    """A result of the client's own search, as a reader would quote it."""
    head = [str(line) for line in (block.get("title"), block.get("source")) if line]
    return "\n".join([*head, *(found["text"] for found in blocks_of(block["content"]) if found["type"] == "text")])


def kept(block: Block) -> dict[str, Any]:
    return {"type": PART, PART: block}


def cache_of(block: Block) -> dict[str, Any]:
    return {"cache_control": cache} if (cache := block.get("cache_control")) is not None else {}


def flat(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """One plain text as itself: some providers take nothing else in some places."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


# --- the assistant's --------------------------------------------------------------------------------------------


def answer_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """An assistant's turn: its text, its thoughts, its calls, and all of it verbatim where that is more."""
    blocks = list(blocks_of(message["content"]))
    back = returned(blocks)
    theirs = [block for block in blocks if not is_ours(block)]
    out: dict[str, Any] = {"role": "assistant", "content": text_of(theirs) or None}
    if thoughts := [block["thinking"] for block in blocks if block["type"] == "thinking" and block["thinking"]]:
        out["reasoning_content"] = "\n".join(thoughts)
    if calls := [call_of(block, back) for block in theirs if block["type"] == "tool_use"]:
        out["tool_calls"] = calls
    elif out["content"] is None:
        out["content"] = ""
    extra = dict(back.extra)
    if not all(map(is_plain, theirs)):
        extra["anthropic"] = {"content": theirs}
    if extra:
        out["extra_content"] = extra
    return out


def returned(blocks: Iterable[Block]) -> Sealed:
    """What was sealed in a turn's blocks."""
    all_of_them = Sealed({}, {})
    for block in blocks:
        if block["type"] == "redacted_thinking" and block["data"].startswith(PREFIX):
            content = opened(block)
            all_of_them.extra |= content.extra
            all_of_them.calls |= content.calls
    return all_of_them


def text_of(blocks: Iterable[Block]) -> str | list[dict[str, Any]]:
    """Texts are one: citations cut sentences. Only hints to the cache keep them apart."""
    texts = [block for block in blocks if block["type"] == "text" and block["text"]]
    if any(block.get("cache_control") for block in texts):
        return [{"type": "text", "text": block["text"]} | cache_of(block) for block in texts]
    return "".join([block["text"] for block in texts])


def call_of(block: Block, back: Sealed) -> dict[str, Any]:
    function = {"name": block["name"], "arguments": _json(block["input"]).decode()}
    call = {"id": block["id"], "type": "function", "function": function} | cache_of(block)
    if (extra := back.calls.get(block["id"])) is not None:
        call["extra_content"] = extra
    return call


def is_plain(block: Block) -> bool:
    members = PLAIN.get(block["type"])
    return members is not None and all(name in members or value is None for name, value in block.items())
