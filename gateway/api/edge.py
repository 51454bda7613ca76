"""The application that clients talk to: hot paths straight on ASGI, everything else to FastAPI.

Read next: chat.py, the hot path; public.py, the rest.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable
from typing import Final

from gateway.api.chat import Chat, Receive, Scope, Send
from gateway.api.protocol import LEAVE, PUSH
from gateway.errors import envelope
from gateway.pipeline import Pipeline

__all__ = ["CHAT", "Edge", "new_id"]

CHAT: Final = frozenset({"/v1/chat/completions", "/chat/completions"})

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
        if scope["type"] == "http" and scope["path"] in CHAT and scope["method"] == "POST":
            await self._chat(scope, receive, send)
        else:
            scope.pop(PUSH, None)
            await self._rest(scope, receive, send)  # type: ignore[misc]

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        chat = Chat(scope, receive, send, id=new_id(self._wall()), received_at=self._clock())
        leave = _Leave(asyncio.current_task())
        scope[LEAVE] = leave
        try:
            await self._pipeline.serve(chat, client=chat.client, retry=chat.retry)
        except asyncio.CancelledError:
            if not leave.left:
                await _part(chat, send)
        except Exception:  # noqa: BLE001 - a defect of ours must still answer in the envelope
            _log.exception("request %s failed in the gateway", chat.id)
            await _apologise(chat, send)


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


async def _apologise(chat: Chat, send: Send) -> None:
    """A 500 in the envelope; when a stream has begun, the connection is cut instead."""
    if chat.started:
        raise RuntimeError("the answer had begun")
    body = envelope("The gateway failed; its log says how.", "server_error", None, "internal_error")
    await _say(chat, send, 500, body)


async def _part(chat: Chat, send: Send) -> None:
    """The gateway stops and cannot wait: a 503 in the envelope; an error event when a stream has begun."""
    said = "The gateway was stopped before the answer was complete; try again."
    body = envelope(said, "server_error", None, "shutting_down")
    if chat.started:
        await send({"type": "http.response.body", "body": b"data: " + body + b"\n\n"})
    else:
        await _say(chat, send, 503, body)


async def _say(chat: Chat, send: Send, status: int, body: bytes) -> None:
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", chat.id.encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
