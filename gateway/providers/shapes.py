"""What a valid answer and a valid chunk look like, as far as we read them or providers get them wrong.

Read next: repairs.py, for what does not fit. These types are the gate: what they take is valid and passes untouched,
byte for byte; what they refuse is repaired. They follow OpenAI's published schema, loosened where its own answers
break it.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.providers.protocol import Answer
from gateway.types import Usage

__all__ = [
    "CHUNK",
    "FINISH",
    "TIERS",
    "UNREADABLE",
    "WHOLE",
    "Annotation",
    "Audio",
    "Chunk",
    "ChunkChoice",
    "Delta",
    "Logprobs",
    "Message",
    "Tokens",
    "ToolDelta",
    "Whole",
    "answer_of",
    "content_of",
    "size_of",
    "usage_as",
    "usage_of",
]

Finish = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
Tier = Literal["auto", "default", "flex", "scale", "priority", "fast"]
Role = Literal["assistant", "developer", "system", "user", "tool"]

FINISH: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})


class PromptDetails(Struct, gc=False):
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_tokens: int = 0
    text_tokens: int = 0
    image_tokens: int = 0


class CompletionDetails(Struct, gc=False):
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    text_tokens: int = 0
    image_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Tokens(Struct):
    """Usage as OpenAI counts it. ``prompt_cache_hit_tokens`` is an older name of the cached ones."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: PromptDetails | UnsetType = UNSET
    completion_tokens_details: CompletionDetails | UnsetType = UNSET
    prompt_cache_hit_tokens: int = 0


class Likely(Struct, gc=False):
    token: str
    logprob: float
    bytes: list[int] | None


class Token(Likely, gc=False):
    top_logprobs: list[Likely]


class Logprobs(Struct, gc=False):
    content: list[Token] | None
    refusal: list[Token] | None


class FunctionDelta(Struct, gc=False):
    name: str = ""
    arguments: str = ""


class CustomDelta(Struct, gc=False):
    name: str = ""
    input: str = ""


class ToolDelta(Struct):
    index: int
    id: str | UnsetType = UNSET
    type: Literal["function", "custom"] | UnsetType = UNSET
    function: FunctionDelta | UnsetType = UNSET
    custom: CustomDelta | UnsetType = UNSET


class Delta(Struct):
    content: str | None = None
    role: Role = "assistant"
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: Any = None
    tool_calls: list[ToolDelta] | UnsetType = UNSET
    function_call: FunctionDelta | UnsetType = UNSET
    audio: Any = None


class ChunkChoice(Struct):
    index: int
    delta: Delta
    finish_reason: Finish | None
    logprobs: Logprobs | None = None
    error: None = None
    usage: Any = None


class Extension(Struct):
    """A member that one provider adds, and hides usage and errors in."""

    usage: Any = None
    error: None = None


class Chunk(Struct):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Tokens | None = None
    service_tier: Tier | None = None
    system_fingerprint: str | None = None
    obfuscation: str = ""
    error: UnsetType = UNSET
    x_groq: Extension | None = None


class Function(Struct, gc=False):
    name: str
    arguments: str


class Custom(Struct, gc=False):
    name: str
    input: str


class ToolCall(Struct, tag_field="type", tag="function"):
    id: str
    function: Function


class CustomCall(Struct, tag_field="type", tag="custom"):
    id: str
    custom: Custom


class Citation(Struct, gc=False):
    start_index: int
    end_index: int
    url: str
    title: str


class Annotation(Struct, tag_field="type", tag="url_citation", gc=False):
    url_citation: Citation


class Audio(Struct, gc=False):
    id: str
    expires_at: int
    data: str
    transcript: str


class Message(Struct):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: Any = None
    tool_calls: list[ToolCall | CustomCall] | UnsetType = UNSET
    function_call: Function | UnsetType = UNSET
    annotations: list[Annotation] | UnsetType = UNSET
    audio: Audio | None = None


