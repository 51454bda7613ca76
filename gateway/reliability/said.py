"""What a provider said went wrong, whatever the shape of its error body.

Read next: failures.py, which says what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.reliability.retry_after import duration, positive

__all__ = ["Said", "read", "said"]

#: Bytes of an error body that are looked at: errors are short, and a page of HTML says nothing more.
MAX_BODY: Final = 256 * 1024


class Said(Struct, frozen=True):
    """An error as a provider put it.

    ``status`` is an HTTP status named in the body. ``labels`` are its types, codes and reasons, outermost first;
    ``retry_s`` the wait it asks for in the body, in seconds; ``daily`` whether the limit is one of a day.
    """

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    labels: tuple[str, ...] = ()
    retry_s: float | None = None
    daily: bool = False


def read(body: bytes) -> Said:
    """The error in a body of any kind: JSON of six shapes, plain text, HTML or nothing."""
    try:
        value = msgspec.json.decode(body[:MAX_BODY].decode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return Said(message=plain(body))
    return said(value)


def said(value: object) -> Said:
    """The error in a decoded body or event.

    ``{"error": {…}}``, ``{"error": "text", "code": …}``, ``{"message": …}``, ``{"detail": …}``, ``[{"error": …}]``
    and a bare string are all in use.
    """
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return Said(message=value if isinstance(value, str) else "")
    inner = value.get("error")
    if isinstance(inner, dict):
        return described(inner, value)
    if isinstance(inner, str):
        return described({**value, "message": value.get("message") or inner}, {})
    return described(value, {})


def described(error: Mapping[str, Any], outer: Mapping[str, Any]) -> Said:
    details = [item for item in listed(error.get("details")) if isinstance(item, dict)]
    metadata = mapping(error.get("metadata"))
    return Said(
        message=text(error.get("message")) or text(error.get("detail")) or text(metadata.get("raw")) or "",
        type=text(error.get("type")) or text(error.get("error_type")) or text(error.get("status")),
        code=text(error.get("code")),
        param=text(error.get("param")),
        status=status_of(error) or status_of(outer),
        labels=tuple(labels(error, metadata, details)),
        retry_s=wait_of(error, metadata, details),
        daily=any("PerDay" in str(item.get("violations", "")) for item in details),
    )


def labels(error: Mapping[str, Any], metadata: Mapping[str, Any], details: list[dict[str, Any]]) -> list[str]:
    inner = mapping(error.get("innererror") or error.get("inner_error"))
    found = [error.get(name) for name in ("code", "type", "error_type", "status", "reason")]
    found += [metadata.get("error_type"), metadata.get("provider_code"), inner.get("code")]
    found += [item.get("reason") for item in (*details, *listed(error.get("errors"))) if isinstance(item, dict)]
    return [label for label in found if isinstance(label, str) and label]


def wait_of(error: Mapping[str, Any], metadata: Mapping[str, Any], details: list[dict[str, Any]]) -> float | None:
    for item in details:
        wait = duration(str(item.get("retryDelay", "")))
        if wait is not None:
            return wait
    for place in (error, metadata):
        wait = positive(text(place.get("retry_after")))
        if wait is not None:
            return wait
    return None


def status_of(error: Mapping[str, Any]) -> int | None:
    """The HTTP status an error names itself: OpenRouter and Gemini in ``code``, Groq in ``status_code``."""
    for name in ("status_code", "status", "code", "raw_status_code"):
        value = text(error.get(name)) or ""
        if len(value) == 3 and value.isdecimal() and "4" <= value[0] <= "5":
            return int(value)
    return None


def plain(body: bytes) -> str:
    """The text of a body that is not JSON; nothing of a page of HTML."""
    start = body[:2000].decode("utf-8", "replace").strip()
    return "" if start.startswith("<") else start


def text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
