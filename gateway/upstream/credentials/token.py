"""Asking for an access token over HTTP: what OAuth servers and metadata servers answer. For threads: it waits.

Read next: google.py and azure.py, which ask. Source: RFC 6749, sections 4.4 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import httpx2
import msgspec
from msgspec import Struct

from gateway.errors import CredentialFailed
from gateway.reliability.sanitise import sanitise
from gateway.upstream.credentials.credential import Headers
from gateway.upstream.credentials.kept import Fresh

__all__ = ["TIMEOUT_S", "ask", "bearer"]

#: How long each part of an exchange may take, in seconds.
TIMEOUT_S: Final = 5.0
#: What an answer may have at most, in bytes.
LONGEST: Final = 64 * 1024


class Granted(Struct):
    """A token and its life in seconds. Some servers write the number as text."""

    access_token: str
    expires_in: int


class Refused(Struct):
    """Why not, as a code and in words."""

    error: str = ""
    error_description: str = ""


def ask(
    method: str,
    url: str,
    wall: Callable[[], float],
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    proxies: bool = True,
) -> Fresh[Headers]:
    """The bearer header that a server grants. Raises CredentialFailed.

    ``proxies``: whether those that the environment names are used.
    """
    try:
        with httpx2.Client(timeout=TIMEOUT_S, trust_env=proxies, follow_redirects=False) as client:
            answer = client.request(method, url, headers=headers, data=form)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        where = url.partition("?")[0]
        raise CredentialFailed(f"{where} cannot be asked ({type(error).__name__})", refused=False) from None
    if answer.status_code != 200:
        raise _refusal(answer, (form or {}).get("client_secret"))
    try:
        granted = msgspec.json.decode(answer.content[:LONGEST], type=Granted, strict=False)
    except msgspec.DecodeError:
        raise CredentialFailed(f"{_where(answer)} answered without an access token", refused=True) from None
    return Fresh(bearer(granted.access_token), wall() + granted.expires_in)


def bearer(token: str) -> Headers:
    """The header that carries a token. Raises CredentialFailed for one that no header can carry."""
    if not token or not token.isascii() or not token.isprintable():
        raise CredentialFailed("the token that was granted cannot stand in a header", refused=True)
    return ((b"authorization", b"Bearer " + token.encode()),)


def _refusal(answer: httpx2.Response, secret: str | None) -> CredentialFailed:
    try:
        said = msgspec.json.decode(answer.content[:LONGEST], type=Refused)
    except msgspec.DecodeError:
        said = Refused()
    words = [part.replace(secret, "…") if secret else part for part in (said.error, said.error_description) if part]
    why = sanitise(": ".join(words))
    status = answer.status_code
    return CredentialFailed(
        f"{_where(answer)} answered {status}{f', {why}' if why else ''}", refused=status < 500 and status != 429
    )


def _where(answer: httpx2.Response) -> str:
    return str(answer.url).partition("?")[0]
