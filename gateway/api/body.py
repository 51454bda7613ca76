"""A chat request's body, judged: what passes here is what is decided on and what is sent.

Read next: ../dialects/judging.py, what is checked of every dialect's requests; ../intent/features.py, which relies on
what is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from gateway.dialects.judging import MAX_MESSAGES, MAX_MODEL, conform, parsed, why_not
from gateway.errors import BadRequest

__all__ = ["judge", "tags_of"]

Tokens = Annotated[int, Meta(ge=0, le=10_000_000)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class _Part(Struct):
    type: str
    text: str | None = None
    image_url: dict[str, Any] | str | None = None


class _Function(Struct):
    name: str
    arguments: str | dict[str, Any] | None = None


class _ToolCall(Struct):
    id: str | None = None
    type: str | None = None
    function: _Function | None = None


class _Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Tool(Struct):
    type: str | None = None
    function: dict[str, Any] | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Format(Struct):
    type: str
    json_schema: dict[str, Any] | None = None


class _Chat(Struct):
    """The members that have a meaning here or would fail at every provider; all others pass as they are."""

    messages: Annotated[list[_Message], Meta(min_length=1, max_length=MAX_MESSAGES)]
    model: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logprobs: bool | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[_Tool] | None = None
    functions: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: _Format | None = None
    modalities: list[str] | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    reasoning_effort: str | None = None


#: Members of a content part that a provider would fetch from, as it would from ``file.file_data``. Of an operator's own
#: storage at a cloud (``gs://``, ``s3://``) it would do so in the operator's name, so that only public addresses pass.
LINKS: Final = frozenset({"image_url", "video_url", "audio_url", "file_url"})


def judge(body: bytes) -> dict[str, Any]:
    """The body as a dict that is safe to decide on and to send on.

    Raises BadRequest, naming the member, for what is not JSON, not a chat request, or out of range; for duplicate
    keys, which two readers could read differently; and for nesting deeper than 64.
    """
    fields = parsed(body)
    conform(fields, _Chat)
    _refuse_links(fields["messages"])
    return fields


def _refuse_links(messages: list[dict[str, Any]]) -> None:
    for n, message in enumerate(messages):
        content = message.get("content")
        if type(content) is not list:
            continue
        for m, part in enumerate(content):
            for name in LINKS.intersection(part):
                link = part[name]
                _refuse_link(
                    name, link.get("url") if type(link) is dict else link, f"messages[{n}].content[{m}].{name}"
                )
            if type(file := part.get("file")) is dict:
                _refuse_link("file_data", file.get("file_data"), f"messages[{n}].content[{m}].file.file_data")


def _refuse_link(name: str, url: object, place: str) -> None:
    if url is not None and (why := why_not(name, url)):
        raise BadRequest(f"{name} {why}.", code=f"invalid_{name}", param=place)


def tags_of(header: str) -> Mapping[str, str]:
    """``x-gateway-tags: team=legal, feature=search`` as a mapping. Raises BadRequest when it is anything else."""
    tags: dict[str, str] = {}
    for pair in header.split(","):
        name, equals, value = (s.strip() for s in pair.partition("="))
        if (
            not equals
            or not re.fullmatch(r"[a-z][a-z0-9_.-]{0,63}", name)
            or not re.fullmatch(r"[\x21-\x7e]{1,128}", value)
        ):
            raise BadRequest(
                f"x-gateway-tags: {pair.strip()[:80]!r} is not name=value with a name of a-z, 0-9, _ . -",
                param="x-gateway-tags",
            )
        tags[name] = value
    return tags
