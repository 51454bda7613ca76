"""Recorded provider traffic, where it is there, and what may differ between what was recorded and what we deliver.

Read next: providers/test_recordings.py. The recordings are other people's: they are read in place, never copied.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from msgspec import Struct
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from gateway.providers.rows import ROWS, Row

SHARED = Path(os.environ.get("SIGNALBOX_SHARED", Path(__file__).parents[2] / "shared"))
FOLDER = SHARED / "recordings"


class Recording(Struct, frozen=True):
    """One recorded exchange. ``id`` is stable; ``path`` is where it was asked; ``body`` is the answer's bytes."""

    id: str
    provider: str
    api: str
    model: str | None
    path: str
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    request: dict[str, Any] | None
    body: bytes
    features: frozenset[str]

    @property
    def stream(self) -> bool:
        """Whether the answer is a stream of server-sent events."""
        return "stream" in self.features


def load(provider: str | None = None, api: str | None = "chat.completions") -> Iterator[Recording]:
    """The recorded exchanges of one provider, or of all; skips the test where there are none on this machine."""
    if not files_of(provider):
        pytest.skip(f"no recorded traffic of {provider or 'any provider'}: set SIGNALBOX_SHARED to where it is")
    yield from recorded(provider, api, frames=api is not None)


def files_of(provider: str | None) -> list[Path]:
    return sorted(FOLDER.glob(f"dev/{provider or '*'}.jsonl.gz"))


def recorded(provider: str | None = None, api: str | None = None, *, frames: bool = True) -> Iterator[Recording]:
    """The same, nothing where there are none. ``frames``: also answers in AWS's frames."""
    for file in files_of(provider):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                fields = json.loads(line)
                if api in (None, fields["api"]) and (frames or fields["response_body_encoding"] == "text"):
                    yield recording(fields)


def quoted() -> Iterator[dict[str, Any]]:
    """The error answers quoted in public issues and documentation; skips the test where they are not there."""
    file = FOLDER / "quoted_errors.jsonl"
    if not file.exists():
        pytest.skip("no quoted errors: set SIGNALBOX_SHARED to where the recordings are")
    for line in file.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def recording(fields: dict[str, Any]) -> Recording:
    return Recording(
        id=fields["id"],
        provider=fields["provider"],
        api=fields["api"],
        model=fields["model"],
        path=fields["url_path"],
        status=fields["status"],
        headers=tuple(headers(fields["response_headers"])),
        request=fields["request_json"],
        body=body_of(fields),
        features=frozenset(fields["features"]),
    )


def body_of(fields: dict[str, Any]) -> bytes:
    """The answer's bytes. Those of AWS's frames are kept in base64."""
    body: str = fields["response_body"]
    return base64.b64decode(body) if fields["response_body_encoding"] == "base64" else body.encode()


def headers(named: dict[str, str]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in named.items():
        yield name.lower().encode("latin-1"), str(value).encode("latin-1", "replace")


# --- which row replays whom -------------------------------------------------------------------------------------

#: Recorders name providers in their own way; who has no row of its own is just compatible.
KIND = {"azure": "azure_openai"}


def row_of(provider: str) -> Row:
    """The row that a recording of this provider in OpenAI's protocol is replayed through."""
    row = ROWS.get(KIND.get(provider, provider))
    return row if row is not None and row.protocol == "openai" else ROWS["openai_compatible"]


# --- valid ------------------------------------------------------------------------------------------------------


@cache
def validator(schema: str) -> Draft202012Validator:
    """The validator of one schema of OpenAI's description, loosened where its own answers break it."""
    file = SHARED / "specs" / "openai-openapi-chat-embeddings-models.relaxed.json"
    if not file.exists():
        pytest.skip("no schema to validate with: set SIGNALBOX_SHARED to where it is")
    document = Resource.from_contents(json.loads(file.read_text()), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:openai", document)
    return Draft202012Validator({"$ref": f"urn:openai#/components/schemas/{schema}"}, registry=registry)


def invalid(body: dict[str, Any]) -> list[str]:
    """What OpenAI's schema has against an answer, a chunk or an error body."""
    if "error" in body:
        schema = "ErrorResponse"
    elif body.get("object") == "chat.completion":
        schema = "CreateChatCompletionResponse"
    else:
        schema = "CreateChatCompletionStreamResponse"
    found = validator(schema).iter_errors(body)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:120]}" for error in found]


