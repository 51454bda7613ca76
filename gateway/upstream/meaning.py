"""What a failure on the wire means, by what had come before it.

Read next: ../reliability/failures.py, for the kinds.
"""

from __future__ import annotations

from gateway.errors import (
    ConnectFailed,
    CredentialFailed,
    Disconnected,
    Failure,
    FailureKind,
    ProtocolViolation,
    Timeout,
    TransportError,
)

__all__ = ["meaning"]


def meaning(error: TransportError, *, status: int | None, reading: bool, content: bool) -> Failure:
    """The failure that a broken try is.

    ``status`` is that of the answer, if its head had come; ``reading``: a stream was being read; ``content``: some
    of its content had come.
    """
    return Failure(_kind(error, status, reading=reading, content=content), str(error), status=status)


def _kind(error: TransportError, status: int | None, *, reading: bool, content: bool) -> FailureKind:
    if isinstance(error, CredentialFailed):
        return "auth" if error.refused else "connect"
    if isinstance(error, ProtocolViolation):
        return "garbage"
    if isinstance(error, ConnectFailed) or (isinstance(error, Timeout) and error.phase == "connect"):
        return "connect"
    if isinstance(error, Timeout):
        return "stall" if content or (error.phase == "stall" and not reading) else "silent"
    if isinstance(error, Disconnected) and status is None:
        return "connect"
    return "truncated"