class Choice(Struct):
    index: int
    message: Message
    finish_reason: Finish
    logprobs: Logprobs | None
    error: None = None


class Whole(Struct):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Tokens | UnsetType = UNSET
    service_tier: Tier | None = None
    system_fingerprint: str | None = None
    metadata: dict[str, str] | None = None
    error: UnsetType = UNSET


#: What msgspec raises for bytes that are not JSON of the type, not UTF-8, or nested too deep.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

CHUNK: Final = msgspec.json.Decoder(Chunk)
WHOLE: Final = msgspec.json.Decoder(Whole)


def usage_of(tokens: Tokens) -> Usage:
    """Tokens in our words: input with the cached ones, output with the reasoning ones.

    Some providers leave reasoning out of ``completion_tokens``, or the cached tokens or sound out of ``prompt_tokens``:
    the total tells, or a part that is larger than the whole.
    """
    prompt, completion = tokens.prompt_tokens_details, tokens.completion_tokens_details
    reasoning = completion.reasoning_tokens if completion else 0
    cached = (prompt.cached_tokens if prompt else 0) or tokens.prompt_cache_hit_tokens
    heard = prompt.audio_tokens if prompt else 0
    input, output = tokens.prompt_tokens, tokens.completion_tokens
    beside = tokens.total_tokens - input - output
    if heard and (heard > input or beside in (heard, heard + reasoning)):
        input, beside = input + heard, beside - heard
    if reasoning and (reasoning > output or beside == reasoning):
        output += reasoning
    if cached > input:
        input += cached
    return Usage(
        input=input,
        output=output,
        cached_input=cached,
        cache_write=prompt.cache_write_tokens if prompt else 0,
        reasoning=reasoning,
        audio_input=heard,
        # Nobody says how much of the sound was cached: at least what of both does not fit beside each other.
        cached_audio=max(0, cached + heard - input),
        audio_output=completion.audio_tokens if completion else 0,
        image_output=completion.image_tokens if completion else 0,
    )


def usage_as(usage: Usage) -> dict[str, Any]:
    """Tokens in OpenAI's words: the other way round."""
    given = {"cached_tokens": usage.cached_input}
    if usage.cache_write:
        given["cache_write_tokens"] = usage.cache_write
    if usage.audio_input:
        given["audio_tokens"] = usage.audio_input
    made = {"reasoning_tokens": usage.reasoning}
    if usage.audio_output:
        made["audio_tokens"] = usage.audio_output
    if usage.image_output:
        made["image_tokens"] = usage.image_output
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": given,
        "completion_tokens_details": made,
    }


def size_of(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def content_of(part: Delta | Message) -> int | None:
    """Bytes of what a delta or message holds of content: text, reasoning, refusal, tool calls; None when nothing."""
    size = 0
    if part.content:
        size = size_of(part.content)
    if part.reasoning_content:
        size += size_of(part.reasoning_content)
    if part.refusal:
        size += size_of(part.refusal)
    if part.tool_calls:
        size += sum(map(called, part.tool_calls))
    if part.function_call:
        size += len(part.function_call.name) + size_of(part.function_call.arguments)
    return size or (0 if part.audio else None)


def answer_of(body: bytes, whole: Whole) -> Answer:
    """A valid answer, and what it came to. It has at least one choice."""
    return Answer(
        body=body,
        model=whole.model or None,
        usage=usage_of(whole.usage) if whole.usage else None,
        finish=whole.choices[0].finish_reason,
        output_bytes=sum(content_of(choice.message) or 0 for choice in whole.choices),
    )


def called(call: ToolDelta | ToolCall | CustomCall) -> int:
    function = call.function if isinstance(call, ToolDelta | ToolCall) else None
    custom = call.custom if isinstance(call, ToolDelta | CustomCall) else None
    size = len(function.name) + size_of(function.arguments) if function else 0
    return size + (len(custom.name) + size_of(custom.input) if custom else 0)
