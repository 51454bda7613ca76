"""HTTP on the client's side: uvicorn's httptools protocol, with the limits and the courtesies that it leaves out.

Read next: edge.py, the application behind it. What is added: a time limit for heads and for silent connections,
bounds on URL and headers, exactly one Host, errors in the envelope, the end of a request whose client has left,
and the end of a connection whose client does not read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.api.cycle import Cycle
from gateway.errors import envelope

__all__ = ["LEAVE", "ClientProtocol"]

#: Where a handler puts, in its scope, what is to be called when its client leaves.
LEAVE: Final = "gateway.leave"

MAX_URL: Final = 8 * 1024
MAX_HEAD: Final = 32 * 1024
MAX_HEADERS: Final = 100
IDLE_WRITE_S: Final = 60.0

_HOST: Final = re.compile(rb"[^/\\?#@ \t]{1,255}")


class _Refused(Exception):
    """Raised out of a parser callback; what is answered is already known."""


class ClientProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _in_head = False
    _head_size = 0
    _url_size = 0
    _refusal: tuple[int, str, str] | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, head_timeout_s: float, **more: Any) -> None:
        super().__init__(*args, **more)
        self._head_timeout_s = head_timeout_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self._head_timeout_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timers()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            leave: Callable[[], None] | None = cast("dict[str, Any]", cycle.scope).get(LEAVE)
            if leave is not None:
                leave()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "Upgrade is not supported: send the request without it.", "upgrade_not_supported")
        except httptools.HttpParserError:
            status, said, code = self._refusal or (400, "The request is not valid HTTP.", "invalid_http")
            self._refuse(status, said, code)
        else:
            self._watch_head(len(data))

    def _watch_head(self, size: int) -> None:
        """A head that is not complete yet is timed and bounded; the usual one is complete and costs nothing."""
        if not self._in_head:
            if self._head_timer is not None and self.cycle is not None:
                self._head_timer.cancel()
                self._head_timer = None
            return
        self._head_size += size
        if self._head_size > MAX_HEAD + MAX_URL:
            self._refuse(431, "The request headers are too large.", "headers_too_large")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_timeout_s, self._too_slow)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_size = self._url_size = 0

    def on_url(self, url: bytes) -> None:
        self._url_size += len(url)
        if self._url_size > MAX_URL:
            self._refusal = (414, f"The URL is longer than {MAX_URL} bytes.", "uri_too_long")
            raise _Refused
        super().on_url(url)

    def on_headers_complete(self) -> None:
        """As uvicorn's, without websockets, root paths and connection limits, and with a Cycle of ours."""
        self._in_head = False
        self._check_head()
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = cast("dict[str, Any]", self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
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
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            # A request sent before the answer to the last one: it waits its turn.
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _check_head(self) -> None:
        """Bounds on the headers, and exactly one Host that is one."""
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
        if not hosts and self.parser.get_http_version() == "1.0":
            return
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
            self._refusal = (400, "The request must have exactly one valid Host header.", "invalid_host")
            raise _Refused

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(IDLE_WRITE_S, self.transport.abort)

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
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = envelope(said, "invalid_request_error", None, code)
        head = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        lines = b"".join([name + b": " + value + b"\r\n" for name, value in head])
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None
