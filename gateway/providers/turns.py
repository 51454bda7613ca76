"""The messages of a canonical request as turns of typed parts: what every foreign protocol renders from.

Read next: wishes.py, for the rest of a request; docs/translation.md, the canonical form.

Others want a user's turn first, turns that alternate, system apart, results of tools in the turn of the user, and no
empty text. Here that is made once, so that a renderer maps parts to words and nothing else.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.errors import CannotSay

__all__ = [
    "Audio",
    "Called",
    "Document",
    "Image",
    "Own",
    "Part",
    "Result",
    "Text",
    "Turn",
    "cache_of",
    "read",
    "says_the_same",
    "text_at",
]

Cache = Mapping[str, Any] | None


class Text(Struct):
    """Text. ``cache`` is the hint, in Anthropic's words, that all up to here should be cached."""

    text: str
    cache: Cache = None


class Image(Struct):
    """A picture: ``data`` in base64 with its ``media_type``, or a ``url``."""

    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    cache: Cache = None


class Document(Struct):
    """A document: as an Image, or a ``file_id`` that only its provider knows. ``name`` is its file name."""

    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    cache: Cache = None

    def text(self) -> str:
        """The text of a plain-text document. Raises CannotSay when it is not UTF-8."""
        try:
            return base64.b64decode(self.data or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise CannotSay("The text document is not base64 of UTF-8 text.", param="messages") from None


class Own(Document):
    """A block in the words of the protocol that asks, which nobody else can read: only ``read(own=…)`` gives one."""

    block: Mapping[str, Any] = {}


class Audio(Struct):
    """Sound: ``data`` in base64, ``format`` such as wav or mp3."""

    format: str
    data: str
    cache: Cache = None


class Called(Struct):
    """A tool call of the assistant's. ``arguments`` is JSON text; ``extra`` is its ``extra_content``."""

    id: str
    name: str
    arguments: str
    extra: Mapping[str, Any] | None = None
    cache: Cache = None

    def input(self) -> dict[str, Any]:
        """The arguments as an object; text that is none stands in one, since nothing may be lost."""
        try:
            value = msgspec.json.decode(self.arguments or "{}")
        except (msgspec.DecodeError, RecursionError):
            return {"arguments": self.arguments}
        return value if isinstance(value, dict) else {"arguments": value}


class Result(Struct):
    """What a tool gave back for the call ``id``. ``name`` is the tool's, empty when the call is not among the turns."""

    id: str
    name: str
    parts: list[Text | Image | Document]
    error: bool = False
    cache: Cache = None

    def text(self) -> str:
        """Its text alone."""
        return "\n".join([part.text for part in self.parts if isinstance(part, Text)])


Part = Text | Image | Document | Audio | Called | Result


class Turn(Struct):
    """One side's turn.

    ``reasoning`` is what the assistant thought, ``thinking`` the same in Anthropic's blocks where a client has them.
    ``native`` has by a protocol's name the turn in its own words, where all messages of the turn have it.
    """

    role: Literal["user", "assistant"]
    parts: list[Part]
    reasoning: str = ""
    thinking: list[Mapping[str, Any]] = []
    native: dict[str, list[Any]] = {}


def read(fields: Mapping[str, Any], own: str | None = None) -> tuple[list[Text], list[Turn]]:
    """The system's texts in order, and the turns: a user's first, alternating, the results of tools first in theirs.

    ``own`` is the type of the parts that hold blocks in the words of the protocol that asks. Raises CannotSay for parts
    that nothing foreign can take.
    """
    system: list[Text] = []
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for message in fields["messages"]:
        if message["role"] in ("system", "developer"):
            # What comes later is kept in order, but apart: no foreign protocol has a place for it among the turns.
            system += [part for part in parts_of(message, own) if isinstance(part, Text)]
            continue
        turn = turn_of(message, names, own)
        if not (turn.parts or turn.reasoning or turn.thinking or turn.native):
            continue
        if turns and turns[-1].role == turn.role:
            turns[-1] = merged(turns[-1], turn)
        else:
            turns.append(turn)
    if not turns or turns[0].role == "assistant":
        turns.insert(0, Turn("user", [Text("…")] if turns or system else []))
    return system, turns


def turn_of(message: Mapping[str, Any], names: dict[str, str], own: str | None) -> Turn:
    """One message as a turn. ``names`` collects the names of tools by the ids of their calls."""
    role = message["role"]
    if role in ("tool", "function"):
        id = message.get("tool_call_id") or message.get("name") or ""
        return Turn("user", [result_of(message, id, names.get(id) or message.get("name") or "", own)])
    if role == "user":
        return Turn("user", parts_of(message, own))
    calls = list(calls_of(message))
    names |= {call.id: call.name for call in calls}
    extra = message.get("extra_content")
    native = {
        dialect: list(said["content"])
        for dialect, said in (extra.items() if isinstance(extra, dict) else ())
        if isinstance(said, dict) and isinstance(said.get("content"), list)
    }
    thought = message.get("reasoning_content") or message.get("reasoning")
    thinking = message.get("thinking_blocks")
    return Turn(
        "assistant",
        [*parts_of(message, own), *calls],
        thought if isinstance(thought, str) else "",
        [block for block in thinking if isinstance(block, dict)] if isinstance(thinking, list) else [],
        native,
    )


def merged(one: Turn, more: Turn) -> Turn:
    """Two neighbours of one side as one turn. Results come first: their calls wait for them."""
    parts = [*one.parts, *more.parts]
    parts.sort(key=lambda part: not isinstance(part, Result))
    native = {name: [*one.native[name], *more.native[name]] for name in one.native.keys() & more.native.keys()}
    joined = [text for text in (one.reasoning, more.reasoning) if text]
    return Turn(one.role, parts, "\n".join(joined), [*one.thinking, *more.thinking], native)


def parts_of(message: Mapping[str, Any], own: str | None) -> list[Part]:
    """The parts of a message's content; a hint to cache on the message itself is the last part's."""
    content = message.get("content")
    if isinstance(content, str):
        parts: list[Part] = [Text(content)] if content else []
    else:
        parts = [part for said in content or () if (part := part_of(said, own)) is not None]
    if refusal := text_at(message, "refusal", "messages[].refusal"):
        parts.append(Text(refusal))
    if parts and (cache := cache_of(message)) is not None:
        parts[-1].cache = parts[-1].cache or cache
    return parts


def part_of(said: Mapping[str, Any], own: str | None) -> Part | None:
    """One content part; None for an empty text. Raises CannotSay for a kind that is not known."""
    kind, cache = said["type"], cache_of(said)
    if kind in ("text", "refusal", "input_text", "output_text"):
        text = said.get("text") or text_at(said, "refusal", "messages[].content[].refusal")
        return Text(text, cache) if text else None
    inner = said.get(kind)
    if kind == own and isinstance(inner, dict) and isinstance(inner.get("type"), str):
        return Own(block=inner, cache=cache)
    if kind == "image_url":
        url = inner.get("url") if isinstance(inner, dict) else inner
        return Image(**media(url, "messages[].content[].image_url"), cache=cache)
    if kind == "file" and isinstance(inner, dict):
        found = media(inner["file_data"], "messages[].content[].file") if inner.get("file_data") else {}
        place = "messages[].content[].file"
        uploaded, name = text_at(inner, "file_id", place) or None, text_at(inner, "filename", place) or None
        return Document(**found, file_id=uploaded, name=name, cache=cache)
    if kind in ("document_url", "file_url"):
        url = inner.get("url") if isinstance(inner, dict) else inner
        name = text_at(said, "document_name", "messages[].content[]") or None
        return Document(**media(url, f"messages[].content[].{kind}"), name=name, cache=cache)
    if kind == "input_audio" and isinstance(inner, dict):
        return Audio(str(inner.get("format") or "wav"), str(inner.get("data") or ""), cache)
    if kind == "thinking":
        return None
    raise CannotSay(f"A content part of type {kind[:40]!r} has no words at this provider.", param="messages")


def media(url: Any, place: str) -> dict[str, str]:
    """A data URL as its type and data, any other as itself. Raises CannotSay when it is neither."""
    if not isinstance(url, str):
        raise CannotSay(f"{place} is no URL.", param="messages")
    if url[:5].lower() != "data:":
        return {"url": url}
    head, comma, data = url[5:].partition(",")
    media_type, *params = head.split(";")
    if not comma or "base64" not in params:
        raise CannotSay(f"{place} is a data URL that is not base64.", param="messages")
    return {"media_type": media_type.strip().lower() or "text/plain", "data": data}


def calls_of(message: Mapping[str, Any]) -> Iterable[Called]:
    for call in message.get("tool_calls") or ():
        function = call.get("function")
        if not isinstance(function, dict):
            raise CannotSay("A tool call that is no function call has no words at this provider.", param="messages")
        extra = call.get("extra_content")
        yield Called(
            call.get("id") or function["name"],
            function["name"],
            arguments_of(function),
            extra if isinstance(extra, dict) else None,
            cache_of(call),
        )
    if isinstance(legacy := message.get("function_call"), dict):
        # Of the time before ids: the result names the function.
        name = text_at(legacy, "name", "messages[].function_call.name")
        yield Called(name, name, arguments_of(legacy))


def arguments_of(function: Mapping[str, Any]) -> str:
    arguments = function.get("arguments")
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()


def result_of(message: Mapping[str, Any], id: str, name: str, own: str | None) -> Result:
    bare = {member: value for member, value in message.items() if member != "cache_control"}
    parts = [part for part in parts_of(bare, own) if isinstance(part, Text | Image | Document)]
    return Result(id, name, parts, message.get("is_error") is True, cache_of(message))


def cache_of(said: Mapping[str, Any]) -> Cache:
    """The hint to the cache, where it is one."""
    cache = said.get("cache_control")
    return cache if isinstance(cache, dict) else None


def text_at(said: Mapping[str, Any], name: str, place: str) -> str:
    """A member that is text if it is there at all. Raises CannotSay, since nobody has judged it before."""
    value = said.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    raise CannotSay(f"{place}: {name} is no text.", param=place)


def says_the_same(turn: Turn, text: str, calls: Sequence[tuple[str, str, Any]]) -> bool:
    """Whether a turn's own words, of which these are the text and the calls (id, name, arguments), are still its.

    A client may have edited what it sends back; its own members count then.
    """
    said = "".join([part.text for part in turn.parts if isinstance(part, Text)])
    mine = [(part.id, part.name, part.input()) for part in turn.parts if isinstance(part, Called)]
    return said == text and mine == list(calls)
