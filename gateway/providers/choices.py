"""Several choices, made of as many answers of one choice. Read next: ../upstream/several.py, which asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gateway.providers.protocol import Answer
from gateway.providers.shapes import usage_as
from gateway.providers.stream import framed
from gateway.types import Call, Deployment, Usage

__all__ = ["Numbering", "alone", "takes_choices", "together", "total"]

_json: Final = msgspec.json.Encoder().encode
BETWEEN: Final = b"\n\n"
BEFORE: Final = b"data: "
#: What all chunks of one answer have in common.
SHARED: Final = ("id", "created", "model", "system_fingerprint", "service_tier")


def takes_choices(deployment: Deployment) -> bool:
    """Whether several choices can be asked for in one call."""
    return deployment.takes_choices


def alone(call: Call, index: int) -> Call:
    """The call for one of its choices. Its id, of which ids of tool calls are made, is another for each."""
    fields = {name: value for name, value in call.fields.items() if name not in ("n", "stream_options")}
    return replace(call, id=f"{call.id}{index:02x}", fields=fields, include_usage=False)


def together(answers: Sequence[Answer]) -> Answer:
    """One canonical answer whose choices are those of all, in order; its usage is the sum."""
    bodies: list[dict[str, Any]] = [msgspec.json.decode(answer.body) for answer in answers]
    usage = total([answer.usage for answer in answers])
    body = {**bodies[0], "choices": [{**one["choices"][0], "index": n} for n, one in enumerate(bodies)]}
    body.pop("usage", None)
    if usage is not None:
        body["usage"] = usage_as(usage)
    size = sum([answer.output_bytes for answer in answers])
    return replace(answers[0], body=_json(body), usage=usage, output_bytes=size, kept=None)


def total(usages: Sequence[Usage | None]) -> Usage | None:
    """The sum, None where one of them is not known."""
    known = [usage for usage in usages if usage is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(usages) else None


class Numbering:
    """Makes one canonical stream of several: each chunk gets its choice's number, and all of them one envelope."""

    __slots__ = ("_shared",)

    def __init__(self) -> None:
        self._shared: dict[str, Any] = {}

    def number(self, data: bytes, index: int) -> bytes:
        """Whole events of the stream of one choice, as those of that choice. Chunks without a choice are left out."""
        events = [event.removeprefix(BEFORE) for event in data.split(BETWEEN) if event.startswith(BEFORE)]
        chunks = [chunk for event in events if (chunk := self._numbered(event, index)) is not None]
        return framed([_json(chunk) for chunk in chunks])

    def usage(self, usage: Usage) -> bytes:
        """The event at the end for those who asked for usage."""
        return framed(
            [_json({**self._shared, "object": "chat.completion.chunk", "choices": [], "usage": usage_as(usage)})]
        )

    def _numbered(self, event: bytes, index: int) -> dict[str, Any] | None:
        chunk: dict[str, Any] = msgspec.json.decode(event)
        if not chunk.get("choices"):
            return None
        if not self._shared:
            self._shared = {name: chunk[name] for name in SHARED if name in chunk}
        for choice in chunk["choices"]:
            choice["index"] = index
        return chunk | self._shared
