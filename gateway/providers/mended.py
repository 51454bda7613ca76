"""Repairs of values that have another type than they should: numbers with a point, objects where a text is due.

Read next: repairs.py, which applies them last, where nothing else has made an answer valid. None of these is known of
one provider; they are what languages without whole numbers, and servers without types, write.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.providers.shapes import Audio, Logprobs

__all__ = [
    "audio_typed",
    "call_ids",
    "cited",
    "counted",
    "envelope_typed",
    "error_absent",
    "fits",
    "known_counts",
    "known_role",
    "logprobs_typed",
    "texts_typed",
    "whole_number",
]

Body = dict[str, Any]

ROLES: Final = frozenset({"assistant", "developer", "system", "user", "tool"})
#: The counts that usage has inside.
DETAILS: Final = ("prompt_tokens_details", "completion_tokens_details")
COUNTS: Final = (
    *("cached_tokens", "cache_write_tokens", "audio_tokens", "text_tokens", "image_tokens", "reasoning_tokens"),
    *("accepted_prediction_tokens", "rejected_prediction_tokens"),
)
#: What may stand beside the choices, and of which type.
BESIDE: Final[Body] = {"system_fingerprint": str | None, "obfuscation": str, "metadata": dict[str, str] | None}
#: Members of a message or delta that are texts, or null.
TEXTS: Final = ("refusal", "reasoning_content")


def whole_number(value: object) -> int | None:
    """A whole number, also where it was written with a point; None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def counted(usage: Body) -> bool:
    """The counts in usage are whole numbers, however they were written."""
    changed = sum(pointless(usage, name) for name in tuple(usage)) > 0
    for name in DETAILS:
        found = usage.get(name)
        if isinstance(found, dict):
            changed |= sum(pointless(found, inner) for inner in tuple(found)) > 0
    return changed


def pointless(place: Body, name: str) -> bool:
    """A float that is a whole number becomes one."""
    value = place.get(name)
    if not isinstance(value, float) or (whole := whole_number(value)) is None:
        return False
    place[name] = whole
    return True


def known_counts(details: Body) -> bool:
    """Of the counts that have a name what is no number is left out."""
    wrong = [name for name in COUNTS if name in details and whole_number(details[name]) is None]
    for name in wrong:
        del details[name]
    return bool(wrong)


def envelope_typed(body: Body) -> bool:
    """``id`` and ``model`` are texts, and what else stands beside the choices has its type or another name."""
    changed = False
    for name in ("id", "model"):
        value = body.get(name)
        if value is not None and not isinstance(value, str):
            body[name] = str(value)
            changed = True
    for name, shape in BESIDE.items():
        changed |= name in body and not fits(body[name], shape) and moved(body, name)
    return changed


def fits(value: object, shape: Any) -> bool:
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return False
    return True


def moved(place: Body, name: str) -> bool:
    """The member becomes one of its own, ``native_…``."""
    place[f"native_{name}"] = place.pop(name)
    return True


def error_absent(body: Body) -> bool:
    """An answer that is no error does not speak of one."""
    return "error" in body and body["error"] is None and body.pop("error") is None


def logprobs_typed(choice: Body) -> bool:
    """Tokens with their ``bytes`` and ``top_logprobs``; any other form of ``logprobs`` moves to ``native_logprobs``."""
    found = choice.get("logprobs")
    if found is None or fits(found, Logprobs):
        return False
    for token in listed(found.get("content")) if isinstance(found, dict) else ():
        for likely in (token, *listed(token.get("top_logprobs"))):
            likely.setdefault("bytes", None)
        token["top_logprobs"] = token.get("top_logprobs") or []
    if not fits(found, Logprobs):
        moved(choice, "logprobs")
        choice["logprobs"] = None
    return True


def audio_typed(part: Body) -> bool:
    """``audio`` that lacks something that it must have moves to ``native_audio``."""
    return "audio" in part and not fits(part["audio"], Audio | None) and moved(part, "audio")


def cited(annotation: object) -> bool:
    """A citation without a title or its place has its address for the one, and the beginning for the other."""
    cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
    if not isinstance(cited, dict) or not isinstance(url := cited.get("url"), str):
        return False
    changed = False
    for name, otherwise in (("start_index", 0), ("end_index", 0), ("title", url)):
        if cited.get(name) is None:
            cited[name] = otherwise
            changed = True
    return changed


def known_role(part: Body) -> bool:
    """A role that is none is left out: whose turn it is, everybody knows."""
    role = part.get("role", "assistant")
    if isinstance(role, str) and role in ROLES:
        return False
    del part["role"]
    return True


def texts_typed(part: Body) -> bool:
    """What should be a text and is not is kept beside it, under ``native_…``."""
    changed = False
    for name in TEXTS:
        value = part.get(name)
        if value is not None and not isinstance(value, str):
            part[f"native_{name}"] = value
            part[name] = None
            changed = True
    return changed


def call_ids(part: Body, start: str) -> bool:
    """Every tool call of a message has an id: where the provider gave none it is ``start`` and the call's number."""
    changed = False
    for number, call in enumerate(listed(part.get("tool_calls"))):
        if not (isinstance(call.get("id"), str) and call["id"]):
            call["id"] = f"{start}{number}"
            changed = True
    return changed


def listed(value: object) -> list[Body]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
