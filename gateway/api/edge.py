"""The application that clients talk to: hot paths straight on ASGI, everything else to FastAPI.

Read next: chat.py and messages.py, the hot paths; public.py, the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Mapping
from typing import Final

from gateway.api.chat import Chat
from gateway.api.client import Client, Receive, Scope, Send
from gateway.api.messages import Counts, Messages
from gateway.api.protocol import LEAVE, PUSH
from gateway.errors import GatewayError, Unavailable
from gateway.pipeline import Pipeline

__all__ = ["HOT", "Edge", "new_id"]

#: What is served here, and in which dialect.
HOT: Final[Mapping[str, type[Client]]] = {
    "/v1/chat/completions": Chat,
    "/chat/completions": Chat,
    "/v1/messages": Messages,
    "/messages": Messages,
    "/v1/messages/count_tokens": Counts,
    "/messages/count_tokens": Counts,
}

STOPPED: Final = "The gateway was stopped before the answer was complete; try again."

_log: Final = logging.getLogger("gateway.api")


#: Seeded by the operating system. An id must not repeat; it is no secret, and a system call for each costs more.
_dice: Final = random.Random(os.urandom(32))  # noqa: S311


def new_id(wall: float) -> str:
    """A request id: 48 bits of Unix time in milliseconds, so that ids sort, and 80 bits of chance; in hex."""
    return f"{int(wall * 1000):012x}{_dice.getrandbits(80):020x}"


class Edge:
    """The ASGI application of the public listener."""

    def __init__(
        self,
        pipeline: Pipeline,
        rest: Callable[[Scope, Receive, Send], object],
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._pipeline = pipeline
        self._rest = rest
        self._clock = clock
        self._wall = wall

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        dialect = HOT.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if dialect is not None:
            await self._serve(dialect, scope, receive, send)
        else:
            scope.pop(PUSH, None)
            await self._rest(scope, receive, send)  # type: ignore[misc]

    async def _serve(self, dialect: type[Client], scope: Scope, receive: Receive, send: Send) -> None:
        client = dialect(scope, receive, send, id=new_id(self._wall()), received_at=self._clock())
        leave = _Leave(asyncio.current_task())
        scope[LEAVE] = leave
        try:
            await self._pipeline.serve(client, client=client.client, retry=client.retry)
        except asyncio.CancelledError:
            if not leave.left:
                await client.last_words(Unavailable(STOPPED, code="shutting_down"))
        except Exception:  # noqa: BLE001 - a defect of ours must still answer in the envelope
            _log.exception("request %s failed in the gateway", client.id)
            if client.started:
                # Only a cut connection says that what has gone out is not all.
                raise RuntimeError("the answer had begun") from None
            await client.last_words(GatewayError("The gateway failed; its log says how."))


class _Leave:
    """Ends the work for a client that has left."""

    __slots__ = ("_task", "left")

    def __init__(self, task: asyncio.Task[object] | None) -> None:
        self._task = task
        self.left = False

    def __call__(self) -> None:
        self.left = True
        if self._task is not None:
            self._task.cancel()
