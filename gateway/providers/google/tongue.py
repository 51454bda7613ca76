"""generateContent as a Tongue: where it is asked, and where its pieces are.

Read next: request.py, the way there; reading.py, the way back.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from msgspec.structs import replace

from gateway.errors import Failure
from gateway.providers.google.reading import Reading, read_whole
from gateway.providers.google.request import render
from gateway.providers.protocol import Headers, Rendered
from gateway.providers.reached import address_of, endpoint_at, going_on
from gateway.providers.rows import Row
from gateway.providers.tally import Tally
from gateway.reliability.failures import classify
from gateway.reliability.said import read
from gateway.types import Account, Call, Deployment, Endpoint, Secret

__all__ = ["Google"]

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
        address = address_of(account, self._row.base_url)
        own: dict[bytes, bytes] = {}
        if key is not None and (self._studio or key.reveal().startswith(KEYS)):
            own[b"x-goog-api-key"] = key.reveal().encode()
        elif key is not None:
            own[b"authorization"] = b"Bearer " + key.reveal().encode()
        return endpoint_at(account, address, method, address.path.rstrip("/") + path, own)

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        """The text becomes the last turn, the model's, and is counted off what may still be said."""
        return going_on(call, text)

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
