"""Files that a request names by their address, and the same request with the files in it. Read next: turns.py.

Some protocols have no words for an address. Whether anything is fetched for them is for ../upstream/fetch.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

__all__ = ["Link", "inlined", "links"]

Fields = Mapping[str, Any]


class Link(Struct, frozen=True):
    """An http or https address that stands in a request, and whether a picture is meant."""

    url: str
    image: bool


def links(fields: Fields) -> list[Link]:
    """Every address in the messages once, in order."""
    found = (link for message in fields["messages"] for part in _parts(message) if (link := _link(part)) is not None)
    return list(dict.fromkeys(found))


def inlined(fields: Fields, data: Mapping[str, str]) -> Fields:
    """The request with these addresses replaced by data URLs."""
    messages = [_message(message, data) for message in fields["messages"]]
    return {**fields, "messages": messages}


def _parts(message: Fields) -> Iterator[Fields]:
    content = message.get("content")
    if isinstance(content, list):
        yield from content


def _link(part: Fields) -> Link | None:
    url = _url(part)
    return Link(url, part["type"] == "image_url") if url is not None and url[:4].lower() == "http" else None


def _url(part: Fields) -> str | None:
    inner = part.get(part["type"])
    url = None
    if part["type"] == "image_url":
        url = inner.get("url") if isinstance(inner, dict) else inner
    elif part["type"] == "file" and isinstance(inner, dict):
        url = inner.get("file_data")
    return url if isinstance(url, str) else None


def _message(message: Fields, data: Mapping[str, str]) -> Fields:
    parts = list(_parts(message))
    if not any(_url(part) in data for part in parts):
        return message
    return {**message, "content": [_part(part, data) for part in parts]}


def _part(part: Fields, data: Mapping[str, str]) -> Fields:
    url = _url(part)
    if url is None or url not in data:
        return part
    kind = part["type"]
    if kind == "file":
        return {**part, kind: {**part[kind], "file_data": data[url]}}
    more = part[kind] if isinstance(part[kind], dict) else {}
    return {**part, kind: {**more, "url": data[url]}}
