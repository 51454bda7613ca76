"""How the transport tests ask and take.

Read next: test_contract.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.types import Endpoint, Timeouts, WireRequest
from gateway.upstream.transport import Limits, Response, Transport

__all__ = ["PATIENT", "ask", "limits", "pieces", "stream"]

PATIENT = Timeouts(connect=5.0, first_byte=5.0, stall=5.0)


async def ask(transport: Transport, endpoint: Endpoint, body: bytes = b"{}", timeouts: Timeouts = PATIENT) -> Response:
    return await transport.send(WireRequest(endpoint, body), timeouts)


async def stream(response: Response, stall_s: float = PATIENT.stall) -> AsyncIterator[bytes]:
    while piece := await response.next(stall_s):
        yield piece


async def pieces(response: Response, stall_s: float = PATIENT.stall) -> bytes:
    """The whole body."""
    return b"".join([piece async for piece in stream(response, stall_s)])


def limits(*, body: int) -> Limits:
    small = Limits()
    small.body = body
    return small
