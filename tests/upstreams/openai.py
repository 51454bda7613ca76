"""Chat Completions as OpenAI judges and speaks them. Read next: server.py.

Source: OpenAI's API reference, Chat Completions. Its models think, but say and sign nothing of it here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from tests.upstreams.anthropic import pieces
from tests.upstreams.judging import bytes_of, demand, shaped
from tests.upstreams.said import Answer, Called, Heard, Part, Picture, Result, Spent, Text, Tool, Turn
from tests.upstreams.server import Request

__all__ = ["OpenAI"]


class _Known(Struct, forbid_unknown_fields=True):
    pass


class _Text(_Known, tag_field="type", tag="text"):
    text: str


class _Url(_Known):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class _Image(_Known, tag_field="type", tag="image_url"):
    image_url: _Url


class _Function(_Known):
    name: str
    arguments: str


class _Call(_Known):
    id: str
    type: Literal["function"]
    function: _Function


class _Message(_Known, tag_field="role"):
    pass


class _System(_Message, tag="system"):
    content: str | list[_Text]


class _Developer(_Message, tag="developer"):
    content: str | list[_Text]


class _User(_Message, tag="user"):
    content: str | list[_Text | _Image]


class _Assistant(_Message, tag="assistant"):
    content: str | list[_Text] | None = None
    tool_calls: list[_Call] | None = None
    refusal: str | None = None
    # Of its own answers; recordings show that it takes them back.
    annotations: list[Any] = []


class _Result(_Message, tag="tool"):
    tool_call_id: str
    content: str | list[_Text]


class _Declared(_Known):
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(_Known):
    type: Literal["function"]
    function: _Declared


class _Options(_Known):
    include_usage: bool = False


class _Body(_Known):
    model: str
    messages: list[_System | _Developer | _User | _Assistant | _Result]
    tools: list[_Tool] = []
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: _Options | None = None


class OpenAI:
    """A model that thinks."""

    name = "openai"
    kind = "openai"
    model = "gpt-5.1"

    def heard(self, request: Request) -> Heard:
        demand(request.path == "/v1/chat/completions", f"there is no {request.path}")
        demand(request.headers.get("authorization") == "Bearer sk-openai", "Incorrect API key provided")
        body = shaped(request.body, _Body)
        demand(body.model == self.model, f"The model {body.model!r} does not exist")
        demand(body.stream or body.stream_options is None, "The 'stream_options' parameter is only allowed with stream")
        system = [text for m in body.messages if isinstance(m, _System | _Developer) for text in texts(m.content)]
        tools = [Tool(t.function.name, t.function.description, t.function.parameters) for t in body.tools]
        # OpenAI's models take turns of one side in a row, which says the same as one.
        turns = tuple(joined(self._turns(body.messages)))
        return Heard(body.stream, tuple(system), tuple(tools), turns, body.reasoning_effort is not None)

    def _turns(self, messages: list[Any]) -> Iterator[Turn]:
        waiting: list[str] = []
        called: list[str] = []
        for message in messages:
            if isinstance(message, _Result):
                demand(message.tool_call_id in waiting, "'tool' must be a response to a preceding 'tool_calls'")
                waiting.remove(message.tool_call_id)
                said = tuple([Text(text) for text in texts(message.content)])
                yield Turn("user", (Result(called.index(message.tool_call_id), said),))
                continue
            demand(not waiting, f"tool_call_ids did not have response messages: {waiting}")
            if isinstance(message, _User):
                yield Turn("user", tuple(shown(message.content)))
            elif isinstance(message, _Assistant):
                demand(message.tool_calls is None or message.tool_calls, "[] is too short - 'tool_calls'")
                calls = message.tool_calls or []
                demand(calls or message.content is not None, "expected a string, got null")
                waiting, called = [call.id for call in calls], [call.id for call in calls]
                parts: list[Part] = [Text(text) for text in texts(message.content or "") if text]
                parts += [Called(call.function.name, json.loads(call.function.arguments)) for call in calls]
                yield Turn("model", tuple(parts))
        demand(not waiting, f"tool_call_ids did not have response messages: {waiting}")

    # --- said ---------------------------------------------------------------------------------------------------

    def whole(self, answer: Answer, turn: int, heard: Heard) -> Any:
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
        message["annotations"] = []
        if calls := calls_of(answer, turn):
            message["tool_calls"] = calls
        finish = "tool_calls" if answer.calls else "stop"
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return self._body(turn, "chat.completion", choices=[choice], usage=usage_of(answer.spent))

    def _body(self, turn: int, object: str, **members: Any) -> dict[str, Any]:
        head = {"id": f"chatcmpl-{turn}", "object": object, "created": 1, "model": self.model}
        return {**head, **members, "service_tier": "default"}

    def stream(self, answer: Answer, turn: int, heard: Heard) -> tuple[str, Sequence[bytes]]:
        chunks = [
            self._body(
                turn,
                "chat.completion.chunk",
                choices=[{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
                usage=None,
            )
            for delta, finish in deltas(answer, turn)
        ]
        chunks.append(self._body(turn, "chat.completion.chunk", choices=[], usage=usage_of(answer.spent)))
        events = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode() for chunk in chunks]
        return "text/event-stream; charset=utf-8", [*events, b"data: [DONE]\n\n"]

    def refusal(self, status: int, message: str) -> Any:
        kind = "invalid_request_error" if status == 400 else "server_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}


# --- read -------------------------------------------------------------------------------------------------------


def texts(content: str | Sequence[_Text]) -> list[str]:
    return [content] if isinstance(content, str) else [part.text for part in content]


def shown(content: str | Sequence[_Text | _Image]) -> Iterator[Text | Picture]:
    for part in [_Text(content)] if isinstance(content, str) else content:
        if isinstance(part, _Text):
            yield Text(part.text)
            continue
        head, _, data = part.image_url.url.partition(";base64,")
        yield Picture(head.removeprefix("data:"), bytes_of(data))


def joined(turns: Iterator[Turn]) -> list[Turn]:
    found: list[Turn] = []
    for turn in turns:
        if found and found[-1].role == turn.role:
            found[-1] = Turn(turn.role, found[-1].parts + turn.parts)
        else:
            found.append(turn)
    return found


# --- said -------------------------------------------------------------------------------------------------------


def calls_of(answer: Answer, turn: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{turn}{n}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for n, call in enumerate(answer.calls)
    ]


def deltas(answer: Answer, turn: int) -> Iterator[tuple[dict[str, Any], str | None]]:
    yield {"role": "assistant", "content": "" if answer.text else None, "refusal": None}, None
    for piece in pieces(answer.text):
        yield {"content": piece}, None
    for index, call in enumerate(calls_of(answer, turn)):
        arguments = call["function"]["arguments"]
        begun = {**call, "function": {**call["function"], "arguments": ""}}
        yield {"tool_calls": [{"index": index, **begun}]}, None
        for piece in pieces(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
    yield {}, "tool_calls" if answer.calls else "stop"


def usage_of(spent: Spent) -> dict[str, Any]:
    return {
        "prompt_tokens": spent.input,
        "completion_tokens": spent.output,
        "total_tokens": spent.input + spent.output,
        "prompt_tokens_details": {"cached_tokens": spent.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": spent.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
