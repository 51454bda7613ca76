"""What a reader of a foreign protocol tells an answer to, and what it came to: the counts that every Feed has.

Read next: chunks.py and whole.py, which write down what is told; foreign.py, which brings readers and these together.

A Tally by itself writes nothing: with it a native answer is read while its bytes go through as they are.
"""

from __future__ import annotations

from typing import Any

from gateway.providers.protocol import Called, Kept, SoFar
from gateway.providers.shapes import size_of
from gateway.types import Usage

__all__ = ["Tally"]


class Tally:
    """An answer being told, in order.

    ``usage``, ``model``, ``id`` and ``reason`` are what was told of them last; ``content`` says that text, reasoning, a
    refusal, a call or an image was told since it was last set to False. ``output_bytes`` counts generated text.
    """

    __slots__ = (
        "_at",
        "_begun",
        "_call_id",
        "_calls",
        "_finished",
        "_kept",
        "_lost",
        "_texts",
        "content",
        "id",
        "model",
        "output_bytes",
        "reason",
        "usage",
    )

    def __init__(self, call_id: str = "") -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.id = ""
        self.reason: str | None = None
        self.output_bytes = 0
        self.content = False
        self._call_id = call_id
        self._at = 0
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._texts: list[str] = []
        self._calls: dict[tuple[int, int], _Call] = {}
        self._kept: dict[str, list[Any]] = {}
        self._lost = False

    # --- what came of it ----------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether a choice was begun and every one that was has finished."""
        return bool(self._finished) and self._begun <= self._finished

    @property
    def so_far(self) -> SoFar | None:
        """What has been said; None when there is anything in it that another answer could not go on from."""
        if self._lost:
            return None
        return SoFar("".join(self._texts), tuple([Called(c.name, "".join(c.pieces)) for c in self._calls.values()]))

    @property
    def kept(self) -> Kept | None:
        """What canonical members cannot say, None when nothing."""
        if not self._kept:
            return None
        return Kept(self._kept, tuple([call.id for call in self._calls.values()]), "".join(self._texts))

    # --- what readers tell --------------------------------------------------------------------------------------

    def begin(self, id: str, model: str | None) -> None:
        """The answer begins; the first telling counts."""
        self.id = self.id or id
        self.model = self.model or model

    def choice(self, index: int) -> None:
        """What follows is told of this choice."""
        self._at = index
        self._lost |= index > 0

    def text(self, text: str) -> None:
        """More of the text."""
        if text:
            self._came(text)
            self._texts.append(text)
            self._lost |= bool(self._calls)

    def reasoning(self, text: str) -> None:
        """More of what was thought before the text."""
        if text:
            self._came(text)

    def refusal(self, text: str) -> None:
        """Why nothing will be said."""
        if text:
            self._came(text)
            self._lost = True

    def call(self, id: str, name: str, *, extra: dict[str, Any] | None = None) -> int:
        """A tool call begins; its index. An empty id is filled in, the same for the same call of the same request."""
        self._came(name)
        index = sum(at == self._at for at, _ in self._calls)
        self._calls[self._at, index] = _Call(id or f"call_{self._call_id}{len(self._calls)}", name)
        return index

    def arguments(self, index: int, text: str) -> None:
        """More of a call's arguments, JSON text."""
        if text:
            self._calls[self._at, index].pieces.append(text)
            self._came(text)

    def annotate(self, annotation: dict[str, Any]) -> None:
        """Something about the text, as ``url_citation`` is."""

    def image(self, url: str) -> None:
        """A picture was made; a data URL."""
        self._came("")
        self._lost = True

    def keep(self, dialect: str, content: list[Any]) -> None:
        """The whole turn in its provider's own words, since it holds what canonical members cannot say."""
        self._kept[dialect] = content

    def used(self, usage: Usage) -> None:
        """The tokens so far; the last telling counts."""
        self.usage = usage

    def finish(self, reason: str, native: str | None = None, stop_sequence: str | None = None) -> None:
        """The choice is finished; the first telling counts.

        ``reason`` is one of shapes.FINISH, ``native`` the provider's word where it is another.
        """
        if self._at in self._finished:
            return
        for (at, index), call in tuple(self._calls.items()):
            if at == self._at and not call.pieces:
                # A call without arguments is one with none.
                self.arguments(index, "{}")
        self._begun.add(self._at)
        self._finished.add(self._at)
        if self.reason is None or self._at == 0:
            self.reason = reason

    def _came(self, text: str) -> None:
        self.content = True
        self._begun.add(self._at)
        self.output_bytes += size_of(text)


class _Call:
    """A tool call as it is told."""

    __slots__ = ("id", "name", "pieces")

    def __init__(self, id: str, name: str) -> None:
        self.id = id
        self.name = name
        self.pieces: list[str] = []
