"""An answer, read as the OpenAI SDKs read it: what they would raise, and what they would take for a good answer.

Read next: caller.py, which does the reading. They take the end of a stream for its success, whatever had come by then,
and raise for an event that is not JSON or has an ``error``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.testing.instance import instance
from gateway.testing.wall.scenarios import TEXT, TOOL

__all__ = ["Events", "Reading"]

ARGUMENTS: Final = instance(TOOL["parameters"])


class Events:
    """The data of the events in a stream of bytes. There is no limit to their size."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of the events that these bytes complete."""
        *blocks, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
            if lines:
                yield b"\n".join(lines)


class Reading:
    """What has been read of one answer. ``error`` is what an SDK would have raised."""

    def __init__(self, *, tool: bool = False) -> None:
        self.status: int | None = None
        self.model: str | None = None
        self.usage = False
        self.error: str | None = None
        self.finish: str | None = None
        self.largest = 0
        self.started = False
        self._tool = tool
        self._text: list[str] = []
        self._called: list[str] = []
        self._arguments: list[str] = []

    def __repr__(self) -> str:
        return f"Reading({self.missing or 'the whole answer'})"

    def event(self, data: bytes) -> bool:
        """One event of a stream. True when an SDK would read no further."""
        self.largest = max(self.largest, len(data))
        if data.startswith(b"[DONE]"):
            return True
        try:
            chunk = msgspec.json.decode(data)
        except msgspec.DecodeError:
            self.error = f"an event is not JSON: {data[:40]!r}"
            return True
        if isinstance(chunk, dict) and chunk.get("error"):
            self.error = f"in the stream: {told(chunk)}"
            return True
        self._take(chunk, "delta")
        return False

    def body(self, data: bytes) -> None:
        """A whole answer of status 200."""
        try:
            self._take(msgspec.json.decode(data), "message")
        except msgspec.DecodeError:
            self.error = f"the body is not JSON: {data[:40]!r}"

    def refusal(self, status: int, data: bytes) -> None:
        """An answer of a status that SDKs raise for."""
        try:
            self.error = f"{status} {told(msgspec.json.decode(data))}"
        except msgspec.DecodeError:
            self.error = f"{status} {data[:40]!r}"

    @property
    def said(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def missing(self) -> str | None:
        """Why this is not the whole answer that a healthy model gives; None when it is."""
        if self._tool:
            return self._missing_call()
        got, wanted = self.said.split(), TEXT.split()
        if got != wanted:
            right = next((n for n, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), len(got))
            return f"{right} of {len(wanted)} words" + (" and then others" if right < len(got) else "")
        return None if self.finish else "the text without a finish reason"

    def _missing_call(self) -> str | None:
        try:
            whole = msgspec.json.decode("".join(self._arguments)) == ARGUMENTS
        except msgspec.DecodeError:
            whole = False
        if self._called != [TOOL["name"]] or not whole:
            return f"a call of {self._called} with {''.join(self._arguments)[:60]!r}"
        return None if self.finish else "the call without a finish reason"

    def _take(self, chunk: Any, part: str) -> None:
        if not isinstance(chunk, dict):
            return
        self.model = chunk.get("model") or self.model
        self.usage = self.usage or bool(chunk.get("usage"))
        for choice in chunk.get("choices") or ():
            self.finish = choice.get("finish_reason") or self.finish
            said = choice.get(part) or {}
            self._text.append(said.get("content") or "")
            for call in said.get("tool_calls") or ():
                self._call(call.get("function") or {})
            self.started = self.started or bool(said.get("content") or said.get("tool_calls"))

    def _call(self, function: Mapping[str, Any]) -> None:
        if function.get("name"):
            self._called.append(function["name"])
        self._arguments.append(function.get("arguments") or "")


def told(body: Any) -> str:
    """An error in OpenAI's envelope, in a few words."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return str(error or body)[:80]
    return str(error.get("code") or error.get("type") or error.get("message"))[:80]
