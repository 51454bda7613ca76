"""The small interface behind which providers are reached; both transports keep the same contract.

Read next: http1.py, the default, and over_httpx2.py, for proxies and HTTP/2. tests/transport holds the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.types import Timeouts, WireRequest

__all__ = ["Limits", "Response", "Take", "Transport"]

#: Takes the bytes of one read; whether it wants more of them without being asked.
Take = Callable[[bytes], bool]


class Limits:
    """Bounds on what a provider may send: bytes of one header line, of the whole head, and of a body."""

    head_line = 16 * 1024
    head = 64 * 1024
    head_count = 256
    body = 64 * 1024 * 1024


class Response(Protocol):
    """An answer whose head has arrived; repeated ``next`` takes the body.

    The connection goes back to its pool only after the last byte of the body was handed out; ``close`` before
    that ends the connection at once, which is how a provider learns that nobody listens any more.
    """

    @property
    def status(self) -> int:
        """The HTTP status of the final (not 1xx) head."""
        ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Names in lower case, in the order they came."""
        ...

    async def next(self, timeout: float) -> bytes:
        """The bytes that have come since, at least one; ``b""`` at the end of a complete body.

        Raises Timeout (phase ``stall``) when no byte comes for ``timeout`` seconds, Disconnected when the body is
        cut, ProtocolViolation over Limits.body.
        """
        ...

    async def flow(self, take: Take, timeout: float, within: float) -> None:
        """Hand on what comes, as it comes, until ``take`` gives False.

        Also until the body ends or ``within`` seconds have gone by in all; ``next`` says which. Raises as ``next``,
        now or when that is called, with ``timeout`` as its time. ``take`` must not wait: it may be called from within
        the event loop.
        """
        ...

    def finish(self, within: float) -> None:
        """No more of it is wanted, though it may not be at its end: what still comes is thrown away.

        The connection can serve again if the end comes within so many seconds and is short; else it is closed. Does
        not wait. Nothing may be asked of the response afterwards.
        """
        ...

    def close(self) -> None:
        """End it: gives the connection back if the body was taken to its end, else closes it at once. Idempotent."""
        ...


class Transport(Protocol):
    """Carries requests to providers. Cancelling ``send`` closes the connection it was using."""

    async def send(self, request: WireRequest, timeouts: Timeouts) -> Response:
        """Send, and wait for the head of the answer.

        Raises ConnectFailed, Timeout (phase ``connect`` or ``first_byte``), Disconnected, ProtocolViolation.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection, idle or not."""
        ...
