"""The default transport: HTTP/1.1 on asyncio and httptools, made for forwarding.

Read next: pool.py, the connections of one origin; answer.py, what ``send`` returns. over_httpx2.py is the other one.
"""

from __future__ import annotations

import asyncio
import ssl

from msgspec import Struct

from gateway.types import Endpoint, Timeouts, WireRequest
from gateway.upstream.answer import Answer
from gateway.upstream.head import head_of, render
from gateway.upstream.pool import Pool
from gateway.upstream.transport import Limits

__all__ = ["Http1"]

#: Endpoints whose head is kept. A configuration has far fewer; one that is forgotten is only built again.
KEPT_HEADS = 4096


class Prepared(Struct, frozen=True, eq=False):
    """What all requests to one endpoint share."""

    head: bytes
    pool: Pool


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
