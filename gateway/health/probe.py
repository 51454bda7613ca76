"""Asks a provider that nobody asks whether it is there again: its list of models, which costs nothing.

Read next: health.py, which says when. A request that comes meanwhile is the better probe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.errors import Failure, TransportError
from gateway.types import Timeouts, WireRequest
from gateway.upstream.care import Leave
from gateway.upstream.meaning import meaning
from gateway.upstream.targets import Target

__all__ = ["probe"]

#: A list of models is short and ready: who takes longer than this is not well yet, in seconds.
LIMIT: Final = Timeouts(connect=3.0, first_byte=5.0, stall=5.0, total=10.0)


async def probe(target: Target, leave: Leave, clock: Callable[[], float]) -> None:
    """List the models, and tell ``leave`` what came of it. Any answer but a failure of the server is a sign of life."""
    status: int | None = None
    failure: Failure | None = None
    try:
        login = await target.credential.headers(target.models, b"") if target.credential is not None else ()
        response = await target.transport.send(WireRequest(target.models, b"", login), LIMIT)
        status = response.status
        try:
            if status >= 500 or status == 429:
                failure = target.protocol.fault(status, response.headers, b"", target.deployment)
        finally:
            response.close()
    except TransportError as error:
        failure = meaning(error, status=status, reading=False, content=False)
    finally:
        # Also when it is cancelled: what is not known to be well stays shut.
        leave.ended(failure or (None if status is not None else _UNKNOWN), None, clock())


_UNKNOWN: Final = Failure("silent", "the probe was given up")
