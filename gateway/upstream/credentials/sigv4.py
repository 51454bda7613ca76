"""AWS Signature Version 4: pure, the time is passed in. Read next: aws.py, which signs with it.

Source: AWS, "Create a signed AWS API request" (Identity and Access Management User Guide). As for every service but
S3, the path is normalised and percent-encoded once more than it is sent.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from gateway.types import Endpoint, Secret
from gateway.upstream.head import host_of

__all__ = ["Keys", "sign"]

ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Keys(Struct, frozen=True):
    """An access key of AWS. ``token`` comes with those that expire."""

    id: str
    secret: Secret
    token: Secret | None = None


def sign(endpoint: Endpoint, body: bytes, keys: Keys, *, region: str, service: str, at: float) -> dict[str, str]:
    """The headers to add to a request made at ``at`` (Unix seconds), so that AWS takes it for the owner's of ``keys``.

    Signed are the host, the body, and what stands in ``endpoint.headers`` of ``content-type`` and ``x-amz-*``: AWS
    asks for no more, and what a proxy on the way may change is left out.
    """
    time = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = {"x-amz-date": time}
    if keys.token is not None:
        added["x-amz-security-token"] = keys.token.reveal()
    fields = {"host": host_of(endpoint).decode("ascii"), **_signed(endpoint), **added}
    names = ";".join(sorted(fields))
    path, _, query = endpoint.target.partition("?")
    canonical = "\n".join(
        [
            endpoint.method,
            quote(_normal(path), safe="/~"),
            "&".join(f"{name}={value}" for name, value in sorted(_parts(query))),
            *(f"{name}:{' '.join(fields[name].split())}" for name in sorted(fields)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    text = "\n".join([ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys.secret.reveal()}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    added["authorization"] = (
        f"{ALGORITHM} Credential={keys.id}/{scope}, SignedHeaders={names}, Signature={_hmac(key, text).hex()}"
    )
    return added


def _signed(endpoint: Endpoint) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in endpoint.headers
        if name == b"content-type" or name.startswith(b"x-amz-")
    }


def _normal(path: str) -> str:
    """The path without empty and dot segments, as RFC 3986 removes them."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return f"/{'/'.join(kept)}{end}"


def _parts(query: str) -> list[tuple[str, str]]:
    """Names and values as they stand in the address, already encoded."""
    return [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
