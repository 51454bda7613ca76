"""What an answer is grounded on, as OpenAI's ``url_citation`` annotations.

Read next: turn.py. Source: ``GroundingMetadata`` and ``CitationMetadata`` in the reference of generateContent. Their
places are counted in bytes of UTF-8, OpenAI's in characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.providers.members import inner

__all__ = ["citations"]

Mapped = Mapping[str, Any]

#: Where a source of grounding has its address and title.
SOURCES: Final = ("web", "maps", "retrievedContext")


def citations(text: str, grounding: Mapped, recited: list[Any]) -> list[dict[str, Any]]:
    """An annotation for each part of the text that rests on a source with an address, each said once."""
    raw = text.encode("utf-8", "replace")
    found: list[dict[str, Any]] = []
    for start, end, source in (*supported(text, raw, grounding), *named(raw, recited)):
        cited = {"start_index": start, "end_index": end, **source}
        if cited not in found:
            found.append(cited)
    return [{"type": "url_citation", "url_citation": cited} for cited in found]


def supported(text: str, raw: bytes, grounding: Mapped) -> Iterator[tuple[int, int, dict[str, str]]]:
    sources = [source_of(chunk) for chunk in listed(grounding.get("groundingChunks"))]
    supports = [support for support in listed(grounding.get("groundingSupports")) if isinstance(support, dict)]
    for support in supports:
        start, end = place(text, raw, inner(support, "segment"))
        for index in listed(support.get("groundingChunkIndices")):
            if isinstance(index, int) and 0 <= index < len(sources) and (source := sources[index]) is not None:
                yield start, end, source
    if not supports:
        yield from ((0, len(text), source) for source in sources if source is not None)


def source_of(chunk: Any) -> dict[str, str] | None:
    for name in SOURCES:
        source = chunk.get(name) if isinstance(chunk, dict) else None
        if isinstance(source, dict) and isinstance(uri := source.get("uri"), str) and uri:
            return {"url": uri, "title": str(source.get("title") or uri)}
    return None


def place(text: str, raw: bytes, segment: Mapped) -> tuple[int, int]:
    """From where to where a segment reaches, in characters.

    Its bytes are counted within one part of the answer, and an answer may have several: its own text decides.
    """
    start, end = (number(segment.get(name)) for name in ("startIndex", "endIndex"))
    first, last = characters(raw, start), characters(raw, end)
    said = segment.get("text")
    if isinstance(said, str) and said and text[first:last] != said and (found := text.find(said)) >= 0:
        return found, found + len(said)
    return first, last


def named(raw: bytes, recited: list[Any]) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Sources that a text was found in, word for word."""
    for source in recited:
        if isinstance(source, dict) and isinstance(uri := source.get("uri"), str) and uri:
            start, end = (characters(raw, number(source.get(name))) for name in ("startIndex", "endIndex"))
            yield start, end, {"url": uri, "title": str(source.get("title") or uri)}


def characters(raw: bytes, count: int) -> int:
    return len(raw[:count].decode("utf-8", "ignore"))


def number(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
