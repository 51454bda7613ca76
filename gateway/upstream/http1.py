"""The default transport: HTTP/1.1 on asyncio and httptools, made for forwarding.

Read next: pool.py, the connections of one origin; answer.py, what ``send`` returns. over_httpx2.py is the other one.
"""

from __future__ import annotations

import asyncio
import ssl

from gateway.types import Endpoint, Timeouts, WireRequest
from gateway.upstream.answer import Answer
from gateway.upstream.pool import Pool
from gateway.upstream.transport import Limits

__all__ = ["Http1"]

#: Endpoints whose head is kept. A configuration has far fewer; one that is forgotten is only built again.
KEPT_HEADS = 4096
#: Default ports are not named in the host header.
PORTS = {"http": 80, "https": 443}


class Prepared:
    """What all requests to one endpoint share."""

    __slots__ = ("head", "pool")

    def __init__(self, head: bytes, pool: Pool) -> None:
        self.head = head
        self.pool = pool


class Http1:
    """Requests over HTTP/1.1, without proxies and without following redirects.

    ``ssl_context`` is what https origins are verified with (default: the system's authorities, ALPN http/1.1).
    ``idle_s`` is how long an unused connection is kept, in seconds. One instance serves one event loop.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        idle_s: float = 30.0,
    ) -> None:
        self._context = ssl_context
        self._limits = limits or Limits()
        self._idle_s = idle_s
        self._prepared: dict[Endpoint, Prepared] = {}
        self._pools: dict[str, Pool] = {}

    def __repr__(self) -> str:
        return f"<Http1: {', '.join(map(repr, self._pools.values())) or 'no connections'}>"

    async def send(self, request: WireRequest, timeouts: Timeouts) -> Answer:
        """Send, and wait for the head of the answer; see Transport.send."""
        endpoint = request.endpoint
        prepared = self._prepared.get(endpoint) or self._prepare(endpoint)
        message = render(prepared.head, request)
        pool = prepared.pool
        connection = pool.take() or await pool.connect(endpoint.max_connections, timeouts.connect)
        answer = connection.begin(message)
        await answer.head(timeouts.first_byte)
        return answer

    async def aclose(self) -> None:
        """Close every connection, idle or not; see Transport.aclose."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()
        self._prepared.clear()

    def _prepare(self, endpoint: Endpoint) -> Prepared:
        if len(self._prepared) >= KEPT_HEADS:
            del self._prepared[next(iter(self._prepared))]
        prepared = self._prepared[endpoint] = Prepared(head_of(endpoint), self._pool(endpoint))
        return prepared

    def _pool(self, endpoint: Endpoint) -> Pool:
        pool = self._pools.get(endpoint.origin)
        if pool is None:
            context = self._tls() if endpoint.scheme == "https" else None
            loop = asyncio.get_running_loop()
            pool = self._pools[endpoint.origin] = Pool(endpoint, context, self._limits, self._idle_s, loop)
        return pool

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context


def head_of(endpoint: Endpoint) -> bytes:
    """The head that all requests to an endpoint begin with, up to the value of content-length.

    Raises ValueError when a part of it could not stand in a head.
    """
    if endpoint.method == "HEAD":
        raise ValueError("HEAD is not carried: its answers have no body, whatever their head says")
    if not (endpoint.target.startswith("/") and endpoint.target.isprintable() and " " not in endpoint.target):
        raise ValueError(f"the target {endpoint.target!r} is not a path that can be sent")
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    if endpoint.port != PORTS[endpoint.scheme]:
        host = f"{host}:{endpoint.port}"
    lines = [f"{endpoint.method} {endpoint.target} HTTP/1.1".encode("ascii"), b"host: " + host.encode("idna")]
    return b"\r\n".join([*lines, *map(line, endpoint.headers), b"accept-encoding: identity", b"content-length: "])


def line(header: tuple[bytes, bytes]) -> bytes:
    """``name: value``. Raises ValueError for a value that would end the line and begin another."""
    name, value = header
    if b"\n" in value or b"\r" in value or b"\0" in value or b"\n" in name or b"\r" in name:
        raise ValueError(f"the header {name!r} holds a line break or a NUL, which cannot be sent")
    return name + b": " + value


def render(head: bytes, request: WireRequest) -> bytes:
    """The whole request, head and body, as it is written in one piece."""
    body = request.body
    if not request.headers:
        return b"%b%d\r\n\r\n%b" % (head, len(body), body)
    return b"%b%d\r\n%b\r\n\r\n%b" % (head, len(body), b"\r\n".join(map(line, request.headers)), body)
