"""A chat request's body, judged: what passes here is what is decided on and what is sent.

Read next: chat.py, which reads it off the wire; ../intent/features.py, which relies on what is checked here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from gateway.config.addresses import privacy
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


#: Members of a content part that a provider would fetch from.
LINKS: Final = frozenset({"image_url", "video_url", "audio_url", "file_url"})

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def judge(body: bytes) -> dict[str, Any]:
    """The body as a dict that is safe to decide on and to send on.

    Raises BadRequest, naming the member, for what is not JSON, not a chat request, or out of range; for duplicate
    keys, which two readers could read differently; and for nesting deeper than 64.
    """
    try:
        fields = _decode(body)
    except UnicodeDecodeError:
        raise BadRequest("The request body is not valid UTF-8.", code="invalid_json") from None
    except msgspec.DecodeError as error:
        what = str(error).partition(" - at `$")[0]
        raise BadRequest(f"The request body is not valid JSON: {what}.", code="invalid_json") from None
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
        msgspec.convert(fields, _Chat)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    _refuse_links(fields["messages"])
    return fields


def _invalid(said: str) -> BadRequest:
    """msgspec says ``Expected `str`, got `int` - at `$.messages[0].role` ``; clients want the member by itself."""
    what, _, path = said.rpartition(" - at `$") if said.endswith("`") and " - at `$" in said else (said, "", "")
    param = path.rstrip("`").lstrip(".") or None
    if missing := re.match(r"Object missing required field `(\w+)`", what):
        param = f"{param}.{missing[1]}" if param else missing[1]
        return BadRequest(f"Missing required parameter: {param}.", code="missing_required_parameter", param=param)
    return BadRequest(f"Invalid value for {param}: {what[:120]}.", code="invalid_value", param=param)


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
    again = _encode(fields)
    if again == body:
        return
    quotes = body.count(b'"')
    if b"\\" in body:
        quotes += body.count(b"\\u0022")
    if quotes != again.count(b'"'):
        json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)[:64]
        raise BadRequest(f"The key {twice!r} occurs twice in one object.", code="duplicate_key", param=twice)
    return found


def _refuse_links(messages: list[dict[str, Any]]) -> None:
    for n, message in enumerate(messages):
        content = message.get("content")
        if type(content) is not list:
            continue
        for m, part in enumerate(content):
            for name in LINKS.intersection(part):
                link = part[name]
                url = link.get("url") if type(link) is dict else link
                if url is not None and (why := _why_not(name, url)):
                    place = f"messages[{n}].content[{m}].{name}"
                    raise BadRequest(f"{name} {why}.", code=f"invalid_{name}", param=place)


def _why_not(name: str, url: object) -> str | None:
    """The gateway never fetches it, but a provider would: only addresses that the public network has.

    Providers read URLs each in their own way, so that what could be read in two ways is refused.
    """
    if type(url) is not str:
        return "must be a URL"
    if url[:5].lower() == "data:" or (name == "file_url" and ":" not in url and "." not in url):
        # A document may also stand there itself, in base64.
        return None
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        return "is not a valid URL"
    if parts.scheme not in ("http", "https") or not host:
        return "must be an http, https or data URL"
    if re.search(r"[\x00-\x20\x7f\\]", url) or "%" in host:
        return "is not a valid URL"
    return "names a private address" if privacy(f"http://[{host}]" if ":" in host else f"http://{host}") else None


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
