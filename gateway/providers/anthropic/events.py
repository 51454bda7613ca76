"""The events of a Messages stream that come often, typed, so that each is decoded once and into little.

Read next: reading.py. Source: Anthropic's published description of streaming Messages (2023-06-01).

What has no type here, and what comes with a delta that is not known, is decoded again without types: rare, and kept.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

__all__ = [
    "EVENT",
    "BlockStarted",
    "BlockStopped",
    "Changed",
    "Grown",
    "Json",
    "Ping",
    "Signature",
    "Started",
    "Stopped",
    "Text",
    "Thinking",
]


class Text(Struct, tag="text_delta", gc=False):
    text: str


class Json(Struct, tag="input_json_delta", gc=False):
    partial_json: str


class Thinking(Struct, tag="thinking_delta", gc=False):
    thinking: str


class Signature(Struct, tag="signature_delta", gc=False):
    signature: str


class Grown(Struct, tag="content_block_delta"):
    index: int
    delta: Text | Json | Thinking | Signature


class Started(Struct, tag="message_start"):
    message: dict[str, Any]


class BlockStarted(Struct, tag="content_block_start"):
    index: int
    content_block: dict[str, Any]


class BlockStopped(Struct, tag="content_block_stop", gc=False):
    index: int


class Changed(Struct, tag="message_delta"):
    delta: dict[str, Any] = {}
    usage: dict[str, Any] | None = None


class Stopped(Struct, tag="message_stop", gc=False):
    pass


class Ping(Struct, tag="ping", gc=False):
    pass


EVENT: Final = msgspec.json.Decoder(Started | BlockStarted | Grown | BlockStopped | Changed | Stopped | Ping)
