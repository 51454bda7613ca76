"""What a provider wants back in the next turn, sealed into a block that clients of Anthropic's dialect send back.

Read next: anthropic_answer.py, which seals; anthropic_request.py, which opens.

Such clients return every ``redacted_thinking`` block as it came. Ours hold the ``extra_content`` of a message and of
its tool calls, where Anthropic's words have no place for it; Anthropic itself must never see one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

__all__ = ["Sealed", "is_ours", "opened", "sealed"]

PREFIX: Final = "signalbox:"


class Sealed(Struct, omit_defaults=True):
    """``extra`` is a message's ``extra_content``, ``calls`` that of its tool calls by their ids."""

    extra: dict[str, dict[str, Any]] = {}
    calls: dict[str, dict[str, Any]] = {}


_decoder: Final = msgspec.json.Decoder(Sealed)


def sealed(content: Sealed) -> dict[str, Any]:
    """The block that holds it."""
    return {"type": "redacted_thinking", "data": PREFIX + base64.b64encode(msgspec.json.encode(content)).decode()}


def is_ours(block: Mapping[str, Any]) -> bool:
    """Whether a block was made here: a sealed one, or thinking that nobody has signed."""
    kind = block["type"]
    if kind == "redacted_thinking":
        return str(block.get("data")).startswith(PREFIX)
    return kind == "thinking" and not block.get("signature")


def opened(block: Mapping[str, Any]) -> Sealed:
    """What a sealed block holds; nothing where it has been damaged on its way, which costs the next turn little."""
    try:
        return _decoder.decode(base64.b64decode(block["data"].removeprefix(PREFIX), validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return Sealed()
