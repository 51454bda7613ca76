"""Turns in Converse's words: blocks of text, pictures, documents, calls of tools and their results.

Read next: request.py; ../turns.py, for what a turn is. Source: Message and ContentBlock in the Amazon Bedrock Runtime
API reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from zlib import crc32

from gateway.errors import CannotSay
from gateway.providers.bedrock.models import Family
from gateway.providers.bedrock.words import DIALECT, SERVER_TOOL, Body
from gateway.providers.members import inner, listed, text_in
from gateway.providers.turns import Audio, Called, Document, Image, Part, Result, Text, Turn, says_the_same

__all__ = ["Speaker", "tool_id"]

IMAGES: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
OFFICE: Final = "application/vnd.openxmlformats-officedocument"
DOCUMENTS: Final[Mapping[str, str]] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/msword": "doc",
    f"{OFFICE}.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{OFFICE}.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/markdown": "md",
    "text/x-markdown": "md",
    "application/json": "txt",
    "application/xml": "txt",
}

#: A turn must have content, and none of it may be blank.
NOTHING: Final = "…"
#: A message with a document must also have a text.
BESIDE: Final = "See the document."

NOT_IN_NAME: Final = re.compile(r"[^0-9A-Za-z\s()\[\]-]+")
BLANKS: Final = re.compile(r"\s+")
MAX_NAME: Final = 200
ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
NOT_IN_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")

#: What a model may be told again of its own turn.
BACK: Final = frozenset({"text", "toolUse", "toolResult", "reasoningContent", "citationsContent"})


class Speaker:
    """Says the turns of one request for one family of models; ``dropped`` names what it had no words for."""

    __slots__ = ("_family", "_names", "dropped")

    def __init__(self, family: Family) -> None:
        self._family = family
        self._names: set[str] = set()
        self.dropped: list[str] = []

    def system(self, texts: list[Text]) -> list[Body]:
        """The system's blocks."""
        return [block for text in texts for block in self._with_cache(text, self._text(text))]

    def messages(self, turns: list[Turn]) -> list[Body]:
        """The messages, as many as there are turns, none of them empty. Raises CannotSay."""
        contents = [self._content(turn) for turn in turns]
        if turns[-1].role == "assistant":
            settled(contents[-1])
        return [{"role": turn.role, "content": content} for turn, content in zip(turns, contents, strict=True)]

    def cache(self, said: Mapping[str, Any] | None, *, among_tools: bool = False) -> list[Body]:
        """The cache point after what was marked, where this model takes one."""
        if not said:
            return []
        if not (self._family.caches_tools if among_tools else self._family.caches):
            self.dropped.append("cache_control")
            return []
        point = {"type": "default"}
        if said.get("ttl") == "1h" and self._family.caches_hour:
            point["ttl"] = "1h"
        elif said.get("ttl") == "1h":
            self.dropped.append("cache_control.ttl")
        return [{"cachePoint": point}]

    # --- a turn -------------------------------------------------------------------------------------------------

    def _content(self, turn: Turn) -> list[Body]:
        own = self._own(turn)
        if own is not None:
            return own
        content = [*self._thoughts(turn)] if turn.role == "assistant" else []
        content += [block for part in turn.parts for block in self._with_cache(part, self._part(part))]
        said = {name for block in content for name in block}
        if "document" in said and "text" not in said:
            content.insert(0, {"text": BESIDE})
        return content or [{"text": NOTHING}]

    def _own(self, turn: Turn) -> list[Body] | None:
        """The turn in the model's own words, where it has them and they still say the same."""
        if turn.role != "assistant" or DIALECT not in turn.native:
            return None
        kept = list(fitting(listed(turn.native[DIALECT]), self._family.vendor))
        if not kept:
            return None
        calls = [
            (text_in(use, "toolUseId"), text_in(use, "name"), use.get("input"))
            for block in kept
            if (use := inner(block, "toolUse")) and use.get("type") != SERVER_TOOL
        ]
        return kept if says_the_same(unspaced(turn), without_blanks("".join(texts_of(kept))), calls) else None

    def _thoughts(self, turn: Turn) -> Iterator[Body]:
        """Of a turn that was edited the thoughts that are signed: the model checks the signature, not what follows."""
        for block in listed(turn.native.get(DIALECT)):
            thought = inner(block, "reasoningContent")
            if is_signed(thought) and self._family.vendor in ("anthropic", ""):
                yield {"reasoningContent": thought}

    def _with_cache(self, part: Part, blocks: list[Body]) -> list[Body]:
        return [*blocks, *self.cache(part.cache)] if blocks else []

    # --- a part -------------------------------------------------------------------------------------------------

    def _part(self, part: Part) -> list[Body]:
        if isinstance(part, Text):
            return self._text(part)
        if isinstance(part, Image):
            return [picture(part)]
        if isinstance(part, Document):
            return [self._document(part)]
        if isinstance(part, Called):
            return [{"toolUse": {"toolUseId": tool_id(part.id), "name": part.name, "input": part.input()}}]
        if isinstance(part, Audio):
            raise CannotSay("Converse takes no audio.", param="messages")
        return [self._result(part)]

    def _text(self, part: Text) -> list[Body]:
        """Text, but for a blank one, which Converse refuses."""
        return [{"text": part.text}] if part.text.strip() else []

    def _result(self, part: Result) -> Body:
        content = [block for inside in part.parts for block in self._part(inside)]
        result: Body = {"toolUseId": tool_id(part.id), "content": content or [{"text": NOTHING}]}
        if part.error and self._family.errors:
            result["status"] = "error"
        elif part.error:
            self.dropped.append("messages[].is_error")
        return {"toolResult": result}

    def _document(self, part: Document) -> Body:
        if part.data is None:
            what = "a document by its address" if part.url else "a document that was uploaded elsewhere"
            raise CannotSay(f"Converse cannot be told of {what}: send its data.", param="messages")
        media_type = part.media_type or ""
        form = DOCUMENTS.get(media_type) or ("txt" if media_type.startswith("text/") else None)
        if form is None:
            raise CannotSay(f"Converse takes no document of type {media_type[:80]!r}.", param="messages")
        return {"document": {"format": form, "name": self._named(part.name), "source": {"bytes": part.data}}}

    def _named(self, name: str | None) -> str:
        """A name that AWS takes and that no other document of the request has."""
        file = (name or "").rpartition("/")[2]
        stem = file.rpartition(".")[0] or file
        clean = BLANKS.sub(" ", NOT_IN_NAME.sub("-", stem)).strip(" -")[: MAX_NAME - 8] or "document"
        unique, nth = clean, 1
        while unique.lower() in self._names:
            nth += 1
            unique = f"{clean} ({nth})"
        self._names.add(unique.lower())
        return unique


