"""A Messages request's body, judged: what passes here can be made canonical, and can be sent on as it is.

Read next: judging.py, what is checked of every dialect; anthropic_request.py, which makes the canonical request.
Source: Anthropic's API reference, Messages, version 2023-06-01.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from gateway.dialects.judging import MAX_MESSAGES, MAX_MODEL, conform, parsed, why_not
from gateway.errors import BadRequest

__all__ = ["THREADS", "Block", "blocks_of", "judge", "judge_count"]

Block = Mapping[str, Any]
Tokens = Annotated[int, Meta(ge=0, le=10_000_000)]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Block(Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    is_error: bool | None = None
    source: Any = None
    title: str | None = None
    context: str | None = None
    cache_control: dict[str, Any] | None = None


class _Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(Struct):
    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class _Choice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct):
    type: str
    budget_tokens: Tokens | None = None


class _Format(Struct):
    type: str | None = None
    schema: dict[str, Any] | None = None


class _Output(Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _Server(Struct):
    name: str
    url: str | None = None


class _Count(Struct):
    """What is said also where only tokens are to be counted."""

    messages: Annotated[list[_Message], Meta(min_length=1, max_length=MAX_MESSAGES)]
    model: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL)]
    system: str | list[_Block] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    output_format: _Format | None = None
    mcp_servers: list[_Server] | None = None


class _Messages(_Count, kw_only=True):
    max_tokens: Tokens
    stream: bool | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    stop_sequences: list[str] | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None


#: What a block cannot be without, and of what type that is.
MEMBERS: Final[Mapping[str, Mapping[str, type | tuple[type, ...]]]] = {
    "text": {"text": str},
    "image": {"source": dict},
    "document": {"source": dict},
    "thinking": {"thinking": str},
    "redacted_thinking": {"data": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
    "search_result": {"content": list},
}
#: The same of a source.
SOURCES: Final[Mapping[str, Mapping[str, type | tuple[type, ...]]]] = {
    "base64": {"media_type": str, "data": str},
    "url": {"url": str},
    "text": {"data": str},
    "content": {"content": (str, list)},
    "file": {"file_id": str},
}
#: What Anthropic calls a request that its threads cannot serve. Its SDK then sends the whole conversation by itself.
THREADS: Final = "thread_unsupported_request"
NO_THREADS: Final = "A conversation may go to another provider at any turn: send all of it, without thread."
#: Blocks of results hold blocks again, and a document may; none goes deeper.
DEEPEST: Final = 3


def judge(body: bytes) -> dict[str, Any]:
    """The body as a dict that is safe to decide on and to send on.

    Raises BadRequest, naming the member, for what is not JSON, not a Messages request, or out of range; for duplicate
    keys, for nesting deeper than 64, and for links that the public network does not have; for a thread, whose earlier
    turns only one account at Anthropic knows.
    """
    return _judged(body, _Messages)


def judge_count(body: bytes) -> dict[str, Any]:
    """The same of a body whose tokens are to be counted."""
    return _judged(body, _Count)


def _judged(body: bytes, shape: type[Struct]) -> dict[str, Any]:
    fields = parsed(body)
    conform(fields, shape)
    if fields.get("thread") is not None:
        raise BadRequest(NO_THREADS, code=THREADS, param="thread")
    _judge_blocks(fields.get("system"), "system", 0)
    for n, message in enumerate(fields["messages"]):
        _judge_blocks(message["content"], f"messages[{n}].content", 0)
    for n, tool in enumerate(fields.get("tools") or ()):
        _judge_tool(tool, f"tools[{n}]")
    choice = fields.get("tool_choice") or {}
    if choice.get("type") == "tool" and not choice.get("name"):
        raise _missing("tool_choice.name")
    for n, server in enumerate(fields.get("mcp_servers") or ()):
        _judge_link(server.get("url"), f"mcp_servers[{n}].url")
    return fields


def _judge_tool(tool: Mapping[str, Any], place: str) -> None:
    if tool.get("type") in (None, "custom"):
        for name in ("name", "input_schema"):
            if tool.get(name) is None:
                raise _missing(f"{place}.{name}")


def _judge_blocks(content: Any, place: str, depth: int) -> None:
    if type(content) is not list:
        return
    if depth == DEEPEST:
        raise BadRequest(f"{place} is nested deeper than blocks can be.", code="too_deep", param=place)
    for m, block in enumerate(content):
        _judge_block(block, f"{place}[{m}]", depth)


def _judge_block(block: Any, place: str, depth: int) -> None:
    if type(block) is not dict or type(block.get("type")) is not str:
        raise _missing(f"{place}.type")
    _demand(block, MEMBERS.get(block["type"], {}), place)
    source = block.get("source")
    if type(source) is dict:
        _demand(source, SOURCES.get(str(source.get("type")), {"type": str}), f"{place}.source")
        _judge_link(source.get("url"), f"{place}.source.url")
        _judge_blocks(source.get("content"), f"{place}.source.content", depth + 1)
    if block["type"] in ("tool_result", "search_result"):
        if type(block.get("content")) not in (str, list, type(None)):
            raise _invalid(f"{place}.content")
        _judge_blocks(block.get("content"), f"{place}.content", depth + 1)


def _demand(said: Mapping[str, Any], members: Mapping[str, type | tuple[type, ...]], place: str) -> None:
    for name, kind in members.items():
        if said.get(name) is None:
            raise _missing(f"{place}.{name}")
        if not isinstance(said[name], kind):
            raise _invalid(f"{place}.{name}")


def _judge_link(url: Any, place: str) -> None:
    if url is None:
        return
    why = "must be an http or https URL" if str(url)[:5].lower() == "data:" else why_not("url", url)
    if why:
        raise BadRequest(f"{place} {why}.", code="invalid_url", param=place)


def _missing(place: str) -> BadRequest:
    return BadRequest(f"Missing required parameter: {place}.", code="missing_required_parameter", param=place)


def _invalid(place: str) -> BadRequest:
    return BadRequest(f"Invalid value for {place}: it is of another type.", code="invalid_value", param=place)


def blocks_of(content: Any) -> Iterator[Block]:
    """A content as blocks, whichever way it was written."""
    if type(content) is str:
        yield {"type": "text", "text": content}
    else:
        yield from content or ()
