"""Facts read off a chat request: its length, what it needs, where its conversation began.

Read next: extent.py, for how long it can be at most; classify.py.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from gateway.intent.extent import BEFORE, Media, added
from gateway.types import BYTES_PER_TOKEN, Features

__all__ = ["Reading", "read"]

#: What a picture is counted as, in tokens: the middle of what the large families charge for one of usual size.
IMAGE_TOKENS: Final = 765

NO_EFFORT: Final = (None, "none", "minimal")

_PART_NEEDS: Final[Mapping[str, str]] = {
    "image_url": "vision",
    "input_audio": "audio",
    "file": "documents",
    "document_url": "documents",
    "file_url": "documents",
    # A block of Anthropic's that has no canonical words, as dialects/anthropic_turns.py keeps it.
    "anthropic": "server_tools:anthropic",
    "video_url": "video",
    "input_video": "video",
}
#: Anthropic dates the tools that it defines, as in ``web_search_20250305``.
DATED: Final = re.compile(r"_20\d{6}$")
ANTHROPIC: Final = frozenset({"mcp_toolset"})


class Reading(Struct, frozen=True):
    """Features, and the words of the last user turn: what classifiers look at."""

    features: Features
    last_user_text: str


def read(fields: Mapping[str, Any], size: int) -> Reading:
    """Read a judged request body (see api/body.py); ``size`` is its length in bytes as it came."""
    messages: Sequence[Mapping[str, Any]] = fields["messages"]
    needs = _needs(fields)
    media_bytes = media_tokens = 0
    media = Media()
    last_user: Any = ""
    tool_results = False
    for message in messages:
        role = message["role"]
        content = message.get("content")
        if role == "user":
            last_user = content
        elif role in ("tool", "function"):
            tool_results = True
        if type(content) is list:
            for part in content:
                need = _PART_NEEDS.get(part["type"])
                if need is not None:
                    needs.add(need)
                    if _is_address(part):
                        needs.add("file_urls")
                    if need == "documents" and type(file := part.get("file")) is dict and file.get("file_id"):
                        needs.add("file_ids")
                    media_tokens += IMAGE_TOKENS
                    media_bytes += _inline_bytes(part)
                    media.take(part, need)
    if "cached_content" in fields or "cachedContent" in fields:
        media.name_something()
    most = size + BEFORE + (added(needs, fields.get("tools") or ()) if needs else 0)
    text = _text(last_user)
    prefix, conversation = _beginnings(messages)
    limit = fields.get("max_completion_tokens")
    return Reading(
        Features(
            input_tokens=(size - media_bytes) // BYTES_PER_TOKEN + media_tokens + 1,
            max_output=limit if limit is not None else fields.get("max_tokens"),
            turns=len(messages),
            needs=frozenset(needs),
            conversation=conversation,
            prefix=prefix,
            tool_results=tool_results,
            code="```" in text,
            reasoning=fields.get("reasoning_effort") not in NO_EFFORT,
            most_input=most + media.tokens,
            most_audio=media.sound,
            most_loose=media.loose,
            images=media.pictures,
        ),
        text,
    )


def _needs(fields: Mapping[str, Any]) -> set[str]:
    needs = set()
    if tools := fields.get("tools"):
        needs.add("tools")
        for tool in tools:
            if tool.get("type") != "function" and (need := tool_need(tool)) is not None:
                needs.add(need)
    elif fields.get("functions"):
        needs.add("tools")
    if (form := fields.get("response_format")) is not None and (kind := form.get("type")) != "text":
        needs.add("json_schema" if kind == "json_schema" else "json_object")
    if fields.get("logprobs"):
        needs.add("logprobs")
    if (fields.get("n") or 1) > 1:
        needs.add("choices")
    if "audio" in (fields.get("modalities") or ()):
        needs.add("audio_output")
    if fields.get("web_search_options") is not None:
        needs.add("web_search")
    return needs


def tool_need(tool: Mapping[str, Any]) -> str | None:
    """What a tool takes beside the plain ability to call tools: words of one provider, who mostly also runs it.

    Google's have no ``type``, Anthropic's are dated, and all others are as OpenAI and those like it write them.
    """
    kind = tool.get("type")
    if kind is None:
        return None if "function" in tool or "name" in tool else "server_tools:google"
    if kind == "custom":
        return "custom_tools"
    return "server_tools:anthropic" if kind in ANTHROPIC or DATED.search(kind) else "server_tools:openai"


def _is_address(part: Mapping[str, Any]) -> bool:
    """Whether a medium is not here itself, but somewhere to be fetched from."""
    inner = part.get(part["type"])
    url = (inner.get("url") or inner.get("file_data")) if type(inner) is dict else inner
    return type(url) is str and url[:4].lower() == "http"


def _inline_bytes(part: Mapping[str, Any]) -> int:
    """How many bytes of the request are a medium rather than text."""
    inner = part.get(part["type"])
    if type(inner) is not dict:
        return 0
    return sum(len(value) for value in inner.values() if type(value) is str)


def _text(content: Any) -> str:
    if type(content) is str:
        return content
    if type(content) is not list:
        return ""
    texts = (part.get("text") for part in content)
    return "\n".join(text for text in texts if type(text) is str)


def _beginnings(messages: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Two numbers that stay the same while a conversation grows: of all before its first user turn, and with that."""
    prefix = value = 0
    for message in messages:
        value = zlib.crc32(_text(message.get("content")).encode(), prefix)
        if message["role"] == "user":
            break
        prefix = value
    return prefix, value
