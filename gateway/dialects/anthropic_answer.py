"""A canonical answer as a Message of Anthropic's.

Read next: anthropic_events.py, the same for streams. Source: Anthropic's API reference, Messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.dialects.sealed import Sealed, sealed
from gateway.providers.members import inner, listed, text_in
from gateway.providers.stream import counted
from gateway.types import Usage

__all__ = ["foreign_in", "id_of", "message", "pictures", "stopped", "tokens"]

NOTHING: Final = Usage(0, 0)
#: Reasons to stop in Anthropic's words: a provider that says one of them means it.
REASONS: Final = frozenset(
    "end_turn max_tokens stop_sequence tool_use pause_turn refusal model_context_window_exceeded compaction".split()
)
STOPPED: Final[Mapping[str | None, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def message(answer: Mapping[str, Any], *, id: str, usage: Usage | None = None) -> dict[str, Any]:
    """The Message that says what a canonical answer does; of several choices the first.

    ``id`` is the request's; ``usage`` is what is known of its tokens where that is more than the answer itself says.
    """
    choice = answer["choices"][0]
    said = choice["message"]
    calls = said.get("tool_calls") or ()
    reason, sequence = stopped(
        choice.get("finish_reason"),
        choice.get("native_finish_reason"),
        choice.get("stop_sequence"),
        called=bool(calls),
        refused=bool(said.get("refusal")),
    )
    return {
        "id": id_of(id),
        "type": "message",
        "role": "assistant",
        "model": answer["model"],
        "content": list(blocks_of(said)),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": tokens(usage or counted(answer.get("usage") or {}) or NOTHING),
    }


def id_of(id: str) -> str:
    """The id of a Message, made of the request's."""
    return f"msg_{id}"


def blocks_of(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """An answer's blocks: Anthropic's own where it was Anthropic's; else thoughts, text, calls, and what is sealed."""
    extra = inner(said, "extra_content")
    if own := listed(inner(extra, "anthropic").get("content")):
        yield from own
        return
    if thought := text_in(said, "reasoning_content"):
        yield {"type": "thinking", "thinking": thought, "signature": ""}
    if text := "".join([said.get("content") or "", said.get("refusal") or "", *pictures(said.get("images"))]):
        yield {"type": "text", "text": text}
    for call in said.get("tool_calls") or ():
        if signed := inner(call, "extra_content"):
            yield sealed(Sealed(calls={call["id"]: signed}))
        function = call["function"]
        yield {"type": "tool_use", "id": call["id"], "name": function["name"], "input": input_of(function["arguments"])}
    if foreign := foreign_in(extra):
        yield sealed(Sealed(foreign))


def foreign_in(extra: Any) -> dict[str, Any]:
    """What of an ``extra_content`` is not Anthropic's."""
    return {name: said for name, said in extra.items() if name != "anthropic"} if isinstance(extra, dict) else {}


def pictures(images: Any) -> list[str]:
    """Pictures that were made, in text: Anthropic's answers have no other place for them."""
    return [f"![image]({url})" for image in listed(images) if (url := text_in(inner(image, "image_url"), "url"))]


def input_of(arguments: str) -> dict[str, Any]:
    """Arguments as an object; text that is none stands in one, since nothing may be lost."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        value = arguments
    return value if isinstance(value, dict) else {"arguments": value}


def stopped(finish: str | None, native: Any, sequence: Any, *, called: bool, refused: bool) -> tuple[str, str | None]:
    """Why an answer stopped, and at which sequence. ``native`` and ``sequence`` are as a provider gave them."""
    sequence = sequence if isinstance(sequence, str) else None
    # Whether a tool is wanted is told by the calls: one that the gateway forced to get an answer is none.
    if isinstance(native, str) and native in REASONS and native not in ("end_turn", "tool_use"):
        return native, sequence
    if sequence is not None:
        return "stop_sequence", sequence
    if refused:
        return "refusal", None
    if finish == "stop" and called:
        return "tool_use", None
    return STOPPED.get(finish, "end_turn"), None


def tokens(usage: Usage) -> dict[str, Any]:
    """Tokens as Anthropic counts them: input without what the cache gave or took, output with the thoughts."""
    said: dict[str, Any] = {
        "input_tokens": max(0, usage.input - usage.cached_input - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached_input,
        "output_tokens": usage.output,
    }
    if usage.cache_write_1h:
        said["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(0, usage.cache_write - usage.cache_write_1h),
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    if usage.reasoning:
        said["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return said
