"""The other transport, on httpx2: for corporate proxies, HTTP/2, and TLS that needs more than a context.

Read next: transport.py, the contract; http1.py, the default, at a tenth of the cost.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import httpx2

from gateway.errors import ConnectFailed, Disconnected, ProtocolViolation, Timeout, TransportError
from gateway.types import Endpoint, Timeouts, WireRequest
from gateway.upstream.cause import cause, root
from gateway.upstream.head import check, fields_of
from gateway.upstream.transport import Limits, Take

__all__ = ["Httpx2Response", "OverHttpx2"]

Spawn = Callable[[Coroutine[Any, Any, None]], None]
#: What httpcore2 says when a connection ends before a whole head.
NO_HEAD = "Server disconnected"
#: Endpoints whose address is kept; one that is forgotten is only built again.
KEPT_ADDRESSES = 4096


class OverHttpx2:
    """Requests through httpx2, one client for each origin.

    ``verify`` is what https origins are verified with; ``http2`` offers HTTP/2 (needs the ``h2`` package);
    ``trust_env`` takes proxies from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; ``idle_s`` is how long an unused
    connection is kept. The limit of connections is that of the first endpoint asked for at an origin.

    It keeps the contract but for this, which httpx2 does not let us see:

    - A connection that ends within the head of an answer is ConnectFailed, as if no byte of it had come.
    - Bytes that a provider sends beyond the end of an answer, in one segment with it, are taken for the beginning of
      the next answer on that connection. Http1 closes such a connection.
    - An answer that only the end of the connection ends counts as complete over TLS too when the peer did not say
      that it closes (no close_notify).
    - Up to 164 KB of a head are taken in before Limits are looked at, and what is not HTTP is seen only when a blank
      line, or more than that, has come: until then it is a Timeout.
    - An answer that comes before the provider has taken the whole request in is seen only after it was all written.
    - Idle connections are closed at the next request, not by a clock.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | bool = True,
        http2: bool = False,
        trust_env: bool = True,
        limits: Limits | None = None,
        idle_s: float = 30.0,
    ) -> None:
        self._verify = verify
        self._http2 = http2
        self._trust_env = trust_env
        self._limits = limits or Limits()
        self._idle_s = idle_s
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._urls: dict[Endpoint, httpx2.URL] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<OverHttpx2 to {', '.join(self._clients) or 'nowhere yet'}>"

    async def send(self, request: WireRequest, timeouts: Timeouts) -> Httpx2Response:
        """Send, and wait for the head of the answer; see Transport.send."""
        endpoint = request.endpoint
        client = self._clients.get(endpoint.origin) or self._client(endpoint)
        phase = Phase(endpoint.origin, timeouts, self._spawn)
        try:
            async with phase.clock:
                raw = await client.send(self._render(request, phase), stream=True, auth=None, follow_redirects=False)
        except TimeoutError as error:
            raise phase.timeout() from error
        except httpx2.TransportError as error:
            raise phase.translate(error) from error
        finally:
            phase.leave()
        response = Httpx2Response(raw, endpoint.origin, self._limits, self._spawn)
        response.check()
        return response

    async def aclose(self) -> None:
        """Close every connection, idle or not; see Transport.aclose."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()
        if self._ending:
            await asyncio.wait(self._ending)

    def _client(self, endpoint: Endpoint) -> httpx2.AsyncClient:
        if self._verify is True:
            self._verify = httpx2.create_ssl_context(trust_env=self._trust_env)
        client = self._clients[endpoint.origin] = httpx2.AsyncClient(
            verify=self._verify,
            http2=self._http2,
            trust_env=self._trust_env,
            timeout=None,
            limits=httpx2.Limits(
                max_connections=endpoint.max_connections,
                max_keepalive_connections=endpoint.max_connections,
                keepalive_expiry=self._idle_s,
            ),
        )
        return client

    def _render(self, request: WireRequest, phase: Phase) -> httpx2.Request:
        fields_of(request.headers)
        endpoint = request.endpoint
        return httpx2.Request(
            endpoint.method,
            self._urls.get(endpoint) or self._url(endpoint),
            headers=[*endpoint.headers, *request.headers, (b"accept-encoding", b"identity")],
            content=request.body,
            extensions={"trace": phase.trace},
        )

    def _url(self, endpoint: Endpoint) -> httpx2.URL:
        check(endpoint)
        if len(self._urls) >= KEPT_ADDRESSES:
            del self._urls[next(iter(self._urls))]
        url = self._urls[endpoint] = httpx2.URL(endpoint.origin).copy_with(raw_path=endpoint.target.encode())
        return url

    def _spawn(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def end(response: httpx2.Response, body: AsyncIterator[bytes]) -> None:
    """Close a response that nobody reads any more, with the generator of its body."""
    aclose = getattr(body, "aclose", None)
    if aclose is not None:
        await aclose()
    await response.aclose()


class Phase:
    """How far a request has come: one clock that first bounds connecting, and then the head of the answer."""

    def __init__(self, origin: str, timeouts: Timeouts, spawn: Spawn) -> None:
        self.clock = asyncio.timeout(timeouts.connect)
        self._origin = origin
        self._timeouts = timeouts
        self._sent = False
        self._spawn = spawn
        self._young: Any = None

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Told by httpcore2 what it does: the request goes out when there is a connection."""
        if event == "connection.connect_tcp.complete":
            self._young = info["return_value"]
        elif event.endswith("send_request_headers.started"):
            self._sent = True
            self._young = None
            self.clock.reschedule(asyncio.get_running_loop().time() + self._timeouts.first_byte)

    def leave(self) -> None:
        """Close what is connected but has not carried a request: httpcore2 forgets it when TLS is cancelled."""
        if self._young is not None:
            self._spawn(self._young.aclose())

    def timeout(self) -> Timeout:
        """The time is over; the phase it was in."""
        if self._sent:
            return Timeout(f"{self._origin}: no head of an answer within {self._timeouts.first_byte:g} s", "first_byte")
        return Timeout(f"{self._origin}: no connection within {self._timeouts.connect:g} s", "connect")

    def translate(self, error: httpx2.TransportError) -> Exception:
        """An error of httpx2 before there was a head, in our words."""
        if isinstance(error, httpx2.LocalProtocolError):
            return ValueError(f"the request to {self._origin} holds a header that cannot be sent")
        if not self._sent or isinstance(error, httpx2.ProxyError | httpx2.UnsupportedProtocol):
            return ConnectFailed(f"{self._origin}: {cause(root(error))}")
        if isinstance(error, httpx2.RemoteProtocolError) and NO_HEAD not in str(error):
            return ProtocolViolation(f"{self._origin}: what came is not HTTP: {str(error)[:200]}")
        return ConnectFailed(f"{self._origin}: the connection was closed before there was an answer")


