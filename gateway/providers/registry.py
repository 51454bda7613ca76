"""Which protocol a kind of provider speaks.

Read next: rows.py, the providers; protocol.py, what a protocol is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.providers.anthropic.tongue import Anthropic
from gateway.providers.bedrock.tongue import Bedrock
from gateway.providers.foreign import Foreign
from gateway.providers.google.tongue import Google
from gateway.providers.openai import OpenAI
from gateway.providers.protocol import Protocol
from gateway.providers.rows import ROWS, Row

__all__ = ["ROWS", "protocol_of"]

#: To add a protocol: a Tongue in a package of its own, and a line here that makes a Foreign of it.
PROTOCOLS: Final[Mapping[str, Callable[[Row], Protocol]]] = {
    "openai": OpenAI,
    "anthropic": lambda row: Foreign(row, Anthropic(row)),
    "google": lambda row: Foreign(row, Google(row)),
    "bedrock": lambda row: Foreign(row, Bedrock(row)),
}

SPOKEN: Final[Mapping[str, Protocol]] = {kind: PROTOCOLS[row.protocol](row) for kind, row in ROWS.items()}


def protocol_of(kind: str) -> Protocol:
    """The protocol of this kind of provider. Raises KeyError for a kind without a row."""
    return SPOKEN[kind]
