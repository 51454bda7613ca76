"""What all protocols share on the way to a provider: its address as an Endpoint, and how an answer is gone on with.

Read next: openai.py and the packages beside it, which say what is their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from msgspec.structs import replace

from gateway import __version__
from gateway.types import BYTES_PER_TOKEN, Account, Call, Endpoint

__all__ = ["address_of", "endpoint_at", "going_on"]

USER_AGENT: Final = f"signalbox/{__version__}".encode()


def address_of(account: Account, usual: str | None) -> SplitResult:
    """The address of an account, else the usual one of its kind. Raises ValueError when it is not one of HTTP."""
    said = account.base_url or usual or ""
    address = urlsplit(said)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(f"account {account.name}: {account.base_url!r} is not an http:// or https:// address")
    return address


def endpoint_at(
    account: Account, address: SplitResult, method: str, target: str, own: Mapping[bytes, bytes], *, query: str = ""
) -> Endpoint:
    """Requests to this target at an address. ``own`` are the protocol's headers; the account's count more.

    ``target`` may have a query, ``query`` is another part of it, and the address may have one too.
    """
    scheme: Literal["http", "https"] = "https" if address.scheme == "https" else "http"
    path, _, said = target.partition("?")
    query = "&".join([part for part in (said, address.query, query) if part])
    headers = {b"content-type": b"application/json", b"user-agent": USER_AGENT, **own}
    headers |= {name.lower().encode(): value.encode() for name, value in account.headers}
    return Endpoint(
        scheme=scheme,
        host=address.hostname or "",
        port=address.port or (443 if scheme == "https" else 80),
        method=method,
        target=f"{path}?{query}" if query else path,
        headers=tuple(headers.items()),
        max_connections=account.max_connections,
    )


def going_on(
    call: Call, text: str, *, message: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
) -> Call:
    """The call that goes on from the beginning of an answer: its last message, counted off what may still be said.

    ``message`` and ``body`` mark the beginning as one, in the message and in the request.
    """
    fields = dict(call.fields)
    fields["messages"] = [*fields["messages"], {"role": "assistant", "content": text, **(message or {})}]
    fields.update(body or {})
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(limit := fields.get(name), int):
            fields[name] = max(1, limit - len(text.encode()) // BYTES_PER_TOKEN)
    return replace(call, fields=fields, native=None)
