"""POST /v1/chat/completions: the client's side of one request in the OpenAI dialect.

Read next: client.py, what it shares with other dialects; body.py, which judges the request.
"""

from __future__ import annotations

from typing import Final

from gateway.api.body import judge
from gateway.api.client import Client, user_of
from gateway.api.heads import about
from gateway.errors import GatewayError
from gateway.providers.protocol import Answer
from gateway.story import Story
from gateway.types import Call, World

__all__ = ["KEEP_ALIVE", "Chat"]

DONE: Final = b"data: [DONE]\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"


class Chat(Client):
    """One request. Its steps are those of pipeline.Conversation."""

    __slots__ = ()

    DIALECT = "openai"
    LIFE = KEEP_ALIVE

    async def read(self, world: World) -> Call:
        """Take the body, judge it, and make a Call of it."""
        body = await self._body(world)
        fields = judge(body)
        stream = fields.get("stream") is True
        options = fields.get("stream_options") if stream else None
        return Call(
            id=self.id,
            operation="chat",
            dialect="openai",
            model=fields["model"],
            stream=stream,
            include_usage=options is not None and options.get("include_usage") is True,
            fields=fields,
            size=len(body),
            received_at=self.received_at,
            tags=self.tags,
            deadline_at=self._deadline(stream=stream),
            user=user_of(fields),
        )

    async def answer(self, answer: Answer, story: Story) -> None:
        """Send a whole answer."""
        await self._reply(200, answer.body, about(story, self.DIALECT))

    async def write(self, data: bytes, dialect: str) -> None:
        """Send whole events. They are canonical, which is to say in this dialect."""
        await self._more(data)

    def push(self, data: bytes, dialect: str) -> bool:
        """Send whole events at once, where the server can."""
        return self._at_once(data)

    def envelope(self, error: GatewayError) -> bytes:
        return error.envelope()

    def event(self, error: GatewayError) -> bytes:
        return b"data: " + error.envelope() + b"\n\n"

    def closing(self, figures: bytes, story: Story) -> bytes:
        return figures + DONE
