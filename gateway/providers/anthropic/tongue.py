"""The tongue of Anthropic's Messages: where it is spoken, and how requests, answers and faults are put.

Read next: request.py, the way there; reading.py, the way back.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import Failure
from gateway.providers.anthropic.reading import Reader, whole
from gateway.providers.anthropic.request import native, request
from gateway.providers.protocol import Headers, Rendered
from gateway.providers.reached import address_of, endpoint_at, going_on
from gateway.providers.rows import Row
from gateway.providers.tally import Tally
from gateway.reliability.failures import classify
from gateway.reliability.said import read
from gateway.types import Account, Call, Deployment, Endpoint, Secret

__all__ = ["Anthropic"]

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
        address = address_of(account, self.row.base_url)
        # Anthropic's own clients are given the address without its version.
        target = address.path.rstrip("/").removesuffix("/v1") + "/v1" + path
        own = {b"anthropic-version": VERSION}
        if key is not None:
            own[b"x-api-key"] = key.reveal().encode()
        return endpoint_at(account, address, method, target, own)

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        """The text becomes the last message, the assistant's. The blanks at its end are not sent: they are refused."""
        return going_on(call, text)

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