def skeleton(body: Any, name: str = "") -> Any:
    """What decides whether a body is valid: its shape, and the words that come from a closed set."""
    if isinstance(body, dict):
        return tuple((key, skeleton(value, key)) for key, value in body.items())
    if isinstance(body, list):
        return tuple(skeleton(item) for item in body)
    return body if name in ("object", "finish_reason", "role", "type", "service_tier") else type(body)


# --- nothing lost -----------------------------------------------------------------------------------------------


def events(stream: bytes) -> list[dict[str, Any]]:
    """The JSON events of a stream, read in the plainest way there is."""
    blocks = stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n\n")
    found = ["\n".join(line[5:] for line in b.split("\n") if line.startswith("data:")) for b in blocks]
    return [json.loads(event) for event in found if event.strip() not in ("", "[DONE]")]


def differences(recorded: Recording, delivered: bytes, row: Row, *, include_usage: bool = True) -> list[str]:
    """What the client got that the provider did not say, and what it did not get; nothing for what ``row`` repairs.

    ``delivered`` is the body that the client got; ``include_usage`` says whether its client asked for usage.
    """
    if not recorded.stream:
        return list(compared(json.loads(recorded.body), json.loads(delivered), "", repairs_of(row)))
    return list(streams(events(recorded.body), events(delivered), row, include_usage))


def repairs_of(row: Row) -> frozenset[str]:
    listed = (row.repairs, row.chunk_repairs)
    return frozenset(f.__name__ for which in listed for f in (*which.body, *which.choice, *which.part))


def streams(before: list[dict[str, Any]], after: list[dict[str, Any]], row: Row, include_usage: bool) -> Iterator[str]:
    said = [usage for event in before if (usage := usage_said(event))]
    tail = after.pop() if after and after[-1].get("usage") and not after[-1]["choices"] else None
    if include_usage and said and tail is None:
        yield "the usage did not come last"
    elif tail is not None:
        yield from compared(said[-1] if said else {}, tail["usage"], "usage", repairs_of(row))
        if not include_usage:
            yield "usage came though nobody asked"
    kept = [event for event in before if event.get("choices") or not event.get("usage")]
    if row.finish_by_done and after and after[-1]["choices"] and not after[-1]["choices"][0]["delta"]:
        after.pop()
    if len(kept) != len(after):
        yield f"{len(kept)} chunks became {len(after)}"
    finished: set[int] = set()
    for number, (old, new) in enumerate(zip(kept, after, strict=False)):
        if new.get("usage"):
            yield f"chunk {number}: usage came before the end"
        if old.get("usage"):
            del old["usage"]
        for choice in old.get("choices", ()):
            if choice.get("finish_reason"):
                if choice.get("index", 0) in finished:
                    choice["finish_reason"] = None
                finished.add(choice.get("index", 0))
        yield from compared(old, new, f"chunk {number}", repairs_of(row))


def usage_said(event: dict[str, Any]) -> dict[str, Any] | None:
    places = (event, *event.get("choices", ()), event.get("x_groq") or {})
    return next((place["usage"] for place in places if place.get("usage")), None)


