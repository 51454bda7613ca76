"""generateContent as a Tongue: where it is asked, and where its pieces are.

Read next: request.py, the way there; reading.py, the way back.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from gateway import __version__
from gateway.errors import Failure
from gateway.providers.google.reading import Reading, read_whole
from gateway.providers.google.request import render
from gateway.providers.protocol import Headers, Rendered
from gateway.providers.rows import Row
from gateway.providers.tally import Tally
from gateway.reliability.failures import classify
from gateway.reliability.said import read
from gateway.types import BYTES_PER_TOKEN, Account, Call, Deployment, Endpoint, Secret

__all__ = ["Google"]

USER_AGENT: Final = f"signalbox/{__version__}".encode()
#: How Google's API keys begin; anything else that opens Vertex is a token.
KEYS: Final = ("AIza", "AQ.")


class Google:
    """The tongue for one row. Implements foreign.Tongue."""

    __slots__ = ("_row", "_studio")

    dialect: Final = "google"

    def __init__(self, row: Row) -> None:
        self._row = row
        self._studio = row.auth == "x-goog-api-key"

    def __repr__(self) -> str:
        return f"generateContent as {self._row.kind} speaks it"

    def endpoint(self, deployment: Deployment, key: Secret | None, *, stream: bool) -> Endpoint:
        """Where this deployment is asked. Raises ValueError for an address without a host."""
        model = quote(deployment.model.removeprefix("models/"), safe="")
        verb = ":streamGenerateContent?alt=sse" if stream else ":generateContent"
        return self._at("POST", self._row.path.format(model=model) + verb, deployment.account, key)

    def models(self, deployment: Deployment, key: Secret | None) -> Endpoint:
        """Where the models are listed. Raises as ``endpoint``."""
        path = self._row.path.removesuffix("/{model}")
        return self._at("GET", path, deployment.account, key)

    def _at(self, method: str, path: str, account: Account, key: Secret | None) -> Endpoint:
        address = urlsplit(account.base_url or self._row.base_url or "")
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"account {account.name}: {account.base_url!r} is not an http:// or https:// address")
        scheme: Literal["http", "https"] = "https" if address.scheme == "https" else "http"
        target = address.path.rstrip("/") + path
        if address.query:
            target += ("&" if "?" in target else "?") + address.query
        return Endpoint(
            scheme=scheme,
            host=address.hostname,
            port=address.port or (443 if scheme == "https" else 80),
            method=method,
            target=target,
            headers=self._headers(account, key),
            max_connections=account.max_connections,
        )

    def _headers(self, account: Account, key: Secret | None) -> tuple[tuple[bytes, bytes], ...]:
        headers = {b"content-type": b"application/json", b"user-agent": USER_AGENT}
        if key is not None and (self._studio or key.reveal().startswith(KEYS)):
            headers[b"x-goog-api-key"] = key.reveal().encode()
        elif key is not None:
            headers[b"authorization"] = b"Bearer " + key.reveal().encode()
        for name, value in account.headers:
            headers[name.lower().encode()] = value.encode()
        return tuple(headers.items())

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        """The text becomes the last turn, the model's, and is counted off what may still be said."""
        fields = dict(call.fields)
        fields["messages"] = [*fields["messages"], {"role": "assistant", "content": text}]
        for name in ("max_tokens", "max_completion_tokens"):
            if isinstance(limit := fields.get(name), int):
                fields[name] = max(1, limit - len(text.encode()) // BYTES_PER_TOKEN)
        return replace(call, fields=fields)

    def render(self, call: Call, deployment: Deployment, *, stream: bool) -> Rendered:
        """The request body; whether it is a stream stands in the address. Raises CannotSay."""
        return render(call, deployment, studio=self._studio)

    def whole(self, body: bytes, out: Tally, call: Call, deployment: Deployment) -> Failure | None:
        """Read a 2xx answer and tell it; the failure that it is when it is an error, or cannot be read."""
        return read_whole(body, out)

    def reader(self, call: Call, deployment: Deployment) -> Reading:
        """Something that reads one 2xx stream."""
        return Reading()

    def fault(self, status: int, headers: Headers, body: bytes, deployment: Deployment) -> Failure:
        """What a status outside 2xx means.

        A key that is not valid is a 400 here, told by its reason; so is an account that may not be used from where it
        is, or without billing: a ``FAILED_PRECONDITION``, and nothing that the client could mend.
        """
        failure = classify(status, headers, read(body))
        return replace(failure, kind="auth") if failure.type == "FAILED_PRECONDITION" else failure
