"""A chat request's body, judged: what passes here is what is decided on and what is sent.

Read next: chat.py, which reads it off the wire; ../intent/features.py, which relies on what is checked here.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from gateway.errors import BadRequest

__all__ = ["judge", "tags_of"]

MAX_MESSAGES: Final = 4096
MAX_DEPTH: Final = 64
MAX_MODEL: Final = 256

#: Members that would choose where a request goes or with which key: that is for the configuration alone.
FORBIDDEN: Final = frozenset({"api_base", "base_url", "api_key", "extra_headers", "extra_query", "extra_body"})

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


_decode: Final = msgspec.json.Decoder().decode
_check: Final = msgspec.json.Decoder(_Chat).decode


def judge(body: bytes) -> dict[str, Any]:
    """The body as a dict that is safe to decide on and to send on.

    Raises BadRequest, naming the member, for what is not JSON, not a chat request, or out of range; for duplicate
    keys, which two readers could read differently; and for nesting deeper than 64.
    """
    try:
        fields = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The request body is not valid JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise _too_deep() from None
    if type(fields) is not dict:
        raise BadRequest("The request body must be a JSON object.", code="invalid_json")
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _refuse_depth(fields)
    _refuse_duplicates(body, fields)
    if not FORBIDDEN.isdisjoint(fields):
        name = min(FORBIDDEN.intersection(fields))
        raise BadRequest(f"{name} cannot be set by a request: providers are configured by the operator.", param=name)
    try:
        _check(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    if b"image_url" in body:
        _refuse_urls(fields["messages"])
    return fields


def _invalid(said: str) -> BadRequest:
    """msgspec says ``Expected `str`, got `int` - at `$.messages[0].role` ``; clients want the member by itself."""
    what, _, path = said.partition(" - at `$")
    param = path.rstrip("`").lstrip(".") or None
    if missing := re.match(r"Object missing required field `(\w+)`", what):
        param = f"{param}.{missing[1]}" if param else missing[1]
        return BadRequest(f"Missing required parameter: {param}.", code="missing_required_parameter", param=param)
    return BadRequest(f"Invalid value for {param}: {what}.", code="invalid_value", param=param)


def _too_deep() -> BadRequest:
    return BadRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.", code="too_deep")


def _refuse_depth(fields: dict[str, Any]) -> None:
    """Level by level, since a recursive walk would be the very thing that deep nesting attacks."""
    level: list[Any] = [fields]
    for _ in range(MAX_DEPTH):
        values = (v for node in level for v in (node.values() if type(node) is dict else node))
        level = [v for v in values if type(v) is dict or type(v) is list]
        if not level:
            return
    raise _too_deep()


def _refuse_duplicates(body: bytes, fields: dict[str, Any]) -> None:
    """Keys that came twice are lost in a dict, and with them two quotes; only then is it worth an exact parser."""
    if body.count(b'"') == msgspec.json.encode(fields).count(b'"') and b"\\u0022" not in body:
        return
    json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:64]
        raise BadRequest(f"The key {twice!r} occurs twice in one object.", code="duplicate_key", param=twice)
    return found


def _refuse_urls(messages: list[dict[str, Any]]) -> None:
    for n, message in enumerate(messages):
        content = message.get("content")
        for m, part in enumerate(content if type(content) is list else ()):
            image = part.get("image_url")
            url = image.get("url") if type(image) is dict else image
            if url is not None and (why := _why_not_url(url)):
                raise BadRequest(why, code="invalid_image_url", param=f"messages[{n}].content[{m}].image_url")


def _why_not_url(url: object) -> str | None:
    """The gateway never fetches it, but a provider would: only addresses that the public network has."""
    if type(url) is not str:
        return "image_url must be a URL."
    if url.startswith("data:"):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return "image_url is not a valid URL."
    if parts.scheme not in ("http", "https") or not parts.hostname or "\\" in url:
        return "image_url must be an http, https or data URL."
    return "image_url names a private address." if _is_private(parts.hostname) else None


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".internal", ".local"))


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
