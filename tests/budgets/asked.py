"""Recorded requests as calls of ours, and what their providers counted. Read next: test_bound_recorded.py.

What is no request of a client's dialect (Google's, Converse's) is made a call in the plainest way: its media as parts,
its tools as tools, and its size what it has as JSON.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from gateway.data.catalogue import facts
from gateway.dialects.anthropic_request import canonical
from gateway.errors import Failure
from gateway.providers.registry import protocol_of
from gateway.providers.rows import ROWS
from gateway.types import Account, Call, Deployment, Usage
from tests import make
from tests.providers.streams import deliver
from tests.recordings import Recording, files_of, recording, row_of

__all__ = ["Pair", "pairs"]

Body = dict[str, Any]

MESSAGES = frozenset({"messages", "rawPredict", "streamRawPredict"})
GOOGLE = frozenset({"generateContent", "streamGenerateContent"})
CONVERSE = frozenset({"converse", "converse-stream"})
#: Base64 that was longer was cut to this length by the recorders' collector, and text that was longer to the other.
CUT = 512
LONG = 24_000


class Pair(Struct, frozen=True, eq=False):
    """A request that was answered, and what the answer took. ``deployment`` is as the catalogue knows the model."""

    id: str
    call: Call
    deployment: Deployment
    usage: Usage


def pairs() -> Iterator[Pair]:
    """All that were recorded with both, and whose request is whole but for its pictures."""
    for file in files_of(None):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                one = recording(json.loads(line))
                if one.status == 200 and one.request is not None and (pair := pair_of(one, one.request)) is not None:
                    yield pair


def pair_of(one: Recording, request: Body) -> Pair | None:
    kind, fields = read_as(one, request)
    if kind is None or is_cut(request, fields):
        return None
    size = len(json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    deployment = deployment_of(kind, one.model or str(request.get("model") or "unknown"))
    call = make.call(fields=fields, size=size, stream=one.stream)
    usage = usage_of(kind, one, call, deployment)
    return Pair(one.id, call, deployment, usage) if usage is not None else None


def read_as(one: Recording, request: Body) -> tuple[str | None, Body]:
    """The kind of provider whose protocol it is, and the request in canonical words."""
    if one.api == "chat.completions":
        return row_of(one.provider).kind, request
    if one.api in MESSAGES or (one.api == "invoke" and "anthropic_version" in request):
        return "anthropic", canonical({"model": one.model or "", **request})
    if one.api in GOOGLE:
        return one.provider, plainly(request, (request.get("generationConfig") or {}).get("maxOutputTokens"))
    if one.api in CONVERSE:
        return "bedrock", plainly(request, (request.get("inferenceConfig") or {}).get("maxTokens"))
    return None, {}


def usage_of(kind: str, one: Recording, call: Call, deployment: Deployment) -> Usage | None:
    if not one.body.strip():
        return None
    protocol = protocol_of(kind)
    if one.stream:
        delivered = deliver(protocol.feed(call, deployment), one.body, [])
        return None if delivered.failure else delivered.feed.usage
    answer = protocol.parse(one.body, call, deployment)
    return None if isinstance(answer, Failure) else answer.usage


def deployment_of(kind: str, model: str) -> Deployment:
    base_url = ROWS[kind].base_url or ""
    known = facts(base_url, model)
    return make.deployment(
        model,
        account=Account(name=kind, kind=kind, base_url=base_url),
        price=known.price,
        context_window=known.context_window,
        max_output=known.max_output,
        capabilities=known.capabilities,
        thinking=known.thinking,
        image_tokens=known.image_tokens,
    )


# --- in the plainest way ------------------------------------------------------------------------------------------


def plainly(request: Body, limit: int | None) -> Body:
    content = [*media(request.get("contents")), *media(request.get("messages"))]
    fields: Body = {"messages": [{"role": "user", "content": content or "as it is"}], "tools": list(tools(request))}
    fields |= {name: request[name] for name in ("cachedContent",) if name in request}
    return fields if limit is None else {**fields, "max_tokens": limit}


def media(value: Any) -> Iterator[Body]:
    if isinstance(value, list):
        for item in value:
            yield from media(item)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in ("inlineData", "inline_data"):
                yield blob(inner.get("mimeType") or inner.get("mime_type") or "", inner.get("data") or "")
            elif name in ("fileData", "file_data"):
                yield blob(inner.get("mimeType") or inner.get("mime_type") or "video/", "https://example.org/x")
            elif name in ("image", "document", "video") and isinstance(inner, dict) and "source" in inner:
                data = inner["source"].get("bytes") or "https://example.org/x"
                yield blob(
                    "application/pdf" if name == "document" else f"{name}/x", data if isinstance(data, str) else ""
                )
            else:
                yield from media(inner)


def blob(kind: str, data: str) -> Body:
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": data}}
    if kind.startswith("audio/"):
        return {"type": "input_audio", "input_audio": {"data": data, "format": kind.removeprefix("audio/")}}
    if kind.startswith("video/"):
        return {"type": "input_video", "input_video": {"data": data}}
    return {"type": "file", "file": {"file_data": data}}


def tools(request: Body) -> Iterator[Body]:
    """Tools of the client's as functions, the provider's own as they are."""
    config = request.get("toolConfig") or {}
    for tool in [*(request.get("tools") or ()), *(config.get("tools") or ())]:
        if "toolSpec" in tool or "functionDeclarations" in tool or "function_declarations" in tool:
            yield {"type": "function", "function": {"name": "f"}}
        elif "cachePoint" not in tool:
            yield tool


def is_cut(request: Body, fields: Body) -> bool:
    """Whether text is missing that was asked with, or part of a medium whose length counts."""
    if any(len(text) >= LONG for text in texts(request)):
        return True
    parts = [part for m in fields["messages"] if isinstance(m.get("content"), list) for part in m["content"]]
    return any(len(text) >= CUT for part in parts if part["type"] not in ("text", "image_url") for text in texts(part))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)
