"""Small repairs, each of one thing that some provider gets wrong: on a decoded answer or chunk, in place.

Read next: rows.py, which lists for every provider the ones it needs. A repair gives True when it changed something.
Nothing is thrown away: a value that has no place in a valid answer moves to a member of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.providers.shapes import FINISH, TIERS

__all__ = ["ALL", "ALL_CHUNK", "Repair"]

Body = dict[str, Any]
Repair = Callable[[Body], bool]

#: What the finish reasons of other protocols are in this one.
FINISH_AS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "functioncall": "tool_calls",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "guardrail_intervened": "content_filter",
    "model_armor": "content_filter",
    "refusal": "content_filter",
    "sensitive": "content_filter",
}
TIER_AS: Final[Mapping[str, str]] = {"on_demand": "default", "standard": "default", "provisioned": "scale"}


def choices(body: Body) -> Iterator[Body]:
    found = body.get("choices")
    if isinstance(found, list):
        yield from (choice for choice in found if isinstance(choice, dict))


def is_whole(body: Body) -> bool:
    return body.get("object") == "chat.completion"


def parts(body: Body) -> Iterator[Body]:
    """The message of every choice of an answer, the delta of every choice of a chunk; some have both."""
    name = "message" if is_whole(body) else "delta"
    for choice in choices(body):
        part = choice.get(name)
        if isinstance(part, dict):
            yield part


def tool_calls(body: Body) -> Iterator[Body]:
    for part in parts(body):
        calls = part.get("tool_calls")
        if isinstance(calls, list):
            yield from (call for call in calls if isinstance(call, dict))


def set_to(place: Body, name: str, value: object) -> bool:
    place[name] = value
    return True


# --- the envelope -----------------------------------------------------------------------------------------------


def answer_object(body: Body) -> bool:
    """``object`` is the word for an answer."""
    return body.get("object") != "chat.completion" and set_to(body, "object", "chat.completion")


def chunk_object(body: Body) -> bool:
    """``object`` is the word for a chunk."""
    return body.get("object") != "chat.completion.chunk" and set_to(body, "object", "chat.completion.chunk")


def created_whole(body: Body) -> bool:
    """``created`` is a whole number of seconds."""
    created = body.get("created")
    if isinstance(created, int):
        return False
    return set_to(body, "created", int(created) if isinstance(created, float) else 0)


def choices_present(body: Body) -> bool:
    """A chunk without choices has an empty list of them."""
    return not isinstance(body.get("choices"), list) and set_to(body, "choices", [])


def tier_known(body: Body) -> bool:
    """``service_tier`` is one that clients know; another one moves to ``native_service_tier``."""
    tier = body.get("service_tier")
    if tier is None or tier in TIERS:
        return False
    body["service_tier"] = TIER_AS.get(str(tier))
    if tier:
        body["native_service_tier"] = tier
    return True


def usage_counted(body: Body) -> bool:
    """Every count in ``usage`` is a number, and what is null is left out."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return False
    changed = cleaned(usage, ("prompt_tokens_details", "completion_tokens_details"))
    for name in ("prompt_tokens", "completion_tokens"):
        changed |= not isinstance(usage.get(name), int) and set_to(usage, name, int(usage.get(name) or 0))
    if not isinstance(usage.get("total_tokens"), int):
        changed = set_to(usage, "total_tokens", usage["prompt_tokens"] + usage["completion_tokens"])
    return changed


def cleaned(usage: Body, details: tuple[str, ...]) -> bool:
    changed = False
    for name in details:
        found = usage.get(name)
        if found is None and name in usage:
            del usage[name]
            changed = True
        elif isinstance(found, dict) and None in found.values():
            usage[name] = {key: value for key, value in found.items() if value is not None}
            changed = True
    return changed


def usage_absent(body: Body) -> bool:
    """A whole answer leaves out a ``usage`` that is null."""
    return "usage" in body and body["usage"] is None and body.pop("usage") is None


# --- choices ----------------------------------------------------------------------------------------------------


def choice_numbered(body: Body) -> bool:
    """Every choice has its ``index``."""
    changed = False
    for position, choice in enumerate(choices(body)):
        changed |= not isinstance(choice.get("index"), int) and set_to(choice, "index", position)
    return changed


def delta_present(body: Body) -> bool:
    """Every choice of a chunk has a ``delta``."""
    changed = False
    for choice in choices(body):
        changed |= not isinstance(choice.get("delta"), dict) and set_to(choice, "delta", {})
    return changed


def finish_present(body: Body) -> bool:
    """Every choice of a chunk has a ``finish_reason``, null until its end."""
    changed = False
    for choice in choices(body):
        if not choice.get("finish_reason", False):
            changed |= choice.get("finish_reason", "") is not None and set_to(choice, "finish_reason", None)
    return changed


def finish_known(body: Body) -> bool:
    """``finish_reason`` is one that clients know; another one moves to ``native_finish_reason``."""
    changed = False
    for choice in choices(body):
        reason = choice.get("finish_reason")
        if reason and reason not in FINISH:
            choice["finish_reason"] = FINISH_AS.get(str(reason).lower(), "stop")
            choice.setdefault("native_finish_reason", reason)
            changed = True
    return changed


def finish_by_content(body: Body) -> bool:
    """A complete answer without a ``finish_reason`` stopped, or called its tools. Only where HTTP says complete."""
    changed = False
    for choice in choices(body):
        if not choice.get("finish_reason"):
            called = isinstance(choice.get("message"), dict) and choice["message"].get("tool_calls")
            changed = set_to(choice, "finish_reason", "tool_calls" if called else "stop")
    return changed


