"""The tongue of Bedrock's Converse: where it is spoken, and how requests, answers and faults are put.

Read next: request.py, the way there; reading.py, the way back.
"""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from gateway import __version__
from gateway.errors import Failure
from gateway.providers.bedrock.reading import Reader, fault, whole
from gateway.providers.bedrock.request import request
from gateway.providers.bedrock.words import DIALECT
from gateway.providers.protocol import Headers, Rendered
from gateway.providers.rows import Row
from gateway.providers.tally import Tally
from gateway.types import BYTES_PER_TOKEN, Account, Call, Deployment, Endpoint, Secret

__all__ = ["Bedrock"]

USER_AGENT: Final = f"signalbox/{__version__}".encode()


class Bedrock:
    """The tongue for one row. Implements foreign.Tongue.

    With a key, an API key of Bedrock's, requests carry it; without one they are signed on their way out, which is not
    done here (upstream/credentials).
    """

    __slots__ = ("row",)

    dialect: Final = DIALECT

    def __init__(self, row: Row) -> None:
        self.row = row

    def __repr__(self) -> str:
        return f"Converse as {self.row.kind} speaks it"

    def endpoint(self, deployment: Deployment, key: Secret | None, *, stream: bool) -> Endpoint:
        """Where requests go with this key. Raises ValueError for an address without a host, or without its region."""
        verb = "converse-stream" if stream else "converse"
        return self._at("POST", f"/model/{quote(deployment.model, safe='')}/{verb}", deployment.account, key)

    def models(self, deployment: Deployment, key: Secret | None) -> Endpoint:
        """Where the host that serves is asked whether it is there.

        Bedrock lists its models at another host, whose health says nothing of this one; here the same question is not
        known, and that answer is the sign of life that is wanted. Raises as ``endpoint``.
        """
        return self._at("GET", "/foundation-models", deployment.account, key)

    def _at(self, method: str, path: str, account: Account, key: Secret | None) -> Endpoint:
        said = account.base_url or self.row.base_url or ""
        if account.region:
            said = said.replace("{region}", account.region)
        address = urlsplit(said)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"account {account.name}: {account.base_url!r} is not an http:// or https:// address")
        if "{" in address.hostname:
            raise ValueError(f"account {account.name}: {said!r} needs a region: set the account's region")
        scheme: Literal["http", "https"] = "https" if address.scheme == "https" else "http"
        target = address.path.rstrip("/") + path
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
        """The request: whether it is streamed is said by the address. Raises CannotSay."""
        return request(call, deployment)

    def whole(self, body: bytes, out: Tally, call: Call, deployment: Deployment) -> Failure | None:
        """Read a whole answer."""
        return whole(body, out)

    def reader(self, call: Call, deployment: Deployment) -> Reader:
        """A reader for one stream."""
        return Reader()

    def fault(self, status: int, headers: Headers, body: bytes, deployment: Deployment) -> Failure:
        """What a status outside 2xx means."""
        return fault(status, headers, body)


def headers_of(account: Account, key: Secret | None) -> tuple[tuple[bytes, bytes], ...]:
    headers = {
        b"content-type": b"application/json",
        b"accept-encoding": b"identity",
        b"user-agent": USER_AGENT,
    }
    if key is not None:
        headers[b"authorization"] = b"Bearer " + key.reveal().encode()
    for name, value in account.headers:
        headers[name.lower().encode()] = value.encode()
    return tuple(headers.items())
