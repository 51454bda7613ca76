"""Small repairs, each of one thing that some provider gets wrong: on a decoded answer or chunk, in place.

Read next: rows.py, which lists for every provider the ones it needs. A repair takes the whole body, one choice, or
the message or delta of one, and gives True when it changed something. Nothing is thrown away: a value that has no
place in a valid answer moves to a member of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from gateway.providers import mended
from gateway.providers.shapes import FINISH, TIERS, Annotation

__all__ = ["ANSWER", "CHUNK", "Body", "Repair", "Repairs", "calls", "fitted"]

Body = dict[str, Any]
Repair = Callable[[Body], bool]
Shape = TypeVar("Shape")


class Repairs(Struct, frozen=True):
    """The repairs of one provider's answers or chunks: of the body, of each choice, of each choice's ``name``."""

    name: str
    body: tuple[Repair, ...] = ()
    choice: tuple[Repair, ...] = ()
    part: tuple[Repair, ...] = ()

    def apply(self, body: Body) -> bool:
        """Repair it in place; True when anything changed."""
        changed = False
        for repair in self.body:
            changed |= repair(body)
        for choice in body.get("choices") or ():
            for repair in self.choice:
                changed |= repair(choice)
            part = choice.get(self.name)
            if isinstance(part, dict):
                for repair in self.part:
                    changed |= repair(part)
        return changed


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
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "model_armor": "content_filter",
    "refusal": "content_filter",
    "sensitive": "content_filter",
}
#: Parts of a content that become text or reasoning.
SAID: Final = ("text", "output_text", "thinking", "reasoning")
#: Parts of a content that are text, members of a thinking part that hold it, and of an object that hold its words.
TEXT_PARTS: Final = ("text", "output_text")
THOUGHTS: Final = ("thinking", "summary", "reasoning", "text", "content")
WORDS: Final = ("text", "summary", "thinking", "content")
TIER_AS: Final[Mapping[str, str]] = {"on_demand": "default", "standard": "default", "provisioned": "scale"}


def calls(part: Body) -> Sequence[Body]:
    """The tool calls of a message or delta, such as are objects."""
    found = part.get("tool_calls")
    if not found:
        return ()
    return [call for call in found if isinstance(call, dict)] if isinstance(found, list) else ()


def number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


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
    if isinstance(created, int) and not isinstance(created, bool):
        return False
    return set_to(body, "created", int(created) if isinstance(created, float) and isfinite(created) else 0)


def choices_listed(body: Body) -> bool:
    """A body without choices has an empty list of them, and every choice that there is has its ``index``."""
    found = body.get("choices")
    if not isinstance(found, list):
        return set_to(body, "choices", [])
    changed = False
    for position, choice in enumerate(found):
        if isinstance(choice, dict) and not isinstance(choice.get("index"), int):
            whole = mended.whole_number(choice.get("index"))
            changed = set_to(choice, "index", position if whole is None else whole)
    return changed


def tier_known(body: Body) -> bool:
    """``service_tier`` is one that clients know; another one moves to ``native_service_tier``."""
    tier = body.get("service_tier")
    if tier is None or (isinstance(tier, str) and tier in TIERS):
        return False
    body["service_tier"] = TIER_AS.get(str(tier))
    return set_to(body, "native_service_tier", tier) if tier else True


def usage_absent(body: Body) -> bool:
    """A whole answer leaves out a ``usage`` that is null."""
    return "usage" in body and body["usage"] is None and body.pop("usage") is None


def usage_counted(body: Body) -> bool:
    """Every count in ``usage`` is a number, and what is null is left out."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return False
    changed = cleaned(usage)
    for name in ("prompt_tokens", "completion_tokens"):
        changed |= not isinstance(usage.get(name), int) and set_to(usage, name, number(usage.get(name)))
    if not isinstance(usage.get("total_tokens"), int):
        changed = set_to(usage, "total_tokens", usage["prompt_tokens"] + usage["completion_tokens"])
    return changed


def cleaned(usage: Body) -> bool:
    changed = mended.counted(usage)
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        found = usage.get(name, 0)
        if isinstance(found, dict):
            changed |= without_nulls(found) | mended.known_counts(found)
        elif name in usage:
            del usage[name]
            changed = True
    return changed


def without_nulls(place: Body) -> bool:
    nulls = [name for name, value in place.items() if value is None]
    for name in nulls:
        del place[name]
    return bool(nulls)


# --- choices ----------------------------------------------------------------------------------------------------


