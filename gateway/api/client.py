"""The client's side of one request, straight on ASGI: its head, its body as it comes, and the ways to answer.

Read next: chat.py and messages.py, the dialects, which hold only what differs; ../pipeline.py, which calls the steps.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from math import inf
from typing import Any, ClassVar, Final

import msgspec

from gateway.admission import Priority
from gateway.api.body import tags_of
from gateway.api.heads import about, about_error
from gateway.api.protocol import PUSH, WHOLE
from gateway.errors import (
    BadRequest,
    Failure,
    GatewayError,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMedia,
)
from gateway.keys.credential import Address, address_of, credential
from gateway.money import usd
from gateway.providers.protocol import Answer
from gateway.reliability.failures import to_client
from gateway.story import Story
from gateway.types import Call, Dialect, Networks, Server, World

__all__ = ["JSON", "STREAM", "Client", "Receive", "Scope", "Send", "user_of"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Final = (b"content-type", b"application/json")
STREAM: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
MAX_USER: Final = 256
MAX_DEADLINE_S: Final = 3600.0
#: Bytes a second that a body must bring, beyond the time that it has in any case.
SLOWEST: Final = 1024


class Client(ABC):
    """One request, in whatever dialect. Its steps are those of pipeline.Conversation."""

    __slots__ = (
        *("_head", "_headers", "_peer", "_push", "_receive", "_send", "_whole"),
        *("credential", "id", "received_at", "started"),
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, id: str, received_at: float) -> None:
        self.id = id
        self.received_at = received_at
        self._head: list[Header] = scope["headers"]
        self._headers: dict[bytes, bytes] = dict(self._head)
        self._peer: tuple[str, int] | None = scope.get("client")
        self._receive = receive
        self._send = send
        self._whole = WHOLE in scope
        # Taken out of the scope, which the cycle that it leads to holds.
        self._push: Callable[[bytes], bool] | None = scope.pop(PUSH, None)
        self.credential = credential(self._headers)
        self.started = False

    @property
    def client(self) -> str | None:
        """What the client calls itself, cut to what a record may hold."""
        said = self._headers.get(b"user-agent")
        return said[:80].decode("latin-1") if said is not None else None

    @property
    def retry(self) -> int:
        """How many times the client's SDK has tried this before."""
        said = self._headers.get(b"x-stainless-retry-count", b"")
        return int(said) if said.isdigit() and len(said) <= 4 else 0

    def address(self, proxies: Networks) -> Address | None:
        """Where it comes from, None where that cannot be said."""
        return address_of(self._peer[0] if self._peer else None, self._head, proxies)

    @property
    def priority(self) -> Priority:
        """How urgent it is, as its head says. Raises BadRequest for a word that is not one of the two."""
        said = self._headers.get(b"x-gateway-priority")
        if said is None or said == b"interactive":
            return "interactive"
        if said == b"batch":
            return "batch"
        raise BadRequest(
            f"x-gateway-priority is {_shown(said)}; it can be interactive or batch.", param="x-gateway-priority"
        )

    @property
    def patience_at(self) -> float:
        """Until when the caller waits, whatever it asks for."""
        deadline = self._deadline(stream=True)
        return inf if deadline is None else deadline

    @property
    def tags(self) -> Mapping[str, str]:
        """Those that its head gives it. Raises BadRequest where they cannot be read."""
        said = self._headers.get(b"x-gateway-tags")
        return tags_of(said.decode("latin-1")) if said is not None else {}

    # --- what a dialect says its own way ------------------------------------------------------------------------

    DIALECT: ClassVar[Dialect]
    #: A sign of life in a stream.
    LIFE: ClassVar[bytes]

    @abstractmethod
    async def read(self, world: World) -> Call:
        """Take the body, judge it, and make a Call of it."""

    @abstractmethod
    async def answer(self, answer: Answer, story: Story) -> None:
        """Send a whole answer."""

    @abstractmethod
    async def write(self, data: bytes, dialect: str) -> None:
        """Send whole events."""

    @abstractmethod
    def push(self, data: bytes, dialect: str) -> bool:
        """Send whole events at once, where the server can."""

    @abstractmethod
    def envelope(self, error: GatewayError) -> bytes:
        """An error as a body."""

    @abstractmethod
    def event(self, error: GatewayError) -> bytes:
        """The same within a stream."""

    @abstractmethod
    def closing(self, figures: bytes, story: Story) -> bytes:
        """The last events of a stream that is complete; ``figures`` is a comment that is to come before the end."""

    def ids(self) -> list[Header]:
        """The headers, beside the gateway's own, by which the dialect's SDKs know an answer."""
        return []

    # --- the steps that all take --------------------------------------------------------------------------------

    async def begin(self, story: Story) -> None:
        """Send the head of a stream."""
        head = [*STREAM, *self.ids(), *about(story, self.DIALECT)]
        await self._send({"type": "http.response.start", "status": 200, "headers": head})
        self.started = True

    async def keep_alive(self) -> None:
        """Send what clients skip."""
        await self._more(self.LIFE)

    async def end(self, failure: Failure | None, story: Story) -> None:
        """Send the final figures and the end; or, where the stream broke off, an error event and neither."""
        if failure is not None:
            await self._last(self.event(to_client(failure)))
            return
        await self._last(self.closing(b": gateway " + _figures(story) + b"\n\n", story))

    async def refuse(self, error: GatewayError, story: Story) -> None:
        """Send an error, within the stream where one has begun. Who is gone is told nothing."""
        if self.started:
            await self._last(self.event(error))
            return
        await self._reply(error.status, self.envelope(error), [*about(story, self.DIALECT), *about_error(error)])

    async def last_words(self, error: GatewayError) -> None:
        """As ``refuse``, when the story is closed."""
        if self.started:
            await self._last(self.event(error))
            return
        await self._reply(error.status, self.envelope(error), [(b"x-request-id", self.id.encode())])

    async def _reply(self, status: int, body: bytes, head: list[Header]) -> None:
        self.started = True
        whole = [JSON, (b"content-length", b"%d" % len(body)), *self.ids(), *head]
        await self._send({"type": "http.response.start", "status": status, "headers": whole})
        await self._send({"type": "http.response.body", "body": body})

    def _at_once(self, data: bytes) -> bool:
        return self._push is not None and (not data or self._push(data))

    async def _more(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _last(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data})

    # --- the body -----------------------------------------------------------------------------------------------

    async def _body(self, world: World) -> bytes:
        """The body, refused before it is read where its head already says that it is not wanted."""
        headers, limit = self._headers, world.server.max_body
        if (encoding := headers.get(b"content-encoding")) not in (None, b"identity"):
            raise UnsupportedMedia(f"Content-Encoding {_shown(encoding)} is not read here: send the body as it is.")
        # Strict, because a page in a browser may send anything but JSON to a gateway on its user's machine unasked.
        if b"json" not in (kind := headers.get(b"content-type", b"")).lower():
            raise UnsupportedMedia(f"Content-Type {_shown(kind)} is not read here: send application/json.")
        length = headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length[:20]) > limit):
            raise _too_large(limit)
        if not self._whole:
            return await self._slowly(world.server)
        data: bytes = (await self._receive()).get("body", b"")
        if len(data) > limit:
            raise _too_large(limit)
        return data

    async def _slowly(self, server: Server) -> bytes:
        """A body that comes in pieces, as long as they come fast enough."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        data = bytearray()
        try:
            async with asyncio.timeout(server.body_timeout_s) as patience:
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise BadRequest(
                            "The connection ended before the request was complete.", code="incomplete_request"
                        )
                    data += message["body"]
                    if len(data) > server.max_body:
                        raise _too_large(server.max_body)
                    if not message["more_body"]:
                        return bytes(data)
                    patience.reschedule(started + server.body_timeout_s + len(data) / SLOWEST)
        except TimeoutError:
            waited = loop.time() - started
            raise RequestTimeout(f"Of the request body only {len(data)} bytes arrived in {waited:.3g} s.") from None

    def _deadline(self, *, stream: bool) -> float | None:
        """The caller's own patience, where a header says it. An SDK's read timeout is one for a whole answer only."""
        said = self._headers.get(b"x-request-timeout")
        if said is None and not stream:
            said = self._headers.get(b"x-stainless-read-timeout")
        if said is None:
            return None
        try:
            patience = float(said)
        except ValueError:
            return None
        return self.received_at + patience if 0 < patience <= MAX_DEADLINE_S else None


def user_of(fields: Mapping[str, Any]) -> str | None:
    """The end user that a request in canonical form names, cut to what a record and a budget may be called by."""
    said = fields.get("user") or fields.get("safety_identifier")
    return said[:MAX_USER] or None if type(said) is str else None


def _shown(value: bytes) -> str:
    return ascii(value[:40].decode("latin-1"))


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {limit} bytes, which is the most this gateway takes.")


def _figures(story: Story) -> bytes:
    """What is only known at the end of a stream."""
    cost = story.cost()
    return msgspec.json.encode(
        {
            "decision_id": story.id,
            "attempts": len(story.attempts),
            "cost_usd": usd(cost) if cost is not None else None,
            "usage": story.usage,
            "routed_model": story.serving.name if story.serving is not None else None,
        }
    )
