"""What a simulated provider does on the wire, act by act: the same acts go over a socket or straight to the gateway.

Read next: faults.py, which rewrites them; server.py and transport.py, which carry them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

__all__ = ["Abort", "Act", "Close", "End", "Head", "Send", "Wait", "streamed", "whole"]

Headers = tuple[tuple[str, str], ...]
Part = Literal["body", "role", "content", "finish", "usage", "done", "raw"]


class Head(Struct, frozen=True):
    """The status line and headers. Without ``content-length`` the body that follows is chunked."""

    status: int
    headers: Headers = ()


class Send(Struct, frozen=True):
    """Bytes of the body, or bytes of the connection itself when no head went before.

    ``part`` says what they are: a whole JSON ``body``, or one event of a stream.
    """

    data: bytes
    part: Part = "raw"


class Wait(Struct, frozen=True):
    """Nothing for so many seconds; infinity lasts until the client leaves."""

    seconds: float


class End(Struct, frozen=True):
    """The body is complete."""


class Close(Struct, frozen=True):
    """The connection is closed (FIN), complete or not."""


class Abort(Struct, frozen=True):
    """The connection is reset (RST)."""


Act = Head | Send | Wait | End | Close | Abort


def whole(status: int, body: bytes, *, headers: Headers = (), content_type: str = "application/json") -> Iterator[Act]:
    """A complete answer with its length declared."""
    yield Head(status, (("content-type", content_type), ("content-length", str(len(body))), *headers))
    yield Send(body, "body")
    yield End()


def streamed(head: Head) -> bool:
    """Whether an event stream follows this head."""
    return ("content-type", "text/event-stream; charset=utf-8") in head.headers