class Httpx2Response:
    """A response as transport.py promises it, over httpx2."""

    def __init__(self, raw: httpx2.Response, origin: str, limits: Limits, spawn: Spawn) -> None:
        self.status = raw.status_code
        self.headers: Sequence[tuple[bytes, bytes]] = [(name.lower(), value) for name, value in raw.headers.raw]
        self._raw = raw
        self._body = raw.aiter_raw()
        self._origin = origin
        self._limits = limits
        self._spawn = spawn
        self._taken = 0
        self._done = False
        self._error: TransportError | None = None

    def __repr__(self) -> str:
        state = "failed" if self._error else "complete" if self._done else "under way"
        return f"<Httpx2Response {self.status} from {self._origin}, {state}>"

    async def next(self, timeout: float) -> bytes:
        """What has come since; see Response.next."""
        if self._error is not None:
            raise self._error
        if self._done:
            return b""
        try:
            async with asyncio.timeout(timeout):
                piece = await anext(self._body, b"")
        except TimeoutError as error:
            raise self._fail(
                Timeout(f"{self._origin}: not one more byte of the body within {timeout:g} s", "stall")
            ) from error
        except httpx2.TransportError as error:
            raise self._fail(self._translate(error)) from error
        except asyncio.CancelledError:
            self.close()
            raise
        self._done = not piece
        self._taken += len(piece)
        if self._taken > self._limits.body:
            raise self._fail(self._over("body", self._limits.body))
        return piece

    async def flow(self, take: Take, timeout: float, within: float) -> None:
        """Hand on what comes; see Response.flow."""
        loop = asyncio.get_running_loop()
        last = loop.time() + within - timeout
        while loop.time() < last and (data := await self.next(timeout)) and take(data):
            pass

    def finish(self, within: float) -> None:
        """As ``close``: httpx2 cannot wait for the end of a body without being awaited."""
        self.close()

    def close(self) -> None:
        """End it; see Response.close."""
        if not self._done and self._error is None:
            self._fail(Disconnected(f"{self._origin}: the answer was closed by its reader before its end"))

    def check(self) -> None:
        """Raises ProtocolViolation, and closes, when the head is over Limits or the body is encoded."""
        problem = self._problem()
        if problem is not None:
            raise self._fail(problem)

    def _problem(self) -> ProtocolViolation | None:
        sizes = [len(name) + len(value) + 4 for name, value in self.headers]
        if len(sizes) > self._limits.head_count:
            return ProtocolViolation(f"{self._origin}: the answer has more than {self._limits.head_count} headers")
        if sum(sizes) > self._limits.head:
            return self._over("head of the answer", self._limits.head)
        if max(sizes, default=0) - 2 > self._limits.head_line:
            return self._over("line in the head of the answer", self._limits.head_line)
        return self._body_problem(dict(self.headers))

    def _body_problem(self, headers: dict[bytes, bytes]) -> ProtocolViolation | None:
        encoding = headers.get(b"content-encoding", b"identity")
        if encoding.lower() != b"identity":
            what = f"content-encoding {encoding[:40]!r} is not read: identity was asked for"
            return ProtocolViolation(f"{self._origin}: {what}")
        if self.status == 101:
            return ProtocolViolation(f"{self._origin}: it switched to another protocol, which nobody asked for")
        length = int(headers.get(b"content-length", b"0"))
        if length > self._limits.body and self.status not in {204, 304}:
            return self._over(f"body of {length} B", self._limits.body)
        return None

    def _over(self, what: str, limit: int) -> ProtocolViolation:
        return ProtocolViolation(f"{self._origin}: a {what} is over the limit of {limit} B")

    def _translate(self, error: httpx2.TransportError) -> TransportError:
        cut = isinstance(error, httpx2.NetworkError) or "peer closed" in str(error) or NO_HEAD in str(error)
        if cut:
            return Disconnected(f"{self._origin}: the connection was cut within the body, after {self._taken} B of it")
        return ProtocolViolation(f"{self._origin}: what came is not HTTP: {str(error)[:200]}")

    def _fail(self, error: TransportError) -> TransportError:
        self._error = error
        self._spawn(end(self._raw, self._body))
        return error
