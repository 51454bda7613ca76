"""Clients that hold a conversation with tools, each as its SDK's users do. Read next: talk.py, which has them talk."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import anthropic
from msgspec import Struct

from tests.gateway import Running
from tests.pairs.story import QUESTION, SYSTEM, TOOLS
from tests.upstreams.said import Called, Picture, Result, Spent, Text

__all__ = ["CLIENTS", "Client", "Got"]

CACHE: Final = {"type": "ephemeral"}


class Got(Struct, frozen=True):
    """An answer as a client understands it. ``ids`` are those of the calls."""

    text: str
    reasoning: str
    calls: tuple[Called, ...]
    ids: tuple[str, ...]
    finish: str
    spent: Spent


class Client(Protocol):
    """One conversation.

    ``cached`` are the places that it marks for a cache; ``calls`` and ``stop`` are finish reasons in its dialect.
    ``echoes``: it sends back all that it got, so that nobody need remember it.
    """

    cached: Sequence[str | int]
    calls: str
    stop: str
    echoes: bool

    async def ask(self, model: str) -> Got:
        """The next answer, which becomes part of the conversation. Raises what the SDK raises."""
        ...

    def tell(self, results: Sequence[Result]) -> None:
        """What the tools gave back for the calls of the last answer."""
        ...

    def say(self, text: str) -> None:
        """What the user says next."""
        ...


class OpenAIs:
    """OpenAI's SDK. ``echo``: it sends messages back as it got them, else only what OpenAI has published of them."""

    cached: Sequence[str | int] = ()
    calls = "tool_calls"
    stop = "stop"

    def __init__(self, gateway: Running, *, stream: bool, echo: bool) -> None:
        self._sdk = gateway.sdk(http_client=gateway.http)
        self._stream = stream
        self.echoes = echo
        self._ids: Sequence[str] = ()
        self._messages: list[Any] = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": [part_of(part) for part in QUESTION]},
        ]

    async def ask(self, model: str) -> Got:
        final = await self._answer(
            model=model,
            messages=self._messages,
            tools=[
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema},
                }
                for tool in TOOLS
            ],
            reasoning_effort="medium",
            max_completion_tokens=16_000,
        )
        (choice,) = final.choices
        message = choice.message.model_dump(exclude_none=True)
        self._messages.append(message if self.echoes else bare(message))
        calls = message.get("tool_calls") or ()
        self._ids = tuple([call["id"] for call in calls])
        return Got(
            message.get("content") or "",
            message.get("reasoning_content") or "",
            tuple([Called(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls]),
            tuple(self._ids),
            choice.finish_reason,
            self._spent(final.usage.model_dump(exclude_none=True)),
        )

    async def _answer(self, **asked: Any) -> Any:
        if not self._stream:
            return await self._sdk.chat.completions.create(**asked)
        asked["stream_options"] = {"include_usage": True}
        async with self._sdk.chat.completions.stream(**asked) as events:
            return await events.get_final_completion()

    def _spent(self, usage: dict[str, Any]) -> Spent:
        prompt, completion = usage.get("prompt_tokens_details", {}), usage.get("completion_tokens_details", {})
        return Spent(
            usage["prompt_tokens"],
            usage["completion_tokens"],
            prompt.get("cached_tokens") or 0,
            prompt.get("cache_write_tokens") or 0,
            completion.get("reasoning_tokens") or 0,
        )

    def tell(self, results: Sequence[Result]) -> None:
        for result in results:
            parts = [part_of(part) for part in result.parts]
            content = result.parts[0].text if len(parts) == 1 and isinstance(result.parts[0], Text) else parts
            error = {"is_error": True} if result.error else {}
            self._messages.append({"role": "tool", "tool_call_id": self._ids[result.call], "content": content, **error})

    def say(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})


def part_of(part: Text | Picture) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{data}"}}


def bare(message: dict[str, Any]) -> dict[str, Any]:
    """An assistant's message as OpenAI describes it, and nothing else."""
    said: dict[str, Any] = {"role": "assistant", "content": message.get("content")}
    if calls := message.get("tool_calls"):
        said["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["function"]["name"], "arguments": call["function"]["arguments"]},
            }
            for call in calls
        ]
    return said


class Anthropics:
    """Anthropic's SDK, which sends every block back; with marks for the cache."""

    cached: Sequence[str | int] = ("system", "tools", 0)
    calls = "tool_use"
    stop = "end_turn"
    echoes = True

    def __init__(self, gateway: Running, *, stream: bool) -> None:
        self._sdk = anthropic.AsyncAnthropic(
            base_url=gateway.url, api_key="none", max_retries=0, http_client=gateway.http
        )
        self._stream = stream
        self._ids: Sequence[str] = ()
        question = [block_of(part) for part in QUESTION]
        question[-1]["cache_control"] = CACHE
        self._messages: list[Any] = [{"role": "user", "content": question}]

    async def ask(self, model: str) -> Got:
        tools: list[dict[str, Any]] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in TOOLS
        ]
        tools[-1]["cache_control"] = CACHE
        message = await self._answer(
            model=model,
            max_tokens=16_000,
            system=[{"type": "text", "text": SYSTEM, "cache_control": CACHE}],
            messages=self._messages,
            tools=tools,
            thinking={"type": "enabled", "budget_tokens": 4096},
        )
        self._messages.append({"role": "assistant", "content": message.content})
        uses = [block for block in message.content if block.type == "tool_use"]
        self._ids = tuple([use.id for use in uses])
        return Got(
            "".join([block.text for block in message.content if block.type == "text"]),
            "".join([block.thinking for block in message.content if block.type == "thinking"]),
            tuple([Called(use.name, use.input) for use in uses]),
            tuple(self._ids),
            message.stop_reason,
            self._spent(message.usage.model_dump()),
        )

    async def _answer(self, **asked: Any) -> Any:
        if not self._stream:
            return await self._sdk.messages.create(**asked)
        async with self._sdk.messages.stream(**asked) as events:
            return await events.get_final_message()

    def _spent(self, usage: dict[str, Any]) -> Spent:
        cached, written = usage["cache_read_input_tokens"] or 0, usage["cache_creation_input_tokens"] or 0
        details = usage.get("output_tokens_details") or {}
        input = usage["input_tokens"] + cached + written
        return Spent(input, usage["output_tokens"], cached, written, details.get("thinking_tokens") or 0)

    def tell(self, results: Sequence[Result]) -> None:
        told = []
        for result in results:
            block: dict[str, Any] = {"type": "tool_result", "tool_use_id": self._ids[result.call]}
            block["content"] = [block_of(part) for part in result.parts]
            told.append(block | ({"is_error": True} if result.error else {}))
        self._messages.append({"role": "user", "content": told})

    def say(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})


def block_of(part: Text | Picture) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": part.media_type, "data": data}}


def whole_messages(gateway: Running, *, stream: bool) -> Client:
    return OpenAIs(gateway, stream=stream, echo=True)


def bare_messages(gateway: Running, *, stream: bool) -> Client:
    return OpenAIs(gateway, stream=stream, echo=False)


CLIENTS: Final[Mapping[str, Callable[..., Client]]] = {
    "openai": whole_messages,
    "openai, bare": bare_messages,
    "anthropic": Anthropics,
}
