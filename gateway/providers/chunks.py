"""An answer told in canonical chunks, as it comes. Read next: tally.py, for what is told."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.providers.shapes import usage_as
from gateway.providers.tally import Tally
from gateway.types import Call, Deployment

__all__ = ["ChunkWriter"]

_json: Final = msgspec.json.Encoder().encode

END: Final = b'},"logprobs":null,"finish_reason":null}]}'


class ChunkWriter(Tally):
    """Makes chunks of what it is told; ``take`` hands them over."""

    __slots__ = ("_begins", "_created", "_deployment", "_events", "_head", "_spoken")

    def __init__(self, call: Call, deployment: Deployment) -> None:
        super().__init__(call.id)
        self._deployment = deployment
        # A request's id begins with the time at which it came, in milliseconds.
        self._created = int(call.id[:12], 16) // 1000
        self._events: list[bytes] = []
        self._head = b""
        self._begins: dict[int, bytes] = {}
        self._spoken: set[int] = set()

    def take(self) -> list[bytes]:
        """The chunks since the last time, each the JSON of one event."""
        events, self._events = self._events, []
        return events

    def usage_chunk(self) -> bytes | None:
        """The chunk that ends a stream for those who asked for usage."""
        if self.usage is None:
            return None
        return _json({**self._envelope(), "choices": [], "usage": usage_as(self.usage)})

    # --- told ---------------------------------------------------------------------------------------------------

    def choice(self, index: int) -> None:
        super().choice(index)
        self._head = self._begins.get(index, b"")

    def text(self, text: str) -> None:
        if text:
            super().text(text)
            self._delta(b'"content":' + _json(text))

    def reasoning(self, text: str) -> None:
        if text:
            super().reasoning(text)
            self._delta(b'"reasoning_content":' + _json(text))

    def refusal(self, text: str) -> None:
        if text:
            super().refusal(text)
            self._delta(b'"refusal":' + _json(text))

    def call(self, id: str, name: str, *, extra: dict[str, Any] | None = None) -> int:
        index = super().call(id, name)
        told = {
            "index": index,
            "id": self._calls[self._at, index].id,
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        if extra:
            told["extra_content"] = extra
        self._delta(b'"tool_calls":[' + _json(told) + b"]")
        return index

    def arguments(self, index: int, text: str) -> None:
        if text:
            super().arguments(index, text)
            self._delta(b'"tool_calls":[{"index":%d,"function":{"arguments":%b}}]' % (index, _json(text)))

    def annotate(self, annotation: dict[str, Any]) -> None:
        self._delta(b'"annotations":[' + _json(annotation) + b"]")

    def image(self, url: str) -> None:
        super().image(url)
        self._delta(b'"images":[' + _json({"type": "image_url", "image_url": {"url": url}}) + b"]")

    def keep(self, dialect: str, content: list[Any]) -> None:
        super().keep(dialect, content)
        self._delta(b'"extra_content":' + _json({dialect: {"content": content}}))

    def finish(self, reason: str, native: str | None = None, stop_sequence: str | None = None) -> None:
        if self._at in self._finished:
            return
        super().finish(reason, native, stop_sequence)
        self._begin_choice()
        choice = {"index": self._at, "delta": {}, "logprobs": None, "finish_reason": reason}
        if native is not None and native != reason:
            choice["native_finish_reason"] = native
        if stop_sequence is not None:
            choice["stop_sequence"] = stop_sequence
        self._events.append(_json({**self._envelope(), "choices": [choice]}))

    # --- written ------------------------------------------------------------------------------------------------

    def _delta(self, members: bytes) -> None:
        head = self._head or self._begin_choice()
        self._events.append(head + members + END)

    def _begin_choice(self) -> bytes:
        """The first chunk of a choice says whose turn it is; what all its others begin with is kept."""
        if self._at in self._begins:
            return self._begins[self._at]
        envelope = _json(self._envelope())[:-1]
        self._head = self._begins[self._at] = b'%b,"choices":[{"index":%d,"delta":{' % (envelope, self._at)
        self._events.append(self._head + b'"role":"assistant","content":""' + END)
        return self._head

    def _envelope(self) -> dict[str, Any]:
        self.id = self.id or f"chatcmpl-{self._call_id}"
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model or self._deployment.model,
        }
