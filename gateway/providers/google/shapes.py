"""What a generateContent answer, or a chunk of a stream of them, looks like as far as it is read.

Read next: reading.py. Source: ``GenerateContentResponse`` in the references of the Gemini API and of Vertex.
Members keep the API's own names. Parts stay as they are: they may have to go back word for word.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.types import Usage

__all__ = ["CHUNK", "CHUNKS", "Candidate", "Chunk", "Counts", "usage_of"]

Object = dict[str, Any]

#: ``Modality``, in words and in numbers.
IMAGE: Final = ("IMAGE", 2, "2")
AUDIO: Final = ("AUDIO", 4, "4")


class Counts(Struct):
    """``usageMetadata``. ``candidatesTokenCount`` is None where it was left out: then the total tells.

    The details are lists of ``{modality, tokenCount}``: nothing fails for want of them, so they may be anything.
    """

    promptTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    totalTokenCount: int | None = None
    thoughtsTokenCount: int | None = None
    toolUsePromptTokenCount: int | None = None
    cachedContentTokenCount: int | None = None
    promptTokensDetails: Any = None
    toolUsePromptTokensDetails: Any = None
    cacheTokensDetails: Any = None
    candidatesTokensDetails: Any = None


class Content(Struct):
    parts: list[Object] | None = None


class Candidate(Struct):
    """One of the answers. ``finishReason`` is a word, or its number where enumerations come as numbers."""

    content: Content | None = None
    finishReason: str | int | None = None
    index: int | None = None
    groundingMetadata: Object | None = None
    citationMetadata: Object | None = None


class Feedback(Struct, gc=False):
    blockReason: str | int | None = None


class Chunk(Struct):
    candidates: list[Candidate] | None = None
    usageMetadata: Counts | None = None
    promptFeedback: Feedback | None = None
    modelVersion: str | None = None
    responseId: str | None = None
    error: Any = None


CHUNK: Final = msgspec.json.Decoder(Chunk, strict=False)
CHUNKS: Final = msgspec.json.Decoder(list[Chunk], strict=False)


def usage_of(counts: Counts) -> Usage | None:
    """Tokens in our words: input with what tools brought in and what was cached, output with the thoughts.

    None where nothing was counted.
    """
    if counts.promptTokenCount is None and counts.candidatesTokenCount is None:
        return None
    prompt = (counts.promptTokenCount or 0) + (counts.toolUsePromptTokenCount or 0)
    thoughts = counts.thoughtsTokenCount or 0
    said = counts.candidatesTokenCount
    if said is None:
        said = max(0, (counts.totalTokenCount or 0) - prompt - thoughts)
    return Usage(
        input=prompt,
        output=said + thoughts,
        cached_input=counts.cachedContentTokenCount or 0,
        reasoning=thoughts,
        audio_input=_of(AUDIO, counts.promptTokensDetails) + _of(AUDIO, counts.toolUsePromptTokensDetails),
        cached_audio=_of(AUDIO, counts.cacheTokensDetails),
        audio_output=_of(AUDIO, counts.candidatesTokensDetails),
        image_output=_of(IMAGE, counts.candidatesTokensDetails),
    )


def _of(kind: tuple[str | int, ...], details: Any) -> int:
    """Tokens of one kind."""
    if not details or type(details) is not list:
        return 0
    found = [count.get("tokenCount") for count in details if type(count) is dict and count.get("modality") in kind]
    return sum([count for count in found if type(count) is int and count > 0])
