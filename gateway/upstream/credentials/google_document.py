"""A token for a credentials document of Google's. Imported where it is wanted: it needs the extra ``google``.

Read next: google.py, which calls it. google-auth signs and asks through the transport below, without ``requests``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, Final

import google.auth.aws
import google.auth.identity_pool
import google.oauth2.credentials
import google.oauth2.service_account
import httpx2
import msgspec
from google.auth.exceptions import GoogleAuthError
from msgspec import Struct

from gateway.errors import CredentialFailed
from gateway.upstream.credentials.credential import Headers
from gateway.upstream.credentials.kept import Fresh
from gateway.upstream.credentials.token import TIMEOUT_S

__all__ = ["fetch"]

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


def fetch(document: str) -> Fresh[Headers]:
    """What Google grants the holder of a document. Raises CredentialFailed."""
    credentials = _credentials(document)
    try:
        with httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False) as client:
            credentials.refresh(_Asking(client))
    except GoogleAuthError as error:
        raise CredentialFailed(f"Google grants no token: {_code(error)}", refused=not error.retryable) from None
    headers: dict[str, str] = {}
    credentials.apply(headers)
    ends_at = credentials.expiry.replace(tzinfo=UTC).timestamp() if credentials.expiry is not None else None
    return Fresh(tuple([(name.lower().encode(), value.encode()) for name, value in headers.items()]), ends_at)


def _credentials(document: str) -> Any:
    try:
        info = msgspec.json.decode(document)
        make = _KINDS[info["type"]]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise CredentialFailed(f"the document is none of: {', '.join(_KINDS)}", refused=True) from None
    try:
        return make(info)
    except (ValueError, KeyError, TypeError, GoogleAuthError):
        raise CredentialFailed(f"the document is no {info['type']} that google-auth can read", refused=True) from None


def _federated(info: Mapping[str, Any]) -> Any:
    aws = str(info.get("subject_token_type", "")).endswith(":aws4_request")
    module = google.auth.aws if aws else google.auth.identity_pool
    return module.Credentials.from_info(info, scopes=[SCOPE])


_SERVICE_ACCOUNT: Final[Any] = google.oauth2.service_account.Credentials
_USER: Final[Any] = google.oauth2.credentials.Credentials
_KINDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "service_account": lambda info: _SERVICE_ACCOUNT.from_service_account_info(info, scopes=[SCOPE]),
    "authorized_user": _USER.from_authorized_user_info,
    "external_account": _federated,
}


def _code(error: GoogleAuthError) -> str:
    """OAuth's own word for why not; the rest of what an answer says may repeat what was sent."""
    said = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], dict) else {}
    code = said.get("error")
    return code if isinstance(code, str) and code.replace("_", "").isalpha() else type(error).__name__


class _Answer(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    data: bytes


class _Asking:
    """google-auth's questions, over httpx2. Implements google.auth.transport.Request."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Answer:
        try:
            answer = self._client.request(method, url, content=body, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            where = url.partition("?")[0]
            raise CredentialFailed(f"{where} cannot be asked ({type(error).__name__})", refused=False) from None
        return _Answer(answer.status_code, answer.headers, answer.content)
