"""What all judges of requests share: shapes that refuse what they do not know, and the order of turns.

Read next: anthropic.py, one of them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from tests.upstreams.said import Wrong

__all__ = ["alternate", "bytes_of", "demand", "shaped"]

T = TypeVar("T")


def demand(holds: Any, message: str) -> None:
    """Raises Wrong with the message where it does not hold."""
    if not holds:
        raise Wrong(message)


def shaped(value: Any, shape: type[T]) -> T:
    """The value as this shape. Raises Wrong for members that it does not know, lacks or has otherwise."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise Wrong(str(error)) from None


def alternate(roles: Sequence[str], model: str) -> None:
    """Raises Wrong unless a user's turn is first and turns alternate."""
    expected = ["user", model] * len(roles)
    demand(list(roles) == expected[: len(roles)], f"turns do not alternate from a user's on: {list(roles)}")


def bytes_of(data: str) -> bytes:
    """What stands in base64. Raises Wrong."""
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise Wrong(f"{data[:40]!r} is not base64") from None