def delta_present(choice: Body) -> bool:
    """A choice of a chunk has a ``delta``."""
    return not isinstance(choice.get("delta"), dict) and set_to(choice, "delta", {})


def finish_present(choice: Body) -> bool:
    """A choice of a chunk has a ``finish_reason``, null until its end."""
    reason = choice.get("finish_reason", "")
    return not reason and reason is not None and set_to(choice, "finish_reason", None)


def finish_known(choice: Body) -> bool:
    """``finish_reason`` is one that clients know; another one moves to ``native_finish_reason``."""
    reason = choice.get("finish_reason")
    if not reason or (isinstance(reason, str) and reason in FINISH):
        return False
    choice.setdefault("native_finish_reason", reason)
    return set_to(choice, "finish_reason", FINISH_AS.get(str(reason).lower(), "stop"))


def finish_by_content(choice: Body) -> bool:
    """A whole answer without a ``finish_reason`` stopped, or called its tools. Only where HTTP says it is whole."""
    if choice.get("finish_reason"):
        return False
    message = choice.get("message")
    called = isinstance(message, dict) and message.get("tool_calls")
    return set_to(choice, "finish_reason", "tool_calls" if called else "stop")


def logprobs_null(choice: Body) -> bool:
    """``logprobs`` without any are null; those in another form than OpenAI's move to ``native_logprobs``."""
    found = choice.get("logprobs")
    if not isinstance(found, dict):
        return False
    if found.get("content") is None and found.get("refusal") is None and any(found.values()):
        choice["native_logprobs"] = found
    if found.get("content") is None and found.get("refusal") is None:
        return set_to(choice, "logprobs", None)
    return not {"content", "refusal"} <= found.keys() and set_to(
        choice, "logprobs", {"content": None, "refusal": None, **found}
    )


def logprobs_named(choice: Body) -> bool:
    """A choice of a whole answer names its ``logprobs``, null or not."""
    return "logprobs" not in choice and set_to(choice, "logprobs", None)


# --- messages and deltas ----------------------------------------------------------------------------------------


def message_members(part: Body) -> bool:
    """A message has its role, and ``content`` and ``refusal`` are null rather than absent."""
    changed = part.get("role") != "assistant" and set_to(part, "role", "assistant")
    for name in ("content", "refusal"):
        changed |= name not in part and set_to(part, name, None)
    return changed


def nulls_absent(part: Body) -> bool:
    """Members that may not be null are absent instead."""
    changed = False
    for name in ("tool_calls", "function_call", "annotations", "role"):
        if part.get(name, 1) is None:
            del part[name]
            changed = True
    return changed


def content_text(part: Body) -> bool:
    """``content`` in parts becomes text, and thinking among them ``reasoning_content``.

    The parts themselves stay, as ``content_parts``, where there is more to them than these two.
    """
    pieces = part.get("content")
    if isinstance(pieces, dict):
        pieces = [pieces]
    if not isinstance(pieces, list):
        return False
    text, thought = "".join(map(text_of, pieces)), "".join(map(thought_of, pieces))
    part["content"] = text if text or not thought else None
    if thought and not part.get("reasoning_content"):
        part["reasoning_content"] = thought
    if not all(map(is_said, pieces)):
        part["content_parts"] = pieces
    return True


def kind_of(piece: object) -> object:
    return piece.get("type") if isinstance(piece, dict) else "text"


def is_said(piece: object) -> bool:
    """Whether text or reasoning is all that a part is; a signature is more."""
    if not isinstance(piece, dict):
        return isinstance(piece, str)
    inner = piece.get("summary")
    parts = [piece, *(inner if isinstance(inner, list) else ())]
    return piece.get("type") in SAID and not any(isinstance(part, dict) and part.get("signature") for part in parts)


def text_of(piece: object) -> str:
    if isinstance(piece, str):
        return piece
    return str(piece.get("text") or "") if isinstance(piece, dict) and piece.get("type") in TEXT_PARTS else ""


def thought_of(piece: object) -> str:
    """The thoughts in a part: Mistral's ``thinking``, or Databricks' ``reasoning`` with its ``summary``."""
    if not isinstance(piece, dict) or piece.get("type") not in ("thinking", "reasoning"):
        return ""
    thoughts = next((piece[name] for name in THOUGHTS if piece.get(name)), "")
    return "".join(map(worded, thoughts)) if isinstance(thoughts, list) else worded(thoughts)


