"""What a canonical answer or stream says, in the normal form of sdk_answers.py, and what it should say.

Read next: answers.py, which compares; sdk_answers.py, for the form.

``expected`` is written from the providers' and OpenAI's documents, not from the gateway's code, which it judges.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["differences", "expected", "of_answer", "of_chunks"]

Form = dict[str, Any]

OPENAI: Final = ("stop", "length", "tool_calls", "content_filter", "function_call")
#: OpenAI's word for a provider's. A word that is not here has none: any will do, if the provider's own is kept.
FINISH: Final[Mapping[str, str]] = {
    **{word: word for word in OPENAI},
    **dict.fromkeys(("end_turn", "stop_sequence", "STOP"), "stop"),
    **dict.fromkeys(("max_tokens", "MAX_TOKENS", "model_context_window_exceeded", "model_length"), "length"),
    "tool_use": "tool_calls",
    **dict.fromkeys(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"), "content_filter"),
    **dict.fromkeys(("MODEL_ARMOR", "refusal", "guardrail_intervened", "content_filtered"), "content_filter"),
}


def of_answer(body: Mapping[str, Any]) -> Form:
    """What a whole canonical answer says."""
    return {"choices": [choice(one, one["message"]) for one in body["choices"]], "usage": usage(body.get("usage"))}


def choice(one: Mapping[str, Any], message: Mapping[str, Any]) -> Form:
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return {
        "text": message.get("content") or "",
        "reasoning": message.get("reasoning_content") or "",
        "refusal": message.get("refusal"),
        "calls": [{"name": call["name"], "arguments": value_of(call["arguments"])} for call in calls],
        "images": len(message.get("images") or ()),
        "finish": one["finish_reason"],
        "native": one.get("native_finish_reason"),
    }


def of_chunks(chunks: Sequence[Mapping[str, Any]]) -> Form:
    """What a canonical stream says, put together as OpenAI's SDK does it."""
    choices: dict[int, Form] = {}
    counted = None
    for chunk in chunks:
        counted = chunk.get("usage") or counted
        for part in chunk["choices"]:
            put(choices.setdefault(part["index"], {"message": {}, "finish_reason": None}), part)
    return {
        "choices": [choice(choices[index], choices[index]["message"]) for index in sorted(choices)],
        "usage": usage(counted),
    }


def put(one: Form, part: Mapping[str, Any]) -> None:
    """Add a part of a choice to what is known of it."""
    message, delta = one["message"], part["delta"]
    for name in ("content", "reasoning_content", "refusal"):
        if delta.get(name) is not None:
            message[name] = message.get(name, "") + delta[name]
    calls = message.setdefault("tool_calls", [])
    for call in delta.get("tool_calls") or ():
        if call["index"] == len(calls):
            calls.append({"function": {"name": call["function"]["name"], "arguments": ""}})
        calls[call["index"]]["function"]["arguments"] += call["function"].get("arguments") or ""
    message["images"] = message.get("images", []) + delta.get("images", [])
    for name in ("finish_reason", "native_finish_reason"):
        one[name] = part.get(name) or one.get(name)


def value_of(arguments: str) -> Any:
    """Arguments as a JSON value; the text itself where it is none, as when it was cut off."""
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def usage(said: Mapping[str, Any] | None) -> Form | None:
    if said is None:
        return None
    prompt, completion = said.get("prompt_tokens_details") or {}, said.get("completion_tokens_details") or {}
    return {
        "prompt": said["prompt_tokens"],
        "completion": said["completion_tokens"],
        "cached": prompt.get("cached_tokens") or 0,
        "written": prompt.get("cache_write_tokens") or 0,
        "reasoning": completion.get("reasoning_tokens") or 0,
    }


# --- what it should be ------------------------------------------------------------------------------------------


def expected(said: Form) -> Form | None:
    """What the canonical answer should say, from what an SDK read; None when it is no whole answer: a Failure."""
    if not said["choices"] or any(one["finish"] is None for one in said["choices"]):
        return None
    return {"choices": [wanted(one) for one in said["choices"]], "usage": said["usage"]}


def wanted(one: Form) -> Form:
    """A choice with OpenAI's finish reason; ``finish`` None means any, with the provider's word in ``native``."""
    word = one["finish"]
    finish = "content_filter" if word.startswith("blocked: ") else FINISH.get(word)
    if finish == "stop" and one["calls"]:
        finish = "tool_calls"
    refused = word == "refusal" or bool(one["refusal"])
    return {**one, "finish": finish, "native": word if finish is None else None, "refused": refused}


def differences(wanted: Form, found: Form) -> Iterator[str]:
    """What an answer says otherwise than it should."""
    if len(wanted["choices"]) != len(found["choices"]):
        yield f"{len(wanted['choices'])} choices became {len(found['choices'])}"
    for want, got in zip(wanted["choices"], found["choices"], strict=False):
        yield from differences_in(want, got)
    if wanted["usage"] is not None:
        yield from usage_differs(wanted["usage"], found["usage"])


def differences_in(want: Form, got: Form) -> Iterator[str]:
    if want["refused"]:
        if got["text"] or not got["refusal"]:
            yield f"refused: content {got['text']!r:.60}, refusal {got['refusal']!r:.60}"
    elif got["refusal"] is not None:
        yield f"refusal: nobody refused, got {got['refusal']!r:.60}"
    elif want["text"] != got["text"]:
        yield f"text: expected {around(want['text'], got['text'])}"
    if want["reasoning"] != got["reasoning"]:
        yield f"reasoning: expected {around(want['reasoning'], got['reasoning'])}"
    if want["images"] != got["images"]:
        yield f"images: expected {want['images']}, got {got['images']}"
    if not same_calls(want, got):
        yield f"calls: expected {want['calls']!r:.200}, got {got['calls']!r:.200}"
    if want["finish"] is None:
        if got["finish"] not in OPENAI or got["native"] != want["native"]:
            yield f"finish: expected any with native {want['native']}, got {got['finish']} with {got['native']}"
    elif want["finish"] != got["finish"]:
        yield f"finish: expected {want['finish']}, got {got['finish']}"


def same_calls(want: Form, got: Form) -> bool:
    """The same names and arguments; those of a call that was cut off are half a JSON text, of which SDKs guess more."""
    if want["calls"] == got["calls"]:
        return True
    cut = want["finish"] == "length" and len(want["calls"]) == len(got["calls"])
    return bool(cut) and isinstance(got["calls"][-1]["arguments"], str) and want["calls"][:-1] == got["calls"][:-1]


def usage_differs(want: Form, got: Form | None) -> Iterator[str]:
    if got is None:
        yield f"usage: expected {want}, got none"
        return
    for name, count in want.items():
        if count is not None and count != got[name]:
            yield f"usage.{name}: expected {count}, got {got[name]}"


def around(want: str, got: str) -> str:
    """Both, from where they begin to differ."""
    at = next((n for n, (a, b) in enumerate(zip(want, got, strict=False)) if a != b), min(len(want), len(got)))
    return f"at {at} {want[at : at + 60]!r}, got {got[at : at + 60]!r} (lengths {len(want)}, {len(got)})"
