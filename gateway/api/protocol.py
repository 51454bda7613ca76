"""HTTP on the client's side: uvicorn's httptools protocol, with the limits and the courtesies that it leaves out.

Read next: edge.py, the application behind it. What is added: a time limit for heads and for silent connections,
bounds on URL and headers, exactly one Host, errors in the envelope, the end of a request whose client has left,
the end of a connection whose client does not read, and a way to send clients elsewhere without cutting anybody off.

A client that closes its sending side after its request counts as gone: on the wire it looks the same, and to go on
paying for an answer that nobody reads is worse than to refuse the few who half-close.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.api.cycle import Cycle
from gateway.errors import envelope

__all__ = ["LEAVE", "PUSH", "WHOLE", "ClientProtocol", "Clients"]

#: Where a handler puts, in its scope, what is to be called when its client leaves.
LEAVE: Final = "gateway.leave"
#: In the scope: sends more of a body that has begun at once, or gives False where the client is slow or gone.
PUSH: Final = "gateway.push"
#: In the scope of a request whose body is here, so that nothing need be timed.
WHOLE: Final = "gateway.whole"

MAX_URL: Final = 8 * 1024
MAX_HEAD: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_PIPELINED: Final = 64
IDLE_WRITE_S: Final = 60.0
LINGER_S: Final = 2.0
#: How long a new connection may still send its first request when the listener is closed, in seconds.
FIRST_S: Final = 1.0

_HOST: Final = re.compile(rb"[^/\\?#@ \t]{1,255}")


class _Refused(Exception):
    """Raised out of a parser callback; what is answered is already known."""


class Clients(ServerState):
    """What the connections of one listener share. ``moving_on``: each is to end with its next answer."""

    moving_on = False


class ClientProtocol(HttpToolsProtocol):
    """One connection of a client."""

    server_state: Clients

    _in_head = False
    #: Bytes since the last request was complete or its body grew: what a head or a trailer has cost so far.
    _loose = 0
    _url_size = 0
    _refusal: tuple[int, str, str] | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _serving: RequestResponseCycle | None = None

    def __init__(self, *args: Any, head_timeout_s: float, idle_write_s: float = IDLE_WRITE_S, **more: Any) -> None:
        super().__init__(*args, **more)
        self._head_timeout_s = head_timeout_s
        self._idle_write_s = idle_write_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self._head_timeout_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timers()
        serving = self._serving
        if serving is not None and not serving.response_complete:
            _disconnect(serving)
            leave: Callable[[], None] | None = cast("dict[str, Any]", serving.scope).get(LEAVE)
            if leave is not None:
                leave()

    def data_received(self, data: bytes) -> None:
        self._loose += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            status, said, code = self._refusal or (400, "The request is not valid HTTP.", "invalid_http")
            self._refuse(status, said, code)
        else:
            self._watch()

    def _watch(self) -> None:
        """A head or trailer that is not complete yet is timed and bounded; the usual one costs nothing."""
        if self._loose > MAX_HEAD + MAX_URL:
            self._refuse(431, "The request headers are too large.", "headers_too_large")
        elif not self._in_head:
            if self._head_timer is not None and self.cycle is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_timeout_s, self._too_slow)

    def on_message_begin(self) -> None:
        # Here and not where bytes come: neither the rest of a refused body nor stray line ends keep a connection.
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._in_head = True
        self._url_size = 0

    def on_url(self, url: bytes) -> None:
        self._url_size += len(url)
        if self._url_size > MAX_URL:
            self._refusal = (414, f"The URL is longer than {MAX_URL} bytes.", "uri_too_long")
            raise _Refused
        super().on_url(url)

    def on_headers_complete(self) -> None:
        """As uvicorn's, without websockets, root paths and connection limits, and with a Cycle of ours."""
        self._check_head()
        self._in_head = False
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = cast("dict[str, Any]", self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        # What comes now is a trailer: no header of a request whose head was judged.
        self.headers = []
        before = self.cycle
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            # Who is refused before being told to continue may never send the body: no telling what comes next.
            keep_alive=version != "1.0"
            and self.parser.should_keep_alive()
            and not self.expect_100_continue
            and not self.server_state.moving_on,
            on_response=self.on_response_complete,
        )
        scope[PUSH] = self.cycle.push
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            # A request sent before the answer to the last one: it waits its turn.
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def move_on(self) -> None:
        """Let the connection end with the answer that is under way, where its head can still say so."""
        if self._serving is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The listener is closed. A request that is on its way in is answered; a connection at rest ends now."""
        if self._in_head:
            return
        if self._serving is None and self._loose == 0:
            self._stop_timers()
            self._head_timer = self.loop.call_later(FIRST_S, self._too_slow)
        else:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._serving = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        self._loose = 0
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._loose = 0
        cycle = self.cycle
        cycle.more_body = False
        cast("dict[str, Any]", cycle.scope)[WHOLE] = True
        cycle.message_event.set()
        if cycle is self._serving:
            # Or nobody would notice when the client leaves.
            self.flow.resume_reading()

    def _check_head(self) -> None:
        """Bounds on the headers, exactly one Host that is one, and no other protocol."""
        size = 0
        hosts: list[bytes] = []
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"host":
                hosts.append(value)
        if len(self.headers) > MAX_HEADERS or size > MAX_HEAD:
            said = f"The request has more than {MAX_HEADERS} headers or {MAX_HEAD} bytes of them."
            self._refusal = (431, said, "headers_too_large")
            raise _Refused
        if self.parser.should_upgrade():
            said = "Upgrade is not supported: send the request without it."
            self._refusal = (400, said, "upgrade_not_supported")
            raise _Refused
        if len(self.pipeline) >= MAX_PIPELINED:
            raise _Refused
        if not hosts and self.parser.get_http_version() == "1.0":
            return
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            self._refusal = (400, "The request must have exactly one valid Host header.", "invalid_host")
            raise _Refused

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._idle_write_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(
                408, f"The request's head did not arrive within {self._head_timeout_s:g} s.", "request_timeout"
            )
        else:
            self.transport.close()

    def _refuse(self, status: int, said: str, code: str) -> None:
        """Answer and close: what follows on this connection cannot be trusted."""
        serving = self._serving
        if serving is not None and not serving.response_complete:
            if serving is not self.cycle or not serving.more_body:
                # The answer to an earlier request is still owed: the connection ends with that one.
                serving.keep_alive = False
                self.pipeline.clear()
                return
            if serving.response_started:
                self.transport.abort()
                return
            _disconnect(serving)
        body = envelope(said, "invalid_request_error", None, code)
        head = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = b"".join([name + b": " + value + b"\r\n" for name, value in head])
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        with contextlib.suppress(OSError):  # the client may be gone already
            self.transport.write_eof()
        self.transport.set_protocol(_Lingering(self))

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None


class _Lingering(asyncio.Protocol):
    """Takes what a refused client still sends: to close at once would reset the connection under the refusal."""

    def __init__(self, refused: ClientProtocol) -> None:
        self._refused = refused
        self._timer = refused.loop.call_later(LINGER_S, refused.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._refused.connection_lost(exc)


def _disconnect(cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True
    cycle.message_event.set()
