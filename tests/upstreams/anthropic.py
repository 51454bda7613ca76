"""Anthropic's Messages as their provider judges and speaks them. Read next: server.py.

Source: Anthropic's API reference and its pages on tool use and extended thinking.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from tests.upstreams.judging import alternate, bytes_of, demand, shaped
from tests.upstreams.said import Answer, Called, Heard, Part, Picture, Result, Spent, Text, Tool, Turn
from tests.upstreams.server import Request

__all__ = ["Anthropic"]

Block = dict[str, Any]
Cache = dict[str, str] | None


class _Known(Struct, forbid_unknown_fields=True, tag_field="type"):
    pass


class _Text(_Known, tag="text"):
    text: str
    cache_control: Cache = None
    citations: None = None


class _Source(Struct, forbid_unknown_fields=True):
    type: Literal["base64"]
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: str


class _Image(_Known, tag="image"):
    source: _Source
    cache_control: Cache = None


class _Thinking(_Known, tag="thinking"):
    thinking: str
    signature: str


class _Redacted(_Known, tag="redacted_thinking"):
    data: str


class _Use(_Known, tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]
    cache_control: Cache = None


class _Result(_Known, tag="tool_result"):
    tool_use_id: str
    content: str | list[_Text | _Image] = ""
    is_error: bool = False
    cache_control: Cache = None


_Block = _Text | _Image | _Thinking | _Redacted | _Use | _Result


class _Message(Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: str | list[_Block]


class _Tool(Struct, forbid_unknown_fields=True):
    name: str
    input_schema: dict[str, Any]
    description: str = ""
    cache_control: Cache = None


class _Think(Struct, forbid_unknown_fields=True):
    type: Literal["enabled", "disabled"]
    budget_tokens: int = 0


class _Choice(Struct, forbid_unknown_fields=True):
    type: Literal["auto", "any", "tool", "none"]


class _Body(Struct, forbid_unknown_fields=True):
    model: str
    max_tokens: int
    messages: list[_Message]
    system: str | list[_Text] = ""
    tools: list[_Tool] = []
    tool_choice: _Choice | None = None
    thinking: _Think | None = None
    stream: bool = False
    temperature: float = 1


class Anthropic:
    """A Claude that is told to think by a budget."""

    name = "anthropic"
    kind = "anthropic"
    model = "claude-sonnet-4-5"

    def heard(self, request: Request) -> Heard:
        demand(request.path == "/v1/messages", f"there is no {request.path}")
        demand(request.headers.get("x-api-key") == "sk-anthropic", "invalid x-api-key")
        demand(request.headers.get("anthropic-version") == "2023-06-01", "anthropic-version: header is required")
        body = shaped(request.body, _Body)
        demand(body.model == self.model, f"model: {body.model}")
        alternate([message.role for message in body.messages], "assistant")
        thinks = self._thinks(body)
        turns = list(self._turns(body.messages))
        self._judge_thinking(request.body["messages"], thinks)
        system = texts(blocks(body.system))
        tools = tuple([Tool(tool.name, tool.description, tool.input_schema) for tool in body.tools])
        return Heard(body.stream, tuple(system), tools, tuple(turns), thinks, tuple(cached(body)))

    def _thinks(self, body: _Body) -> bool:
        if body.thinking is None or body.thinking.type == "disabled":
            return False
        budget = body.thinking.budget_tokens
        demand(budget >= 1024, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        demand(body.max_tokens > budget, "`max_tokens` must be greater than `thinking.budget_tokens`")
        demand(body.temperature == 1, "`temperature` may only be set to 1 when thinking is enabled")
        forced = body.tool_choice is not None and body.tool_choice.type in ("any", "tool")
        demand(not forced, "Thinking may not be enabled when tool_choice forces tool use.")
        return True

    def _turns(self, messages: list[_Message]) -> Iterator[Turn]:
        called: list[str] = []
        for at, message in enumerate(messages):
            said = blocks(message.content)
            demand(said, f"messages.{at}: content must not be empty")
            results = [block.tool_use_id for block in said if isinstance(block, _Result)]
            demand(sorted(results) == sorted(called), f"messages.{at}: results of {results} after calls of {called}")
            demand(
                all(isinstance(block, _Result) for block in said[: len(results)]), "tool_result blocks must come first"
            )
            parts = [part for block in said if (part := part_of(block, called)) is not None]
            called = [block.id for block in said if isinstance(block, _Use)]
            demand(len(set(called)) == len(called), "`tool_use` ids must be unique")
            alien = results or any(isinstance(block, _Image) for block in said)
            demand(message.role == "user" or not alien, "role: an assistant has no results and no pictures")
            demand(message.role == "assistant" or not called, "role: a user calls no tools")
            signed = tuple([block.signature for block in said if isinstance(block, _Thinking)])
            yield Turn("user" if message.role == "user" else "model", tuple(parts), signed)
        demand(not called, f"`tool_use` ids were found without `tool_result` blocks: {called}")
        last = messages[-1].content
        end = last if isinstance(last, str) else getattr(last[-1], "text", "")
        demand(messages[-1].role == "user" or end == end.rstrip(), "final assistant content has trailing whitespace")

    def _judge_thinking(self, messages: list[Any], thinks: bool) -> None:
        spoken = [message["content"] for message in messages if message["role"] == "assistant"]
        for turn, content in enumerate(spoken):
            thoughts = [
                block
                for block in content
                if isinstance(block, dict) and block["type"] in ("thinking", "redacted_thinking")
            ]
            for thought in thoughts:
                demand(thought.get("signature") == self._signature(turn), "Invalid `signature` in `thinking` block")
            demand(not thoughts or content[0] == thoughts[0], "thinking must come first")
        if thinks and spoken and amid(messages):
            first = spoken[-1][0]["type"] if isinstance(spoken[-1], list) else "text"
            known = first in ("thinking", "redacted_thinking")
            demand(known, f"Expected `thinking` or `redacted_thinking`, found {first}")

    def _signature(self, turn: int) -> str:
        return f"sig+anthropic/{turn}=="

    # --- said ---------------------------------------------------------------------------------------------------

    def whole(self, answer: Answer, turn: int, heard: Heard) -> Any:
        calls = bool(answer.calls)
        return {
            "id": f"msg_{turn}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": list(self._blocks(answer, turn, heard)),
            "stop_reason": "tool_use" if calls else "end_turn",
            "stop_sequence": None,
            "usage": usage_of(answer.spent, heard.thinks),
        }

    def _blocks(self, answer: Answer, turn: int, heard: Heard) -> Iterator[Block]:
        if heard.thinks:
            yield {"type": "thinking", "thinking": answer.reasoning, "signature": self._signature(turn)}
        if answer.text:
            yield {"type": "text", "text": answer.text}
        for n, call in enumerate(answer.calls):
            yield {"type": "tool_use", "id": f"toolu_{turn}_{n}", "name": call.name, "input": call.arguments}

    def stream(self, answer: Answer, turn: int, heard: Heard) -> tuple[str, Sequence[bytes]]:
        return "text/event-stream; charset=utf-8", list(self._events(self.whole(answer, turn, heard)))

    def _events(self, message: Block) -> Iterator[bytes]:
        usage = message["usage"]
        started = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
        yield event("message_start", message=started)
        yield event("ping")
        for index, block in enumerate(message["content"]):
            empty: Block = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}.get(
                block["type"], {"input": {}}
            )
            yield event("content_block_start", index=index, content_block={**block, **empty})
            for delta in deltas(block):
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        yield event("message_delta", delta=delta, usage=usage)
        yield event("message_stop")

    def refusal(self, status: int, message: str) -> Any:
        kind = "invalid_request_error" if status == 400 else "api_error"
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


# --- read -------------------------------------------------------------------------------------------------------


def blocks(content: str | Sequence[Any]) -> list[Any]:
    return ([_Text(content)] if content else []) if isinstance(content, str) else list(content)


def texts(said: Sequence[_Text | _Image]) -> list[str]:
    found = [block.text for block in said if isinstance(block, _Text)]
    demand(all(text.strip() for text in found), "text content blocks must contain non-whitespace text")
    return found


def amid(messages: Sequence[Any]) -> bool:
    """Whether the model is amid its turn: it goes on, or is brought what its tools gave back."""
    last = messages[-1]
    return last["role"] == "assistant" or any(
        isinstance(b, dict) and b["type"] == "tool_result" for b in last["content"]
    )


def part_of(block: Any, called: list[str]) -> Part | None:
    if isinstance(block, _Text):
        return Text(*texts([block]))
    if isinstance(block, _Image):
        return Picture(block.source.media_type, bytes_of(block.source.data))
    if isinstance(block, _Use):
        demand(re.fullmatch(r"[a-zA-Z0-9_-]+", block.id), f"tool_use.id: {block.id!r} does not match the pattern")
        return Called(block.name, block.input)
    if isinstance(block, _Result):
        inner = tuple([part_of(inside, []) for inside in blocks(block.content)])
        return Result(called.index(block.tool_use_id), inner, block.is_error)  # type: ignore[arg-type]
    return None


def cached(body: _Body) -> Iterator[str | int]:
    """The places of marks."""
    marks = [block for block in blocks(body.system) if block.cache_control]
    if marks:
        yield "system"
    if any(tool.cache_control for tool in body.tools):
        yield "tools"
    for at, message in enumerate(body.messages):
        if any(getattr(block, "cache_control", None) for block in blocks(message.content)):
            yield at


# --- said -------------------------------------------------------------------------------------------------------


def usage_of(spent: Spent, thought: bool) -> Block:
    said: Block = {
        "input_tokens": spent.input - spent.cached - spent.written,
        "cache_creation_input_tokens": spent.written,
        "cache_read_input_tokens": spent.cached,
        "output_tokens": spent.output,
    }
    return {**said, "output_tokens_details": {"thinking_tokens": spent.reasoning}} if thought else said


def deltas(block: Mapping[str, Any]) -> Iterator[Block]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": piece} for piece in pieces(block["text"]))
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"]))
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        # A call without arguments has one delta, and that is empty.
        written = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        yield {"type": "input_json_delta", "partial_json": ""}
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(written))


def pieces(text: str) -> list[str]:
    """The text as it comes: a few characters at a time."""
    return [text[at : at + 7] for at in range(0, len(text), 7)]


def event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members}, ensure_ascii=False)}\n\n".encode()
