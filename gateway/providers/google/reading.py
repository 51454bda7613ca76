"""A generateContent answer being read, whole or as a stream, and told to a Tally.

Read next: shapes.py, what is read; turn.py, what is told of each candidate.

The stream has no last word of its own: the close of the connection is the end. It comes as server-sent events, or,
from servers that do not do those, as one JSON array that grows.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import Failure
from gateway.providers.google.elements import Elements
from gateway.providers.google.shapes import CHUNK, CHUNKS, Candidate, Chunk, usage_of
from gateway.providers.google.turn import Turn, word_of
from gateway.providers.shapes import UNREADABLE
from gateway.providers.sse import LARGE_EVENT, Splitter
from gateway.providers.tally import Tally
from gateway.reliability.failures import classify
from gateway.reliability.said import said

__all__ = ["Reading", "read_whole"]

DONE: Final = b"[DONE]"


class Reading:
    """One stream. ``over``: the provider has said that nothing more comes; Google never does, some in between do."""

    __slots__ = ("_pending", "_splitter", "_turns", "over")

    def __init__(self) -> None:
        self.over = False
        self._splitter: Splitter | Elements | None = None
        self._turns: dict[int, Turn] = {}
        self._pending: dict[int, str] = {}

    def read(self, data: bytes, out: Tally) -> Failure | None:
        """Bytes, cut anywhere; what came is told to ``out``. Raises EventTooLarge."""
        for event in self._split(data):
            if event == DONE:
                self.over = True
                break
            try:
                chunk = CHUNK.decode(event)
            except UNREADABLE as error:
                return Failure(
                    kind="garbage", message=f"an event of the stream is no answer of generateContent: {error}"
                )
            if (failure := self.tell(chunk, out)) is not None:
                return failure
        return None

    def close(self, out: Tally) -> Failure | None:
        """The provider closed: the event that was not ended by a blank line, and what waited for the end."""
        for event in self._splitter.close() if self._splitter else ():
            try:
                failure = self.tell(CHUNK.decode(event), out)
            except UNREADABLE:
                continue  # half an event at the end is a cut; whether it matters is known from what came before
            if failure is not None:
                return failure
        self.end(out)
        return None

    def _split(self, data: bytes) -> list[bytes]:
        if self._splitter is None:
            data = data.lstrip()
            if not data:
                return []
            self._splitter = Elements(LARGE_EVENT) if data[:1] in b"[{" else Splitter(LARGE_EVENT)
        return self._splitter.feed(data)

    def tell(self, chunk: Chunk, out: Tally) -> Failure | None:
        """One chunk, or a whole answer."""
        if chunk.error is not None:
            return classify(None, (), said({"error": chunk.error}), in_band=True)
        out.begin(chunk.responseId or "", chunk.modelVersion)
        usage = None if chunk.usageMetadata is None else usage_of(chunk.usageMetadata)
        if usage is not None:
            out.used(usage)
        for candidate in chunk.candidates or ():
            # The oldest models name a reason in every chunk, and count tokens in none of them: there the last counts.
            self._candidate(candidate, out, last=usage is not None)
        if chunk.promptFeedback is not None and not (chunk.candidates or self._turns):
            blocked = word_of(chunk.promptFeedback.blockReason)
            if blocked is not None:
                out.finish("content_filter", blocked)
        return None

    def _candidate(self, candidate: Candidate, out: Tally, *, last: bool) -> None:
        index = candidate.index or 0
        turn = self._turns.get(index)
        if turn is None:
            turn = self._turns[index] = Turn()
        if index or len(self._turns) > 1:
            out.choice(index)
        turn.take(candidate, out)
        word = word_of(candidate.finishReason)
        if word is not None and last:
            self._pending.pop(index, None)
            turn.finish(word, out)
        elif word is not None:
            self._pending[index] = word

    def end(self, out: Tally) -> None:
        """Nothing more comes: finish what had a reason and might have gone on."""
        for index, word in self._pending.items():
            out.choice(index)
            self._turns[index].finish(word, out)
        self._pending.clear()


def read_whole(body: bytes, out: Tally) -> Failure | None:
    """A whole answer, also one that came as an array of chunks."""
    try:
        chunks = CHUNKS.decode(body) if body.lstrip().startswith(b"[") else [CHUNK.decode(body)]
    except UNREADABLE as error:
        return Failure(kind="garbage", message=f"the answer is not one of generateContent: {error}")
    reading = Reading()
    for chunk in chunks:
        if (failure := reading.tell(chunk, out)) is not None:
            return failure
    reading.end(out)
    return None
