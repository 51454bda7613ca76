"""An answer in the OpenAI chat dialect, as JSON or as an event stream, in acts.

Read next: play.py, which chooses between an answer and a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import msgspec

from gateway.testing.acts import Act, End, Head, Headers, Send, Wait, whole
from gateway.testing.answer import Answer, Choice, ToolCall
from gateway.testing.prompt import Prompt
from gateway.testing.script import Pace, Script
from gateway.types import Usage

__all__ = ["error_body", "models_body", "render"]

DONE = Send(b"data: [DONE]\n\n", "done")
STREAM = ("content-type", "text/event-stream; charset=utf-8")


def render(prompt: Prompt, script: Script, answer: Answer, *, id: str, created: int) -> Iterator[Act]:
    """The acts of a healthy answer: waits as the script's pace has them, one event a token."""
    head = {"id": id, "created": created, "model": script.served_model or prompt.model}
    headers = (("x-request-id", f"req-{id}"), *script.headers)
    if prompt.stream:
        return stream(prompt, script, answer, head, headers)
    return complete(script, answer, head, headers)


def complete(script: Script, answer: Answer, head: dict[str, Any], headers: Headers) -> Iterator[Act]:
    yield from pause(script.pace.first_s + script.pace.token_s * answer.usage.output)
    choices = [whole_choice(index, choice) for index, choice in enumerate(answer.choices)]
    body = {**head, "object": "chat.completion", "system_fingerprint": None, "choices": choices}
    if script.reports_usage:
        body["usage"] = usage_of(answer.usage)
    yield from whole(200, msgspec.json.encode(body), headers=headers)


def whole_choice(index: int, choice: Choice) -> dict[str, Any]:
    silent = choice.tool_calls or choice.refusal is not None
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if silent else "".join(choice.tokens),
        "refusal": choice.refusal,
    }
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.tool_calls:
        message["tool_calls"] = [called(call) for call in choice.tool_calls]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish}


def called(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def stream(prompt: Prompt, script: Script, answer: Answer, head: dict[str, Any], headers: Headers) -> Iterator[Act]:
    reported = prompt.include_usage and script.reports_usage
    chunk = {**head, "object": "chat.completion.chunk", "system_fingerprint": None}
    if reported:
        chunk["usage"] = None
    yield Head(200, (STREAM, *headers))
    for index, choice in enumerate(answer.choices):
        yield event(chunk, index, opening(choice), "role")
    yield from paced(contents(chunk, answer), script.pace)
    for index, choice in enumerate(answer.choices):
        yield event(chunk, index, {}, "finish", choice.finish)
    if reported:
        yield Send(framed({**chunk, "choices": [], "usage": usage_of(answer.usage)}), "usage")
    yield DONE
    yield End()


def opening(choice: Choice) -> dict[str, Any]:
    return {"role": "assistant", "content": None if choice.tool_calls else "", "refusal": None}


def contents(chunk: dict[str, Any], answer: Answer) -> Iterator[Send]:
    """Every content event, the choices taking turns."""
    turns = zip_longest(*(list(deltas(choice)) for choice in answer.choices))
    return (event(chunk, index, delta, "content") for turn in turns for index, delta in enumerate(turn) if delta)


def deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    for token in choice.reasoning:
        yield {"reasoning_content": token}
    for index, call in enumerate(choice.tool_calls):
        yield from call_deltas(index, call)
    if choice.refusal is not None:
        yield {"refusal": choice.refusal}
    for token in choice.tokens:
        yield {"content": token}


def call_deltas(index: int, call: ToolCall) -> Iterator[dict[str, Any]]:
    """The name first, then the arguments in two halves, as OpenAI cuts them."""
    start = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    yield {"tool_calls": [start]}
    half = len(call.arguments) // 2
    for piece in (call.arguments[:half], call.arguments[half:]):
        if piece:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def event(chunk: dict[str, Any], index: int, delta: dict[str, Any], part: Any, finish: str | None = None) -> Send:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return Send(framed({**chunk, "choices": [choice]}), part)


def framed(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def paced(events: Iterator[Send], pace: Pace) -> Iterator[Act]:
    yield from pause(pace.first_s)
    for n, one in enumerate(events):
        if n:
            yield from pause(pace.token_s)
        yield one


def pause(seconds: float) -> Iterator[Act]:
    if seconds > 0:
        yield Wait(seconds)


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def models_body(models: tuple[str, ...], created: int) -> bytes:
    """The list of models."""
    data = [{"id": model, "object": "model", "created": created, "owned_by": "simulated"} for model in models]
    return msgspec.json.encode({"object": "list", "data": data})


def error_body(message: str, code: str | None = None) -> bytes:
    """An error of the simulated provider itself, in OpenAI's envelope."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return msgspec.json.encode({"error": error})
