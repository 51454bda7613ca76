"""Canonical turns as Messages: text, pictures, documents, calls of tools and what they gave, thinking as it came.

Read next: ../turns.py, which has made the turns; request.py, which puts the rest around them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, Final

from gateway.errors import CannotSay
from gateway.providers.turns import Audio, Called, Document, Image, Own, Part, Result, Text, Turn, says_the_same

__all__ = ["THINKING", "UPLOADED", "begins", "id_of", "is_ours", "messages_of", "system_of"]

Block = dict[str, Any]

THINKING: Final = ("thinking", "redacted_thinking")
#: What the gateway writes where another provider thought: it means nothing to Anthropic.
OURS: Final = "signalbox:"
#: Ids of files begin so at Anthropic; at OpenAI with ``file-``.
UPLOADED: Final = "file_"

ID: Final = re.compile(r"[^a-zA-Z0-9_-]")


def system_of(system: list[Text]) -> list[Block]:
    """The blocks of ``system``."""
    return [block for text in system for block in blocks_of(text)]


def messages_of(turns: list[Turn], *, bound: bool = False) -> list[Block]:
    """The messages. The last text of an assistant's turn that is to be gone on with has no blanks at its end.

    ``bound``: thinking is refused in any conversation but the one that it came of.
    """
    said = [(turn.role, content) for turn in turns if (content := content_of(turn, bound))]
    if not said:
        said = [("user", [{"type": "text", "text": "…"}])]
    role, content = said[-1]
    if role == "assistant" and content[-1]["type"] == "text":
        content[-1] = {**content[-1], "text": content[-1]["text"].rstrip()}
    return [{"role": role, "content": content} for role, content in said]


def content_of(turn: Turn, bound: bool) -> list[Block]:
    own = turn.native.get("anthropic")
    if turn.role == "user" or not (own or turn.thinking):
        return [block for part in turn.parts for block in blocks_of(part)]
    kept = [{**block} for block in own or turn.thinking if isinstance(block, dict) and can_go_back(block)]
    if own and is_said(turn, kept):
        return marked(kept, turn)
    # The client has edited the turn: what only Anthropic can read stays, its thinking first, as it demands.
    leave = ("text", "tool_use", *THINKING) if own and bound else ("text", "tool_use")
    opaque = [block for block in kept if block["type"] not in leave]
    opaque.sort(key=lambda block: block["type"] not in THINKING)
    return [*paired(opaque), *(block for part in turn.parts for block in blocks_of(part))]


def is_said(turn: Turn, own: list[Block]) -> bool:
    """Whether these blocks still say what the turn says."""
    text = "".join([block["text"] for block in own if block["type"] == "text"])
    calls = [(b.get("id") or "", b.get("name") or "", b.get("input")) for b in own if b.get("type") == "tool_use"]
    return says_the_same(turn, text, calls)


def can_go_back(block: Mapping[str, Any]) -> bool:
    """Whether Anthropic takes this block in a turn of the assistant's: it has a type, and is its own and not empty."""
    kind = block.get("type")
    if kind == "text":
        return isinstance(text := block.get("text"), str) and bool(text)
    return isinstance(kind, str) and not is_ours(block)


def is_ours(block: Mapping[str, Any]) -> bool:
    """Whether a block of thinking is none of Anthropic's: without a signature, or written by this gateway."""
    if block.get("type") == "thinking":
        return not block.get("signature")
    return block.get("type") == "redacted_thinking" and str(block.get("data") or OURS).startswith(OURS)


def paired(blocks: list[Block]) -> list[Block]:
    """Without the calls of Anthropic's own tools that have no result, and results without a call."""
    called = {str(block["id"]) for block in blocks if "id" in block}
    answered = {str(block["tool_use_id"]) for block in blocks if "tool_use_id" in block}
    return [
        block
        for block in blocks
        if ("id" not in block or str(block["id"]) in answered)
        and ("tool_use_id" not in block or str(block["tool_use_id"]) in called)
    ]


def marked(blocks: list[Block], turn: Turn) -> list[Block]:
    """The blocks, the last that may be cached up to marked where the client has marked any part of the turn."""
    blocks = [block for block in blocks if block.get("type") != "text" or block["text"].strip()]
    cache = next((part.cache for part in reversed(turn.parts) if part.cache), None)
    for place in range(len(blocks) - 1, -1, -1) if cache else ():
        if blocks[place].get("type") not in THINKING:
            blocks[place] = {**blocks[place], "cache_control": cache}
            break
    return blocks


def begins(message: Mapping[str, Any], kinds: Container[str]) -> bool:
    """Whether a message begins with a block of one of these types."""
    content = message["content"]
    return isinstance(content, list) and bool(content) and content[0].get("type") in kinds


def blocks_of(part: Part) -> list[Block]:
    """The block of a part; none for a text without anything to read. Raises CannotSay."""
    if isinstance(part, Text):
        block: Block = {"type": "text", "text": part.text}
        if not part.text.strip():
            return []
    elif isinstance(part, Image):
        block = {"type": "image", "source": source_of(part)}
    elif isinstance(part, Own):
        block = {**part.block}
    elif isinstance(part, Document):
        block = document_of(part)
    elif isinstance(part, Called):
        block = {"type": "tool_use", "id": id_of(part.id), "name": part.name, "input": part.input()}
    elif isinstance(part, Result):
        block = result_of(part)
    elif isinstance(part, Audio):
        raise CannotSay("Anthropic takes no sound.", param="messages")
    return [{**block, "cache_control": part.cache} if part.cache else block]


def result_of(result: Result) -> Block:
    content = [block for part in result.parts for block in blocks_of(part)]
    block: Block = {"type": "tool_result", "tool_use_id": id_of(result.id)}
    if content:
        block["content"] = content
    if result.error:
        block["is_error"] = True
    return block


def source_of(part: Image | Document) -> Block:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    media_type = "image/jpeg" if part.media_type == "image/jpg" else part.media_type
    return {"type": "base64", "media_type": media_type, "data": part.data}


def document_of(part: Document) -> Block:
    """A PDF, a text, a file that Anthropic has, or a picture that came as a file. Raises CannotSay."""
    kind = part.media_type or ""
    if kind.startswith("image/"):
        return {"type": "image", "source": source_of(part)}
    if part.file_id is not None:
        if not part.file_id.startswith(UPLOADED):
            raise CannotSay("The file is not one of Anthropic's.", param="messages[].content[].file.file_id")
        source: Block = {"type": "file", "file_id": part.file_id}
    elif part.url is not None or kind == "application/pdf":
        source = source_of(part)
    elif kind.startswith("text/") or kind in ("application/json", "application/xml"):
        source = {"type": "text", "media_type": "text/plain", "data": part.text()}
    else:
        raise CannotSay(f"Anthropic takes no documents of type {kind[:60]!r}.", param="messages[].content[].file")
    block: Block = {"type": "document", "source": source}
    return {**block, "title": part.name} if part.name else block


def id_of(id: str) -> str:
    """The id of a call, which another provider may have made up, in the letters that Anthropic takes."""
    return ID.sub("_", id)
