"""The tongue of Bedrock's Converse: where it is spoken, and how requests, answers and faults are put.

Read next: request.py, the way there; reading.py, the way back.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from gateway.errors import Failure
from gateway.providers.bedrock.reading import Reader, fault, whole
from gateway.providers.bedrock.request import request
from gateway.providers.bedrock.words import DIALECT
from gateway.providers.protocol import Headers, Rendered
from gateway.providers.reached import address_of, endpoint_at, going_on
from gateway.providers.rows import Row
from gateway.providers.tally import Tally
from gateway.types import Account, Call, Deployment, Endpoint, Secret

__all__ = ["Bedrock"]


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
        address = address_of(account, self.row.base_url)
        if account.region:
            address = urlsplit(address.geturl().replace("{region}", account.region))
        if "{" in (address.hostname or ""):
            raise ValueError(f"account {account.name}: {address.geturl()!r} needs a region: set the account's region")
        own = {b"authorization": b"Bearer " + key.reveal().encode()} if key is not None else {}
        return endpoint_at(account, address, method, address.path.rstrip("/") + path, own)

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        """The text becomes the last message, the assistant's. The blanks at its end are not sent: they are refused."""
        return going_on(call, text)

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
