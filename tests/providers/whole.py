"""Whole answers made up by hypothesis, and streams that say the same. Read next: test_gather.py."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

Body = dict[str, Any]
Delta = dict[str, Any]

TEXT = st.text(max_size=12)
NAME = st.text("abcdefgh_", min_size=1, max_size=8)
COUNT = st.integers(0, 9000)
FINISH = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "function_call"])
UNKNOWN = st.one_of(st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2), st.just({"a": {"b": 1}}))


@st.composite
def calls(draw: st.DrawFn) -> Body:
    """One tool call, of a function or of a custom tool."""
    kind = draw(st.sampled_from(["function", "custom"]))
    text = "arguments" if kind == "function" else "input"
    call: Body = {"id": f"call_{draw(COUNT)}", "type": kind, kind: {"name": draw(NAME), text: draw(TEXT)}}
    if draw(st.booleans()):
        call["extra_content"] = {"signature": "c2ln"}
    return call


@st.composite
def messages(draw: st.DrawFn) -> Body:
    """A message; a refusal never stands beside an empty text, as OpenAI has it."""
    message: Body = {"role": "assistant", "content": draw(st.none() | TEXT), "refusal": None}
    if draw(st.booleans()):
        message["refusal"] = draw(st.text(min_size=1, max_size=12))
        message["content"] = message["content"] or None
    if draw(st.booleans()):
        message["reasoning_content"] = draw(TEXT)
    if draw(st.booleans()):
        message["tool_calls"] = draw(st.lists(calls(), min_size=1, max_size=3))
    if draw(st.booleans()):
        message["function_call"] = {"name": draw(NAME), "arguments": draw(TEXT)}
    return message


@st.composite
def usages(draw: st.DrawFn) -> Body:
    usage: Body = {"prompt_tokens": draw(COUNT), "completion_tokens": draw(COUNT), "total_tokens": draw(COUNT)}
    if draw(st.booleans()):
        usage["prompt_tokens_details"] = {"cached_tokens": draw(COUNT), "cache_write_tokens": draw(COUNT)}
        usage["completion_tokens_details"] = {"reasoning_tokens": draw(COUNT), "unknown_tokens": draw(COUNT)}
    return usage


@st.composite
def answers(draw: st.DrawFn) -> Body:
    """A valid whole answer with one choice."""
    choice = {"index": 0, "message": draw(messages()), "logprobs": None, "finish_reason": draw(FINISH)}
    if draw(st.booleans()):
        choice["x_choice"] = draw(UNKNOWN)
    answer = {
        "id": draw(st.text(min_size=1, max_size=6)),
        "object": "chat.completion",
        "created": draw(st.integers(1, 2**40)),
        "model": draw(st.text(min_size=1, max_size=6)),
        "choices": [choice],
        "usage": draw(usages()),
        "system_fingerprint": draw(st.none() | TEXT),
    }
    if draw(st.booleans()):
        answer["service_tier"] = draw(st.sampled_from(["default", "flex", "priority", None]))
    if draw(st.booleans()):
        answer["x_unknown"] = draw(UNKNOWN)
    return answer


# --- the same as a stream ---------------------------------------------------------------------------------------


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text cut anywhere, into pieces of which some may be empty."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@st.composite
def called(draw: st.DrawFn, index: int, call: Body) -> list[Delta]:
    """The deltas of one tool call: what names it first, then its text."""
    kind = call["type"]
    text = "arguments" if kind == "function" else "input"
    first, *rest = draw(pieces(call[kind][text]))
    opening = {"index": index, **call, kind: {"name": call[kind]["name"], text: first}}
    rest_of_it = [{"tool_calls": [{"index": index, kind: {text: piece}}]} for piece in rest]
    return [{"tool_calls": [opening]}, *rest_of_it]


@st.composite
def deltas(draw: st.DrawFn, message: Body) -> list[Delta]:
    """The deltas of a message, those of its parts taking turns as they like."""
    lines: list[list[Delta]] = [
        [{name: piece} for piece in draw(pieces(message[name]))]
        for name in ("reasoning_content", "content", "refusal")
        if message.get(name) is not None
    ]
    lines += [draw(called(index, call)) for index, call in enumerate(message.get("tool_calls", ()))]
    if function := message.get("function_call"):
        first, *rest = draw(pieces(function["arguments"]))
        begun: Delta = {"function_call": {"name": function["name"], "arguments": first}}
        lines.append([begun, *({"function_call": {"arguments": piece}} for piece in rest)])
    mixed: list[Delta] = []
    while lines := [line for line in lines if line]:
        mixed.append(draw(st.sampled_from(lines)).pop(0))
    opening: Delta = {"role": "assistant", "content": "" if message["content"] is not None else None, "refusal": None}
    return [opening, *mixed]


@st.composite
def streams(draw: st.DrawFn, answer: Body) -> bytes:
    """A valid stream that says what this answer says; usage comes last or with the finish reason."""
    choice = answer["choices"][0]
    envelope: Body = {name: answer[name] for name in ("id", "created", "model", "system_fingerprint")}
    envelope["object"] = "chat.completion.chunk"
    late: Body = {name: answer[name] for name in ("service_tier", "x_unknown") if name in answer}
    beside = {name: value for name, value in choice.items() if name == "x_choice"}
    chunks: list[Body] = [
        {**envelope, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "obfuscation": "xY"}
        for delta in draw(deltas(choice["message"]))
    ]
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"], **beside}
    if draw(st.booleans()):
        last["delta"] = chunks.pop()["choices"][0]["delta"]
    chunks.append({**envelope, "choices": [last], **late})
    if draw(st.booleans()):
        chunks.append({**envelope, "choices": [], "usage": answer["usage"]})
    else:
        chunks[-1]["usage"] = answer["usage"]
    end = draw(st.sampled_from(["\n\n", "\r\n\r\n", "\n: ping\n\n"]))
    events = [json.dumps(chunk, ensure_ascii=draw(st.booleans())) for chunk in chunks]
    return "".join(f"data: {event}{end}" for event in [*events, "[DONE]"]).encode()


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Bytes cut anywhere, also inside a character."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
