"""A stream that goes on where another one broke off, made to look like one answer. Read next: stream.py.

The client has seen the head of an answer; what is read here is the rest of it, or all of it anew. Chunks get the
identity of the answer that the client knows, its role and its reasoning are not said twice, and of an answer made anew
the part that has gone out already is left out, as long as it is the same, character for character. The usage at the
end is that of all parts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import Failure
from gateway.providers.protocol import Called, Feed, Kept, Piece, SoFar
from gateway.types import Usage

__all__ = ["Resumed"]

AFTER = b"\n\n"
BEFORE = b"data: "
#: Thinking is done once the text has begun: what a second part thinks is not the client's.
REASONING = ("reasoning", "reasoning_content", "reasoning_details")


class Resumed:
    """A Feed around the Feed that reads the provider.

    ``id`` is the answer's; ``known`` is what went out of it and comes again, nothing when the provider goes on from
    there; ``spent`` is what it has used so far. A difference is a ``rejected`` failure: the two answers cannot be one.
    """

    __slots__ = ("_arguments", "_calls", "_feed", "_id", "_known", "_matched", "_said", "_spent")

    def __init__(self, feed: Feed, *, id: str, known: SoFar, spent: Usage | None = None) -> None:
        self._feed = feed
        self._id = id
        self._known = known
        self._spent = spent
        self._matched = 0  # characters of the known text
        self._arguments = [0] * len(known.calls)  # and of the known arguments of each call, after its name
        self._said: list[str] = []
        self._calls: list[Called] = []

    @property
    def dialect(self) -> str:
        return self._feed.dialect

    @property
    def kept(self) -> Kept | None:
        """Nothing: what the provider would want back belongs to a turn that it has only a part of."""
        return None

    @property
    def usage(self) -> Usage | None:
        return self._feed.usage

    @property
    def model(self) -> str | None:
        return self._feed.model

    @property
    def finish(self) -> str | None:
        return self._feed.finish

    @property
    def output_bytes(self) -> int:
        return self._feed.output_bytes

    @property
    def complete(self) -> bool:
        return self._feed.complete and self._all_matched

    @property
    def id(self) -> str:
        return self._id

    @property
    def so_far(self) -> SoFar | None:
        """What has gone out of this part; of a call that another part had begun, what came after that."""
        return None if self._feed.so_far is None else SoFar("".join(self._said), tuple(self._calls))

    def feed(self, data: bytes) -> Piece:
        """As Feed.feed."""
        return self._fit(self._feed.feed(data))

    def close(self) -> Piece:
        """As Feed.close."""
        return self._fit(self._feed.close())

    def _fit(self, piece: Piece) -> Piece:
        out: list[bytes] = []
        for event in piece.data.removesuffix(AFTER).split(AFTER) if piece.data else ():
            chunk = self._edited(msgspec.json.decode(event.removeprefix(BEFORE)))
            if isinstance(chunk, Failure):
                return Piece(b"".join(out), bool(out), failure=chunk)
            if chunk is not None:
                out.append(BEFORE + msgspec.json.encode(chunk) + AFTER)
        if piece.done and not self._all_matched:
            return Piece(failure=_DIFFERENT)
        return Piece(b"".join(out), piece.content, piece.done, piece.failure)

    @property
    def _all_matched(self) -> bool:
        known = self._known
        lengths = [len(call.arguments) for call in known.calls]
        return self._matched == len(known.text) and all(a >= b for a, b in zip(self._arguments, lengths, strict=True))

    def _edited(self, chunk: dict[str, Any]) -> dict[str, Any] | Failure | None:
        """The chunk as the client is to see it; nothing when all of it has been seen."""
        chunk["id"] = self._id
        if chunk.get("usage") and self._spent is not None:
            chunk["usage"] = _added(chunk["usage"], self._spent)
        choices = chunk.get("choices") or ()
        for choice in choices:
            delta = choice["delta"]
            for name in ("role", *REASONING):
                delta.pop(name, None)
            if not self._fresh(delta) or (choice.get("finish_reason") and not self._all_matched):
                return _DIFFERENT
            self._note(delta)
        said = any(choice.get("finish_reason") or any(choice["delta"].values()) for choice in choices)
        return chunk if said or not choices else None

    def _note(self, delta: dict[str, Any]) -> None:
        """This goes out."""
        self._said.append(delta.get("content") or "")
        for call in delta.get("tool_calls") or ():
            index, function = call["index"], call.get("function") or {}
            self._calls += [Called("")] * (index + 1 - len(self._calls))
            before = self._calls[index]
            name, arguments = before.name or function.get("name") or "", function.get("arguments") or ""
            self._calls[index] = Called(name, before.arguments + arguments)

    def _fresh(self, delta: dict[str, Any]) -> bool:
        """Leave in a delta what is new of it. False when it differs from what has gone out."""
        text = delta.get("content") or ""
        if self._matched < len(self._known.text):
            known = self._known.text[self._matched : self._matched + len(text)]
            if not text.startswith(known) or any(value for name, value in delta.items() if name != "content"):
                return False
            self._matched += len(known)
            delta["content"] = text[len(known) :]
            return True
        if text and not self._all_matched:
            return False
        if calls := delta.get("tool_calls"):
            fresh = [self._fresh_call(call) for call in calls]
            delta["tool_calls"] = [call for call in fresh if call]
            if not delta["tool_calls"]:
                del delta["tool_calls"]
            return None not in fresh
        return True

    def _fresh_call(self, call: dict[str, Any]) -> dict[str, Any] | None:
        """What is new of a piece of a call, empty when nothing is; None when it differs from the call that began."""
        index = call["index"]
        if index >= len(self._known.calls):
            return call if self._all_matched else None
        known, at = self._known.calls[index], self._arguments[index]
        function = call.get("function") or {}
        arguments = function.get("arguments") or ""
        again = known.arguments[at : at + len(arguments)]
        if function.get("name", known.name) not in ("", known.name) or not arguments.startswith(again):
            return None
        self._arguments[index] += len(arguments)
        fresh = arguments[len(again) :]
        # The client knows this call by the id that it was given first.
        return {"index": index, "function": {"arguments": fresh}} if fresh else {}


def _added(usage: dict[str, Any], spent: Usage) -> dict[str, Any]:
    """A provider's figures and those of the parts before."""
    total = {**usage}
    for name, more in (("prompt_tokens", spent.input), ("completion_tokens", spent.output)):
        total[name] = (usage.get(name) or 0) + more
    total["total_tokens"] = total["prompt_tokens"] + total["completion_tokens"]
    for of, name, more in (
        ("prompt_tokens_details", "cached_tokens", spent.cached_input),
        ("prompt_tokens_details", "audio_tokens", spent.audio_input),
        ("completion_tokens_details", "reasoning_tokens", spent.reasoning),
        ("completion_tokens_details", "audio_tokens", spent.audio_output),
        ("completion_tokens_details", "image_tokens", spent.image_output),
    ):
        if more:
            details = usage.get(of) or {}
            total[of] = {**details, name: (details.get(name) or 0) + more}
    return total


_DIFFERENT = Failure("rejected", "the answer made anew differs from the beginning that the client has")
