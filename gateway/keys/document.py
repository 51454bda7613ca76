"""What is kept of a key that was made at run time. Read next: terms.py, what may be said of one.

``terms`` are what was said of the key when it was made or changed, in the words of the YAML file, and are judged again
by whoever reads them: a later version of the gateway may know more of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import ValidationError

from gateway.config.callers import caller_of
from gateway.config.schema import TermsEntry
from gateway.types import Caller, Key, Team

__all__ = ["Document", "key_of"]


class Document(Struct, frozen=True, omit_defaults=True):
    """A key as it is kept. ``hashes`` are those of its secrets, the newest first; times are Unix times.

    The second of two secrets opens until ``retires_at``; None: until it is retired, or there is another new one.
    """

    terms: dict[str, Any]
    hashes: tuple[str, ...]
    created_at: float
    changed_at: float | None = None
    rotated_at: float | None = None
    retires_at: float | None = None

    def render(self) -> bytes:
        """It as JSON."""
        return msgspec.json.encode(self, order="sorted")

    @classmethod
    def parse(cls, data: bytes) -> Document:
        """It from JSON. Raises msgspec.DecodeError or ValidationError for anything else."""
        return _decode(data)


_decode = msgspec.json.Decoder(Document).decode


def key_of(data: bytes, teams: Mapping[str, Team]) -> Key:
    """The key that a document describes. It opens nothing where its team is gone, or it cannot be read here."""
    try:
        document = Document.parse(data)
        terms = TermsEntry.model_validate(document.terms)
    except (msgspec.DecodeError, ValidationError):
        return Key(Caller("unreadable"), (), enabled=False)
    there = terms.team is None or terms.team in teams
    return Key(caller_of(terms, teams), document.hashes, terms.enabled and there, document.retires_at)
