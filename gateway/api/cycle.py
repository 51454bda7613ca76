"""One request and its response on a client's connection: uvicorn's cycle, with a cheaper way out.

Read next: protocol.py, which starts them. uvicorn matches every header against two patterns on every response; here
the whole head is checked at once, and a body of known length leaves in one piece with its head.
"""

from __future__ import annotations

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

__all__ = ["Cycle"]


class Cycle(RequestResponseCycle):
    """Speaks ASGI as its parent does."""

    _head: bytes | None = None
    _chunked = False
    _left = 0

    async def send(self, message: Any) -> None:
        """Take one ASGI message of the response."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._start(message)
        else:
            self._body(message.get("body", b""), more=message.get("more_body", False))

    def push(self, body: bytes) -> bool:
        """More of a body that has begun, at once. False, and nothing done, where the client is slow or has left."""
        if self.flow.write_paused or self.disconnected or self._head is not None or not self.response_started:
            return False
        self._body(body, more=True)
        return True

    def _start(self, message: Any) -> None:
        """Make the head. It waits for the body, so that both leave together."""
        if self.response_started:
            raise RuntimeError("the response was already started")
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        lines = [STATUS_LINE[status]]
        sized = bodyless = status in (204, 304)
        for name, value in (*self.default_headers, *message["headers"]):
            if name == b"content-length":
                self._left, sized = int(value), True
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
                continue
            lines.append(name + b": " + value + b"\r\n")
        self._chunked = not sized
        if not sized:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or b"\0" in head:
            raise RuntimeError("a response header holds a line break")
        if bodyless or cast("dict[str, Any]", self.scope)["method"] == "HEAD":
            self._chunked, self._left = False, 0
        self._head = head + b"\r\n"

    def _body(self, body: bytes, *, more: bool) -> None:
        if self.response_complete or not self.response_started:
            raise RuntimeError("a body was sent outside of a response")
        if cast("dict[str, Any]", self.scope)["method"] == "HEAD":
            body = b""
        if self._chunked:
            body = _chunk(body, more=more)
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body has another length than was said")
        if self._head is not None:
            body, self._head = self._head + body, None
        if body:
            self.transport.write(body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


def _chunk(body: bytes, *, more: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk if more else chunk + b"0\r\n\r\n"