def compared(old: Any, new: Any, path: str, repairs: frozenset[str]) -> Iterator[str]:
    """Every member of ``old`` is in ``new`` with the same value, and nothing else is, but for the repairs listed."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            if name in new and new[name] == value:
                continue
            if allowed(name, value, new, repairs):
                continue
            yield from compared(value, new.get(name), f"{path}.{name}", repairs)
        for name in new.keys() - old.keys():
            if name not in IDENTITY and not repairs & ADDED.get(name, frozenset()):
                yield f"{path}.{name}: added {new[name]!r:.80}"
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from compared(one, other, f"{path}[{position}]", repairs)
    elif old != new:
        yield f"{path}: {old!r:.80} became {new!r:.80}"


def allowed(name: str, value: Any, new: dict[str, Any], repairs: frozenset[str]) -> bool:
    """Whether a repair of this row explains why ``name`` is not ``value`` any more, and the value is still there."""
    if name in IDENTITY and not value:
        return bool(new.get(name))
    if name not in EXPLAINED:
        return False
    repair, still_there = EXPLAINED[name]
    return bool(repairs & repair) and still_there(value, new)


def whole_text(value: Any, new: dict[str, Any]) -> bool:
    """Every text in a list of content parts is in the message, as content or as reasoning."""
    parts = value if isinstance(value, list) else ()
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    thought = "".join(piece["text"] for part in parts if part["type"] == "thinking" for piece in part["thinking"])
    return (new.get("content") or "") == text and (new.get("reasoning_content") or "") == thought


def invalid_tier(value: Any) -> bool:
    return value not in ("auto", "default", "flex", "scale", "priority")


#: Members that every stream has in common: an empty one takes the stream's.
IDENTITY = frozenset({"id", "created", "model", "index"})

Named = frozenset[str]
NULL: tuple[Named, Callable[[Any, dict[str, Any]], bool]] = (
    frozenset({"nulls_absent", "tool_typed", "usage_counted", "usage_absent"}),
    lambda value, new: value is None,
)

#: Changed members: which repairs may, and what must then be true.
EXPLAINED: dict[str, tuple[Named, Callable[[Any, dict[str, Any]], bool]]] = {
    "object": (frozenset({"chunk_object", "answer_object"}), lambda value, new: new["object"].startswith("chat.comp")),
    "service_tier": (
        frozenset({"tier_known"}),
        lambda value, new: (
            new["service_tier"] in (None, "default", "scale") and new.get("native_service_tier", "") == value
        ),
    ),
    "finish_reason": (
        frozenset({"finish_known", "finish_present", "finish_by_content"}),
        lambda value, new: value == new.get("native_finish_reason", "") or (not value and "finish_reason" in new),
    ),
    "content": (frozenset({"content_text"}), whole_text),
    "annotations": (
        frozenset({"annotations_known", "nulls_absent"}),
        lambda value, new: (
            value is None or all(item in new["annotations"] + new["native_annotations"] for item in value)
        ),
    ),
    "logprobs": (
        frozenset({"logprobs_null"}),
        lambda value, new: new["logprobs"] is None and not any(value.values()),
    ),
    "tool_calls": NULL,
    "function_call": NULL,
    "role": NULL,
    "name": NULL,
    "type": NULL,
    "arguments": (frozenset({"tool_typed"}), lambda value, new: value is None),
    "prompt_tokens_details": NULL,
    "completion_tokens_details": NULL,
    "usage": NULL,
    "cached_tokens": NULL,
    "audio_tokens": NULL,
    "reasoning_tokens": NULL,
}

#: Members that may be new, and the repairs that may add them.
ADDED: dict[str, Named] = {
    "object": frozenset({"chunk_object", "answer_object"}),
    "refusal": frozenset({"message_members"}),
    "content": frozenset({"message_members"}),
    "role": frozenset({"message_members"}),
    "logprobs": frozenset({"logprobs_named"}),
    "finish_reason": frozenset({"finish_present", "finish_by_content"}),
    "native_finish_reason": frozenset({"finish_known"}),
    "native_service_tier": frozenset({"tier_known"}),
    "native_annotations": frozenset({"annotations_known"}),
    "reasoning_content": frozenset({"reasoning_spelled", "content_text"}),
    "content_parts": frozenset({"content_text"}),
    "type": frozenset({"tool_typed"}),
    "arguments": frozenset({"tool_arguments_present"}),
    "delta": frozenset({"delta_present"}),
    "choices": frozenset({"choices_listed"}),
    "completion_tokens": frozenset({"usage_counted"}),
}
