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
from gateway.providers.protocol import Feed, Piece
from gateway.types import Usage

__all__ = ["Resumed"]

AFTER = b"\n\n"
BEFORE = b"data: "
#: Thinking is done once the text has begun: what a second part thinks is not the client's.
REASONING = ("reasoning", "reasoning_content", "reasoning_details")


class Resumed:
    """A Feed around the Feed that reads the provider.

    ``id`` is the answer's; ``known`` is what went out of it and comes again, empty when the provider goes on from
    there; ``spent`` is what it has used so far. A difference is a ``rejected`` failure: the two answers cannot be one.
    """

    __slots__ = ("_feed", "_id", "_known", "_matched", "_said", "_spent")

    def __init__(self, feed: Feed, *, id: str, known: str, spent: Usage | None = None) -> None:
        self._feed = feed
        self._id = id
        self._known = known
        self._spent = spent
        self._matched = 0
        self._said: list[str] = []

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
        return self._feed.complete and self._matched == len(self._known)

    @property
    def id(self) -> str:
        return self._id

    @property
    def text(self) -> str | None:
        """What has gone out of this part; None when it is more than text."""
        return None if self._feed.text is None else "".join(self._said)

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
                return Piece(failure=chunk)  # nothing new has come before it
            if chunk is not None:
                out.append(BEFORE + msgspec.json.encode(chunk) + AFTER)
        if piece.done and self._matched < len(self._known):
            return Piece(failure=_DIFFERENT)
        return Piece(b"".join(out), piece.content, piece.done, piece.failure)

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
            if self._matched < len(self._known):
                fresh = self._beyond(delta)
                if fresh is None or (choice.get("finish_reason") and self._matched < len(self._known)):
                    return _DIFFERENT
                delta["content"] = fresh
            self._said.append(delta.get("content") or "")
        said = any(choice.get("finish_reason") or any(choice["delta"].values()) for choice in choices)
        return chunk if said or not choices else None

    def _beyond(self, delta: dict[str, Any]) -> str | None:
        """Of an answer made anew, the part of this delta that is new; None when it differs from what went out."""
        text = delta.get("content") or ""
        if any(value for name, value in delta.items() if name != "content"):
            return None
        known = self._known[self._matched : self._matched + len(text)]
        if not text.startswith(known):
            return None
        self._matched += len(known)
        return text[len(known) :]


def _added(usage: dict[str, Any], spent: Usage) -> dict[str, Any]:
    """A provider's figures and those of the parts before."""
    total = {**usage}
    for name, more in (("prompt_tokens", spent.input), ("completion_tokens", spent.output)):
        total[name] = (usage.get(name) or 0) + more
    total["total_tokens"] = total["prompt_tokens"] + total["completion_tokens"]
    for of, name, more in (
        ("prompt_tokens_details", "cached_tokens", spent.cached_input),
        ("completion_tokens_details", "reasoning_tokens", spent.reasoning),
    ):
        if more:
            details = usage.get(of) or {}
            total[of] = {**details, name: (details.get(name) or 0) + more}
    return total


_DIFFERENT = Failure("rejected", "the answer made anew differs from the beginning that the client has")
