"""What is checked of a request in any dialect before its members are: that all who read it read the same.

Read next: anthropic_request.py; ../api/body.py, for OpenAI's requests.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from gateway.config.addresses import privacy
from gateway.errors import BadRequest

__all__ = ["MAX_DEPTH", "MAX_MESSAGES", "MAX_MODEL", "conform", "parsed", "why_not"]

MAX_MESSAGES: Final = 4096
MAX_DEPTH: Final = 64
MAX_MODEL: Final = 256

#: Members that would choose where a request goes or with which key: that is for the configuration alone.
FORBIDDEN: Final = frozenset({"api_base", "base_url", "api_key", "extra_headers", "extra_query", "extra_body"})

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def parsed(body: bytes) -> dict[str, Any]:
    """The body as a dict that is safe to look at and to send on.

    Raises BadRequest for what is not a JSON object, for duplicate keys, which two readers could read differently, for
    nesting deeper than 64, and for members that are the operator's alone.
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
    return fields


def conform(fields: dict[str, Any], shape: type[msgspec.Struct]) -> None:
    """Raises BadRequest, naming the member, for what is missing, of another type or out of range."""
    try:
        msgspec.convert(fields, shape)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


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


def why_not(name: str, url: object) -> str | None:
    """What is wrong with a link, None when nothing is.

    The gateway never fetches it, but a provider would: only addresses that the public network has.
    Providers read URLs each in their own way, so that what could be read in two ways is refused.
    """
    if type(url) is not str:
        return "must be a URL"
    if url[:5].lower() == "data:" or (name in ("file_url", "file_data") and ":" not in url and "." not in url):
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
