"""Parts of turns in generateContent's words.

Read next: contents.py, which makes contents of them. Source: ``Part`` in the references of the Gemini API and Vertex.
"""

from __future__ import annotations

import posixpath
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from gateway.errors import CannotSay
from gateway.providers.google.shapes import Object
from gateway.providers.turns import Audio, Called, Document, Image, Result, Text

__all__ = ["called", "medium", "result", "said"]

#: Media that Gemini takes, by how an address that leads to one ends.
BY_ENDING: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".gif": "image/gif",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".csv": "text/csv",
    ".xml": "text/xml",
    ".json": "application/json",
    ".wav": "audio/wav",
    ".mp3": "audio/mp3",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".aiff": "audio/aiff",
    ".m4a": "audio/m4a",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
}
#: Names of media types that are in use and that Google does not know.
MEDIA_AS: Final = {"image/jpg": "image/jpeg", "audio/x-wav": "audio/wav"}
#: Where the medium's type is known without it being named.
KNOWN: Final = frozenset({"generativelanguage.googleapis.com", "youtu.be", "youtube.com", "www.youtube.com"})


def said(part: Text | Image | Document | Audio) -> Object:
    """One part of a user's turn. Raises CannotSay."""
    return {"text": part.text} if isinstance(part, Text) else medium(part)


def medium(part: Image | Document | Audio) -> Object:
    """A picture, document or sound: its data, or its address. Raises CannotSay."""
    if isinstance(part, Audio):
        return {"inlineData": {"mimeType": f"audio/{part.format}", "data": part.data}}
    if part.data is not None:
        media_type = part.media_type or "application/octet-stream"
        return {"inlineData": {"mimeType": MEDIA_AS.get(media_type, media_type), "data": part.data}}
    if part.url is not None:
        return {"fileData": addressed(part.url, part.media_type)}
    raise CannotSay(
        "A file id is known to its own provider only; send the file's data or its address.", param="messages"
    )


def addressed(url: str, media_type: str | None) -> Object:
    """A medium by its address, with the type that Google wants to know beforehand. Raises CannotSay."""
    address = urlsplit(url)
    found = media_type or BY_ENDING.get(posixpath.splitext(address.path)[1].lower())
    if found is not None:
        return {"mimeType": found, "fileUri": url}
    if address.hostname in KNOWN:
        return {"fileUri": url}
    raise CannotSay(
        f"Google takes an address only with its media type, and {url[:200]!r} does not tell it; send the data instead.",
        param="messages",
    )


def called(call: Called, *, id: str | None, signature: str | None) -> Object:
    """A function call of the model's. ``id`` is None where the model gave it none."""
    function: Object = {"name": call.name, "args": call.input()}
    if id is not None:
        function["id"] = id
    part: Object = {"functionCall": function}
    if signature is not None:
        part["thoughtSignature"] = signature
    return part


def result(done: Result, *, id: str | None, within: bool) -> list[Object]:
    """What a function gave back, and after it its media, where the model does not take them ``within``."""
    function: Object = {"name": done.name or done.id, "response": response(done)}
    if id is not None:
        function["id"] = id
    media = [medium(part) for part in done.parts if not isinstance(part, Text)]
    if media and within:
        function["parts"] = media
    return [{"functionResponse": function}, *([] if within else media)]


def response(done: Result) -> Object:
    """A result as the object that Google wants: its own where it is one, or under the name that says what it is."""
    text = done.text()
    if done.error:
        return {"error": text}
    if text.lstrip().startswith("{"):
        try:
            value: Any = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return {"output": text}
        return value if isinstance(value, dict) else {"output": text}
    return {"output": text}
