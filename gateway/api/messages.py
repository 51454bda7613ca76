"""POST /v1/messages: the client's side of one request in Anthropic's dialect.

Read next: ../dialects/anthropic_request.py, what becomes of the request; client.py, what it shares with other dialects.

An answer of a provider that speaks the dialect itself is handed on as it is; any other is translated.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from gateway.api.client import Client, Header, Receive, Scope, Send, user_of
from gateway.api.heads import about
from gateway.dialects.anthropic_answer import message
from gateway.dialects.anthropic_body import judge, judge_count
from gateway.dialects.anthropic_errors import PING, details_of, envelope, error_event, said_of
from gateway.dialects.anthropic_events import Events
from gateway.dialects.anthropic_request import canonical, native
from gateway.errors import BadRequest, GatewayError
from gateway.providers.protocol import Answer
from gateway.story import Story
from gateway.types import Call, Native, Operation, World

__all__ = ["Counts", "Messages"]

BETA: Final = b"anthropic-beta"
#: Names of features that are not released yet, separated by commas, which no name has: else there were more ways to
#: read a list of them than there is time.
BETAS: Final = re.compile(rb"[\x21-\x2b\x2d-\x7e]+( *, *[\x21-\x2b\x2d-\x7e]+)*")
MAX_BETAS: Final = 4096

_json: Final = msgspec.json.Encoder().encode


class Messages(Client):
    """One request. Its steps are those of pipeline.Conversation."""

    __slots__ = ("_events", "_native")

    DIALECT = "anthropic"
    LIFE = PING

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, id: str, received_at: float) -> None:
        super().__init__(scope, receive, send, id=id, received_at=received_at)
        self._events = Events(id)
        self._native = False

    async def read(self, world: World) -> Call:
        """Take the body, judge it, and make a Call of it."""
        headers = self._passed_on()
        body = await self._body(world)
        return self._call("chat", judge(body), len(body), headers)

    def _call(self, operation: Operation, said: dict[str, Any], size: int, headers: tuple[Header, ...]) -> Call:
        stream = operation == "chat" and said.get("stream") is True
        fields = canonical(said)
        return Call(
            id=self.id,
            operation=operation,
            dialect="anthropic",
            model=said["model"],
            stream=stream,
            include_usage=stream,
            fields=fields,
            size=size,
            received_at=self.received_at,
            tags=self.tags,
            deadline_at=self._deadline(stream=stream),
            native=Native(native(said), headers),
            user=user_of(fields),
        )

    async def answer(self, answer: Answer, story: Story) -> None:
        """Send a whole answer."""
        body = answer.body
        if answer.dialect != "anthropic":
            body = _json(message(msgspec.json.decode(body), id=self.id, usage=answer.usage or story.usage))
        await self._reply(200, body, about(story, self.DIALECT))

    async def begin(self, story: Story) -> None:
        """Send the head of a stream."""
        if story.features is not None:
            self._events.expect(story.features.input_tokens)
        await super().begin(story)

    async def write(self, data: bytes, dialect: str) -> None:
        """Send whole events."""
        self._native = dialect == "anthropic"
        await self._more(data if self._native else self._events.feed(data))

    def push(self, data: bytes, dialect: str) -> bool:
        """Send whole events at once, where the server can."""
        if dialect == "anthropic":
            return self._at_once(data)
        # What has been translated is told: whether it can go out has to be known before.
        if self._push is None or not self._push(b""):
            return False
        return self._at_once(self._events.feed(data))

    def envelope(self, error: GatewayError) -> bytes:
        return envelope(error.status, said_of(error), self.id, details_of(error))

    def event(self, error: GatewayError) -> bytes:
        return error_event(error.status, said_of(error), self.id)

    def closing(self, figures: bytes, story: Story) -> bytes:
        return figures if self._native else figures + self._events.end(story.usage)

    def ids(self) -> list[Header]:
        return [(b"request-id", self.id.encode())]

    def _passed_on(self) -> tuple[Header, ...]:
        """The one header that is meant for the provider. Raises BadRequest for one that cannot be a header."""
        said = self._headers.get(BETA)
        if said is None or not said.strip():
            return ()
        if len(said) > MAX_BETAS or not BETAS.fullmatch(said.strip()):
            raise BadRequest("anthropic-beta is not a list of names.", param="anthropic-beta")
        return ((BETA, said.strip()),)


class Counts(Messages):
    """One request at ``/v1/messages/count_tokens``: a Messages request that nobody is to answer."""

    __slots__ = ()

    async def read(self, world: World) -> Call:
        """Take the body, judge it, and make a Call of it."""
        headers = self._passed_on()
        body = await self._body(world)
        return self._call("count_tokens", judge_count(body), len(body), headers)