def worded(thought: object) -> str:
    """The text of a thought, which may be the member of an object: of a summary, or of Heroku's ``reasoning``."""
    if isinstance(thought, dict):
        return next((text for name in WORDS if isinstance(text := thought.get(name), str) and text), "")
    return thought if isinstance(thought, str) else ""


def reasoning_spelled(part: Body) -> bool:
    """``reasoning`` is also there as ``reasoning_content``, the spelling that every answer of ours has.

    It may be an object, and where there is none the ``reasoning_details`` tell.
    """
    if part.get("reasoning_content") is not None:
        return False
    thought = part.get("reasoning")
    if isinstance(thought, str):
        return set_to(part, "reasoning_content", thought)
    details = part.get("reasoning_details")
    said = worded(thought) or ("".join(map(worded, details)) if isinstance(details, list) else "")
    return bool(said) and set_to(part, "reasoning_content", said)


def annotations_known(part: Body) -> bool:
    """``annotations`` are citations; all others move to ``native_annotations``."""
    found = part.get("annotations")
    if not isinstance(found, list):
        return False
    changed = sum(mended.cited(item) for item in found) > 0
    others = [item for item in found if not mended.fits(item, Annotation)]
    if not others:
        return changed
    part["native_annotations"] = others
    return set_to(part, "annotations", [item for item in found if mended.fits(item, Annotation)])


# --- tool calls -------------------------------------------------------------------------------------------------


def tool_typed(part: Body) -> bool:
    """A tool call has its type wherever it has its id, and no member that is null."""
    changed = False
    for call in calls(part):
        changed |= without_nulls(call)
        if isinstance(call.get("function"), dict):
            changed |= without_nulls(call["function"])
        if "id" in call and call.get("type") not in ("function", "custom"):
            changed = set_to(call, "type", "function")
    return changed


def tool_arguments(part: Body) -> bool:
    """The arguments of a tool call are text."""
    changed = False
    for call in calls(part):
        function = call.get("function")
        if isinstance(function, dict) and isinstance(function.get("arguments"), dict | list):
            changed = set_to(function, "arguments", msgspec.json.encode(function["arguments"]).decode())
    return changed


def tool_arguments_present(part: Body) -> bool:
    """A tool call of a whole answer without any arguments has an empty object of them."""
    changed = False
    for call in calls(part):
        function = call.get("function")
        if isinstance(function, dict) and not isinstance(function.get("arguments"), str):
            changed = set_to(function, "arguments", "{}")
    return changed


#: Every repair of a whole answer, in the order in which they build on one another.
ANSWER: Final = Repairs(
    "message",
    body=(
        answer_object,
        created_whole,
        choices_listed,
        tier_known,
        usage_absent,
        usage_counted,
        mended.error_absent,
        mended.envelope_typed,
    ),
    choice=(finish_known, logprobs_null, mended.logprobs_typed, logprobs_named),
    part=(
        mended.texts_typed,
        mended.audio_typed,
        nulls_absent,
        message_members,
        content_text,
        reasoning_spelled,
        annotations_known,
        tool_typed,
        tool_arguments,
        tool_arguments_present,
    ),
)

#: Every repair of a chunk.
CHUNK: Final = Repairs(
    "delta",
    body=(
        chunk_object,
        created_whole,
        choices_listed,
        tier_known,
        usage_counted,
        mended.error_absent,
        mended.envelope_typed,
    ),
    choice=(delta_present, finish_present, finish_known, logprobs_null, mended.logprobs_typed),
    part=(
        mended.texts_typed,
        nulls_absent,
        mended.known_role,
        content_text,
        reasoning_spelled,
        tool_typed,
        tool_arguments,
    ),
)


def fitted(body: Body, known: Repairs, shape: type[Shape]) -> tuple[Shape, bool]:
    """A body after the ``known`` repairs as a valid answer or chunk, and whether it took more than those.

    Providers change without notice: what still does not fit gets every repair there is, and reasoning has our spelling
    whoever thought. Raises ValidationError when that does not help either.
    """
    try:
        found = msgspec.convert(body, shape)
    except msgspec.ValidationError:
        (ANSWER if known.name == ANSWER.name else CHUNK).apply(body)
        return msgspec.convert(body, shape), True
    parts = (choice.get(known.name) for choice in body.get("choices") or ())
    spelled = sum(isinstance(part, dict) and reasoning_spelled(part) for part in parts) > 0
    return (msgspec.convert(body, shape), True) if spelled else (found, False)