def logprobs_null(body: Body) -> bool:
    """``logprobs`` without any are null, and named in a whole answer."""
    changed = False
    for choice in choices(body):
        found = choice.get("logprobs")
        if isinstance(found, dict):
            if found.get("content") is None and found.get("refusal") is None:
                changed = set_to(choice, "logprobs", None)
            elif not {"content", "refusal"} <= found.keys():
                choice["logprobs"] = {"content": None, "refusal": None, **found}
                changed = True
        elif "logprobs" not in choice and is_whole(body):
            changed = set_to(choice, "logprobs", None)
    return changed


# --- messages and deltas ----------------------------------------------------------------------------------------


def message_members(body: Body) -> bool:
    """A message has its role, and ``content`` and ``refusal`` are null rather than absent."""
    changed = False
    for part in parts(body):
        if part.get("role") != "assistant":
            changed = set_to(part, "role", "assistant")
        for name in ("content", "refusal"):
            changed |= name not in part and set_to(part, name, None)
    return changed


def nulls_absent(body: Body) -> bool:
    """Members that may not be null are absent instead."""
    changed = False
    for part in parts(body):
        for name in ("tool_calls", "function_call", "annotations", "role"):
            if part.get(name, 1) is None:
                del part[name]
                changed = True
    return changed


def content_text(body: Body) -> bool:
    """``content`` in parts becomes text, and thinking among them ``reasoning_content``.

    The parts themselves stay, as ``content_parts``, where there is more to them than these two.
    """
    changed = False
    for part in parts(body):
        pieces = part.get("content")
        if isinstance(pieces, list):
            changed = True
            text, thought = "".join(map(text_of, pieces)), "".join(map(thought_of, pieces))
            part["content"] = text if text or not thought else None
            if thought:
                part.setdefault("reasoning_content", thought)
            if any(kind_of(piece) not in ("text", "thinking") for piece in pieces):
                part["content_parts"] = pieces
    return changed


def kind_of(piece: object) -> object:
    return piece.get("type") if isinstance(piece, dict) else "text"


def text_of(piece: object) -> str:
    if isinstance(piece, str):
        return piece
    return str(piece.get("text") or "") if isinstance(piece, dict) and piece.get("type") == "text" else ""


def thought_of(piece: object) -> str:
    if not isinstance(piece, dict) or piece.get("type") != "thinking":
        return ""
    thoughts = piece.get("thinking")
    return "".join(map(text_of, thoughts)) if isinstance(thoughts, list) else str(thoughts or "")


def reasoning_spelled(body: Body) -> bool:
    """``reasoning`` is also there as ``reasoning_content``, the spelling that every answer of ours has."""
    changed = False
    for part in parts(body):
        thought = part.get("reasoning")
        if isinstance(thought, str) and part.get("reasoning_content") is None:
            changed = set_to(part, "reasoning_content", thought)
    return changed


def annotations_known(body: Body) -> bool:
    """``annotations`` are citations; all others move to ``native_annotations``."""
    changed = False
    for part in parts(body):
        found = part.get("annotations")
        if isinstance(found, list) and any(kind_of(item) != "url_citation" for item in found):
            part["annotations"] = [item for item in found if kind_of(item) == "url_citation"]
            part["native_annotations"] = [item for item in found if kind_of(item) != "url_citation"]
            changed = True
    return changed


# --- tool calls -------------------------------------------------------------------------------------------------


def tool_typed(body: Body) -> bool:
    """A tool call has its type wherever it has its id, and no member that is null."""
    changed = False
    for call in tool_calls(body):
        for place in (call, call.get("function")):
            changed |= isinstance(place, dict) and without_nulls(place)
        if "id" in call and call.get("type") not in ("function", "custom"):
            changed = set_to(call, "type", "function")
    return changed


def without_nulls(place: Body) -> bool:
    nulls = [name for name, value in place.items() if value is None]
    for name in nulls:
        del place[name]
    return bool(nulls)


def tool_arguments(body: Body) -> bool:
    """The arguments of a tool call are text; a call without any has an empty object."""
    changed = False
    whole = is_whole(body)
    for call in tool_calls(body):
        function = call.get("function")
        if not isinstance(function, dict):
            continue
        arguments = function.get("arguments")
        if isinstance(arguments, dict | list):
            changed = set_to(function, "arguments", msgspec.json.encode(arguments).decode())
        elif whole and not isinstance(arguments, str):
            changed = set_to(function, "arguments", "{}")
    return changed


#: Every repair of a whole answer, in the order in which they build on one another.
ALL: Final[tuple[Repair, ...]] = (
    answer_object,
    created_whole,
    choice_numbered,
    nulls_absent,
    message_members,
    content_text,
    reasoning_spelled,
    annotations_known,
    tool_typed,
    tool_arguments,
    finish_known,
    logprobs_null,
    tier_known,
    usage_absent,
    usage_counted,
)

#: Every repair of a chunk.
ALL_CHUNK: Final[tuple[Repair, ...]] = (
    chunk_object,
    created_whole,
    choices_present,
    choice_numbered,
    delta_present,
    nulls_absent,
    content_text,
    reasoning_spelled,
    tool_typed,
    tool_arguments,
    finish_present,
    finish_known,
    logprobs_null,
    tier_known,
    usage_counted,
)
