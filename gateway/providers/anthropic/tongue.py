"""The tongue of Anthropic's Messages: where it is spoken, and how requests, answers and faults are put.

Read next: request.py, the way there; reading.py, the way back.
"""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import urlsplit

from msgspec.structs import replace

from gateway import __version__
from gateway.errors import Failure
from gateway.providers.anthropic.reading import Reader, whole
from gateway.providers.anthropic.request import native, request
from gateway.providers.protocol import Headers, Rendered
from gateway.providers.rows import Row
from gateway.providers.tally import Tally
from gateway.reliability.failures import classify
from gateway.reliability.said import read
from gateway.types import BYTES_PER_TOKEN, Account, Call, Deployment, Endpoint, Secret

__all__ = ["Anthropic"]

USER_AGENT: Final = f"signalbox/{__version__}".encode()
#: The version of the API that all of this is written for.
VERSION: Final = b"2023-06-01"


class Anthropic:
    """The tongue for one row. Implements foreign.Tongue."""

    __slots__ = ("row",)

    dialect: Final = "anthropic"

    def __init__(self, row: Row) -> None:
        self.row = row

    def __repr__(self) -> str:
        return f"Anthropic's Messages as {self.row.kind} speaks them"

    def endpoint(self, deployment: Deployment, key: Secret | None, *, stream: bool) -> Endpoint:
        """Where requests go with this key, streams and others. Raises ValueError for an address without a host."""
        return self._at("POST", self.row.path, deployment.account, key)

    def models(self, deployment: Deployment, key: Secret | None) -> Endpoint:
        """Where models are listed. Raises as ``endpoint``."""
        return self._at("GET", "/models", deployment.account, key)

    def _at(self, method: str, path: str, account: Account, key: Secret | None) -> Endpoint:
        address = urlsplit(account.base_url or self.row.base_url or "")
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"account {account.name}: {account.base_url!r} is not an http:// or https:// address")
        scheme: Literal["http", "https"] = "https" if address.scheme == "https" else "http"
        # Anthropic's own clients are given the address without its version.
        target = address.path.rstrip("/").removesuffix("/v1") + "/v1" + path
        return Endpoint(
            scheme=scheme,
            host=address.hostname,
            port=address.port or (443 if scheme == "https" else 80),
            method=method,
            target=f"{target}?{address.query}" if address.query else target,
            headers=headers_of(account, key),
            max_connections=account.max_connections,
        )

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        """The text becomes the last message, the assistant's. The blanks at its end are not sent: they are refused."""
        fields: dict[str, Any] = {
            **call.fields,
            "messages": [*call.fields["messages"], {"role": "assistant", "content": text}],
        }
        for name in ("max_tokens", "max_completion_tokens"):
            if isinstance(limit := fields.get(name), int):
                fields[name] = max(1, limit - len(text.encode()) // BYTES_PER_TOKEN)
        return replace(call, fields=fields, native=None)

    def render(self, call: Call, deployment: Deployment, *, stream: bool) -> Rendered:
        """The request: the client's own where it speaks Messages itself. Raises CannotSay."""
        if call.native is not None and call.dialect == self.dialect:
            return native(call.native, deployment, stream=stream)
        return request(call, deployment, stream=stream)

    def whole(self, body: bytes, out: Tally, call: Call, deployment: Deployment) -> Failure | None:
        """Read a whole answer."""
        return whole(body, out)

    def reader(self, call: Call, deployment: Deployment) -> Reader:
        """A reader for one stream."""
        return Reader()

    def fault(self, status: int, headers: Headers, body: bytes, deployment: Deployment) -> Failure:
        """What a status outside 2xx means; 529 is Anthropic's own for being overloaded."""
        return classify(status, headers, read(body))


def headers_of(account: Account, key: Secret | None) -> tuple[tuple[bytes, bytes], ...]:
    headers = {
        b"content-type": b"application/json",
        b"accept-encoding": b"identity",
        b"user-agent": USER_AGENT,
        b"anthropic-version": VERSION,
    }
    if key is not None:
        headers[b"x-api-key"] = key.reveal().encode()
    for name, value in account.headers:
        headers[name.lower().encode()] = value.encode()
    return tuple(headers.items())
