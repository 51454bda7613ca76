"""One candidate of an answer while it is told: its parts, and what is said of it once it has finished.

Read next: citations.py; partial.py, for arguments that come in pieces.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.providers.google.citations import citations, listed
from gateway.providers.google.partial import Partial
from gateway.providers.google.shapes import Candidate, Object
from gateway.providers.repairs import FINISH_AS
from gateway.providers.tally import Tally

__all__ = ["Turn", "word_of"]

_json: Final = msgspec.json.Encoder().encode

#: The first reasons, where enumerations come as numbers. What is above differs between AI Studio and Vertex.
NUMBERS: Final = ("", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")
UNSPECIFIED: Final = frozenset({"", "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"})


class Turn:
    """Takes a candidate's parts as they come, and tells them.

    All parts are kept, a text that came in several chunks as one, for a turn with anything that must go back word for
    word: a signature, code that was run, a search, an audio.
    """

    __slots__ = ("_called", "_grounding", "_opaque", "_partial", "_parts", "_recited", "_run", "_texts", "_thought")

    def __init__(self) -> None:
        self._parts: list[Object] = []
        self._run: list[str] = []  # texts that are not in a part yet
        self._thought = False  # whether these are thoughts
        self._texts: list[str] = []
        self._opaque = False
        self._called = False
        self._partial: Partial | None = None
        self._grounding: Object = {}
        self._recited: list[Any] = []

    def take(self, candidate: Candidate, out: Tally) -> None:
        """What came of this candidate in one chunk."""
        for at, part in enumerate((candidate.content and candidate.content.parts) or ()):
            if at:
                self._put_run()  # only from one chunk to the next does a text go on
            self._part(part, out)
        if candidate.groundingMetadata:
            self._grounding.update({name: value for name, value in candidate.groundingMetadata.items() if value})
        if recited := candidate.citationMetadata:
            self._recited += listed(recited.get("citationSources")) or listed(recited.get("citations"))

    def finish(self, word: str, out: Tally) -> None:
        """Nothing more comes: what is known only now, and why it ended."""
        self._end_partial(out)
        for annotation in citations("".join(self._texts), self._grounding, self._recited):
            out.annotate(annotation)
        self.keep(out)
        reason = FINISH_AS.get(word.lower(), "stop")
        native = None if word.lower() == reason else word
        out.finish("tool_calls" if self._called and reason == "stop" else reason, native)

    def keep(self, out: Tally) -> None:
        """Have the whole turn kept, when there is anything in it that canonical members cannot say."""
        self._put_run()
        grounding: list[Object] = [{"groundingMetadata": self._grounding}] if self._grounding else []
        if self._opaque or grounding:
            out.keep("google", [*self._parts, *grounding])

    # --- parts --------------------------------------------------------------------------------------------------

    def _part(self, part: Object, out: Tally) -> None:
        text = part.get("text")
        if isinstance(text, str):
            self._text(part, text, out)
        elif isinstance(call := part.get("functionCall"), dict):
            self._call(part, call, out)
        elif isinstance(blob := part.get("inlineData"), dict):
            self._blob(part, blob, out)
        else:
            self._verbatim(part)
            self._opaque = True

    def _text(self, part: Object, text: str, out: Tally) -> None:
        thought = part.get("thought") is True
        if thought:
            out.reasoning(text)
        else:
            out.text(text)
            self._texts.append(text)
        if len(part) > 1 + thought:
            self._verbatim(part)
            self._opaque = True
            return
        if thought is not self._thought:
            self._put_run()
            self._thought = thought
        self._run.append(text)

    def _verbatim(self, part: Object) -> None:
        self._put_run()
        self._parts.append(part)
        self._opaque |= "thoughtSignature" in part

    def _put_run(self) -> None:
        if text := "".join(self._run):
            self._parts.append({"text": text, "thought": True} if self._thought else {"text": text})
        self._run = []

    def _blob(self, part: Object, blob: Object, out: Tally) -> None:
        self._verbatim(part)
        kind = str(blob.get("mimeType", ""))
        if kind.startswith("image/") and part.get("thought") is not True:
            out.image(f"data:{kind};base64,{blob.get('data', '')}")
        else:
            self._opaque = True

    # --- calls --------------------------------------------------------------------------------------------------

    def _call(self, part: Object, call: Object, out: Tally) -> None:
        if isinstance(name := call.get("name"), str) and name:
            self._end_partial(out)
            self._begin_call(part, call, name, out)
        elif self._partial is not None:
            self._more(call)
            if not call.get("willContinue"):
                self._end_partial(out)

    def _begin_call(self, part: Object, call: Object, name: str, out: Tally) -> None:
        signature = part.get("thoughtSignature")
        extra = {"google": {"thought_signature": signature}} if signature else None
        id = call.get("id")
        index = out.call(id if isinstance(id, str) else "", name, extra=extra)
        self._called = True
        if call.get("willContinue"):
            self._partial = Partial(index)
            kept = {key: value for key, value in call.items() if key not in ("willContinue", "partialArgs")}
            self._verbatim({**part, "functionCall": {**kept, "args": self._partial.arguments}})
            self._more(call)
            return
        self._verbatim(part)
        out.arguments(index, _json(call.get("args") or {}).decode())

    def _more(self, call: Object) -> None:
        for piece in listed(call.get("partialArgs")):
            if isinstance(piece, dict) and self._partial is not None:
                self._partial.take(piece)

    def _end_partial(self, out: Tally) -> None:
        if self._partial is not None:
            out.arguments(self._partial.index, _json(self._partial.arguments).decode())
            self._partial = None


def word_of(reason: str | int | None) -> str | None:
    """The reason in the API's words; None when it names none."""
    if isinstance(reason, int):
        reason = NUMBERS[reason] if 0 <= reason < len(NUMBERS) else str(reason)
    return None if reason is None or reason in UNSPECIFIED else reason
