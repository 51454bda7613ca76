"""The head of a request as bytes, and what may not stand in one.

Read next: http1.py, which keeps the part that an endpoint's requests share.
"""

from __future__ import annotations

import re

from gateway.types import Endpoint, WireRequest

__all__ = ["check", "fields_of", "head_of", "host_of", "render"]

#: Default ports are not named in the host header.
PORTS = {"http": 80, "https": 443}
#: What may not stand in a header: line breaks, NUL, and the other control characters but the tab.
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def check(endpoint: Endpoint) -> None:
    """Raises ValueError when requests to an endpoint could not be sent as they stand."""
    if endpoint.method == "HEAD":
        raise ValueError("HEAD is not carried: its answers have no body, whatever their head says")
    target = endpoint.target
    if not (target.startswith("/") and target.isascii() and target.isprintable() and " " not in target):
        raise ValueError(f"the target {target!r} is not a path that can be sent: percent-encode what is not ASCII")
    fields_of(endpoint.headers)


def fields_of(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """``name: value`` lines, each with its end. Raises ValueError for a header that would not stay on its line."""
    for name, value in headers:
        if CONTROL.search(value) or CONTROL.search(name):
            raise ValueError(f"the header {name!r} holds a line break or another control character: it cannot be sent")
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def head_of(endpoint: Endpoint) -> bytes:
    """What all requests to an endpoint begin with, up to the value of content-length. Raises as ``check``."""
    check(endpoint)
    return b"".join(
        [
            f"{endpoint.method} {endpoint.target} HTTP/1.1\r\n".encode("ascii"),
            b"host: %b\r\n" % host_of(endpoint),
            fields_of(endpoint.headers),
            b"accept-encoding: identity\r\ncontent-length: ",
        ]
    )


def host_of(endpoint: Endpoint) -> bytes:
    """The value of the host header."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    if endpoint.port != PORTS[endpoint.scheme]:
        host = f"{host}:{endpoint.port}"
    return host.encode("idna")


def render(head: bytes, request: WireRequest) -> bytes:
    """The whole request, head and body, as it is written in one piece. Raises ValueError as ``fields_of``."""
    body = request.body
    fields = fields_of(request.headers) if request.headers else b""
    return b"%b%d\r\n%b\r\n%b" % (head, len(body), fields, body)
