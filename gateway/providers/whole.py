"""An answer told as one canonical body. Read next: tally.py, for what is told."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.providers.protocol import Answer
from gateway.providers.shapes import usage_as
from gateway.providers.tally import Tally
from gateway.types import Call, Deployment

__all__ = ["AnswerWriter"]


class AnswerWriter(Tally):
    """Collects what it is told; ``answer`` is all of it, once it is complete."""

    __slots__ = ("_choices", "_created", "_deployment")

    def __init__(self, call: Call, deployment: Deployment) -> None:
        super().__init__(call.id)
        self._deployment = deployment
        self._created = int(call.id[:12], 16) // 1000
        self._choices: dict[int, _Choice] = {}

    def answer(self) -> Answer:
        """All that was told."""
        body: dict[str, Any] = {
            "id": self.id or f"chatcmpl-{self._call_id}",
            "object": "chat.completion",
            "created": self._created,
            "model": self.model or self._deployment.model,
            "choices": [self._body(index, choice) for index, choice in sorted(self._choices.items())],
        }
        if self.usage is not None:
            body["usage"] = usage_as(self.usage)
        return Answer(
            msgspec.json.encode(body), self.model, self.usage, self.reason, self.output_bytes, "openai", self.kept
        )

    @property
    def _now(self) -> _Choice:
        if self._at not in self._choices:
            self._choices[self._at] = _Choice()
        return self._choices[self._at]

    def _body(self, index: int, choice: _Choice) -> dict[str, Any]:
        text, refusal = "".join(choice.texts), "".join(choice.refusals)
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.pieces)},
                **({"extra_content": extra} if (extra := choice.extras.get(nth)) else {}),
            }
            for (at, nth), call in self._calls.items()
            if at == index
        ]
        nothing = bool(calls or refusal or choice.message.get("images"))
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text or (None if nothing else ""),
            "refusal": refusal or None,
        }
        if choice.thoughts:
            message["reasoning_content"] = "".join(choice.thoughts)
        if calls:
            message["tool_calls"] = calls
        return {"index": index, "message": message | choice.message, "logprobs": None, **choice.beside}

    # --- told ---------------------------------------------------------------------------------------------------

    def text(self, text: str) -> None:
        super().text(text)
        self._now.texts.append(text)

    def reasoning(self, text: str) -> None:
        super().reasoning(text)
        if text:
            self._now.thoughts.append(text)

    def refusal(self, text: str) -> None:
        super().refusal(text)
        self._now.refusals.append(text)

    def call(self, id: str, name: str, *, extra: dict[str, Any] | None = None) -> int:
        index = super().call(id, name)
        if extra:
            self._now.extras[index] = extra
        return index

    def annotate(self, annotation: dict[str, Any]) -> None:
        self._now.message.setdefault("annotations", []).append(annotation)

    def image(self, url: str) -> None:
        super().image(url)
        self._now.message.setdefault("images", []).append({"type": "image_url", "image_url": {"url": url}})

    def keep(self, dialect: str, content: list[Any]) -> None:
        super().keep(dialect, content)
        self._now.message.setdefault("extra_content", {})[dialect] = {"content": content}

    def finish(self, reason: str, native: str | None = None, stop_sequence: str | None = None) -> None:
        if self._at in self._finished:
            return
        super().finish(reason, native, stop_sequence)
        beside = self._now.beside
        beside["finish_reason"] = reason
        if native is not None and native != reason:
            beside["native_finish_reason"] = native
        if stop_sequence is not None:
            beside["stop_sequence"] = stop_sequence


class _Choice:
    """One choice: its parts, what else its message has, and what stands beside the message."""

    __slots__ = ("beside", "extras", "message", "refusals", "texts", "thoughts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.refusals: list[str] = []
        self.extras: dict[int, dict[str, Any]] = {}
        self.message: dict[str, Any] = {}
        self.beside: dict[str, Any] = {}