def picture(part: Image) -> Body:
    """A picture. Raises CannotSay for one that is elsewhere, or of a type that no model sees."""
    if part.data is None:
        raise CannotSay("Converse cannot be told of a picture by its address: send its data.", param="messages")
    form = IMAGES.get(part.media_type or "")
    if form is None:
        raise CannotSay(f"Converse takes no picture of type {(part.media_type or '')[:80]!r}.", param="messages")
    return {"image": {"format": form, "source": {"bytes": part.data}}}


def tool_id(id: str) -> str:
    """An id that every model takes; one that is too long or has other characters becomes another, always the same."""
    if ID.fullmatch(id):
        return id
    return f"{NOT_IN_ID.sub('_', id)[:55]}_{crc32(id.encode()):08x}"


def texts_of(content: list[Body]) -> Iterator[str]:
    for block in content:
        yield text_in(block, "text")
        for piece in listed(inner(block, "citationsContent").get("content")):
            yield text_in(piece, "text")


def fitting(content: list[Body], vendor: str) -> Iterator[Body]:
    """The blocks of a turn that a model of this vendor understands, whoever said it.

    A conversation may go on with another model: what only Claude can check, or only Nova has asked for, is left out,
    and of a text with citations the text stays. A vendor that is not known gets all.
    """
    for block in content:
        if thought := inner(block, "reasoningContent"):
            if not vendor or is_signed(thought) == (vendor == "anthropic"):
                yield block
        elif cited := inner(block, "citationsContent"):
            home = "anthropic" if cited.get("content") else "amazon"
            if vendor in (home, ""):
                yield block
            else:
                yield from ({"text": text} for text in texts_of([block]) if text.strip())
        elif "toolResult" in block or inner(block, "toolUse").get("type") == SERVER_TOOL:
            if vendor in ("amazon", "") and not is_stored(block):
                yield block
        elif block.keys() & BACK:
            yield block


def is_stored(block: Body) -> bool:
    """Whether a result holds a file of somebody's storage. Nova's own never do, and a client may have written it: it
    would be read in the operator's name.
    """
    found = listed(inner(block, "toolResult").get("content"))
    media = [inner(inner(one, kind), "source") for one in found for kind in ("image", "document", "video")]
    return any("s3Location" in source for source in media)


def is_signed(thought: Body) -> bool:
    return "redactedContent" in thought or bool(inner(thought, "reasoningText").get("signature"))


def unspaced(turn: Turn) -> Turn:
    """A turn to compare by: the blocks of blanks alone, that models put between others, are not kept."""
    parts = [Text(without_blanks(part.text)) if isinstance(part, Text) else part for part in turn.parts]
    return Turn(turn.role, parts)


def without_blanks(text: str) -> str:
    return "".join(text.split())


def settled(content: list[Body]) -> None:
    """The beginning of an answer that is to be gone on with: Claude refuses one that ends in blanks."""
    if "text" in content[-1]:
        content[-1] = {"text": content[-1]["text"].rstrip()}
