"""Errors in Anthropic's words. Read next: ../errors.py, the gateway's own; ../api/messages.py, which sends them.

Source: Anthropic's API reference, Errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.dialects.anthropic_body import THREADS
from gateway.errors import GatewayError

__all__ = ["PING", "details_of", "envelope", "error_event", "said_of"]

TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
#: What clients look for in the words of a refusal in order to make a conversation shorter by themselves.
TOO_LONG: Final = "prompt is too long"

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'


def envelope(status: int, message: str, request_id: str | None, details: Mapping[str, str] | None = None) -> bytes:
    """``{"type": "error", "error": {"type", "message"}, "request_id"}`` as bytes; the id null where there is none.

    ``details`` stand in the error where there are any.
    """
    kind = TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    error: dict[str, object] = {"type": kind, "message": message}
    if details is not None:
        error["details"] = details
    return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})


def error_event(status: int, message: str, request_id: str) -> bytes:
    """The same within a stream."""
    return b"event: error\ndata: " + envelope(status, message, request_id) + b"\n\n"


def details_of(error: GatewayError) -> Mapping[str, str] | None:
    """What Anthropic's SDKs act on beside the status."""
    return {"error_code": error.code} if error.code == THREADS else None


def said_of(error: GatewayError) -> str:
    """An error's message, in which such clients find what they look for."""
    if error.code == "context_length_exceeded" and TOO_LONG not in error.message:
        return f"{TOO_LONG}: {error.message}"
    return error.message
