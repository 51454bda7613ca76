"""Virtual keys: who asks. Read next: pipeline.py, whose first verb this is.

A key reads ``gw_<id>_<secret>``; the configuration holds its id and the SHA-256 of the whole of it. The secret has
256 bits of chance, so that a plain hash of it cannot be searched.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from gateway.errors import Unauthorized
from gateway.types import Caller, World

__all__ = ["ANYBODY", "identify", "mint"]

ANYBODY: Final = Caller("anonymous")
_SECRET_LENGTH: Final = 43
_NO_HASH: Final = "0" * 64
_MAX_LENGTH: Final = 256


def mint(id: str) -> tuple[str, str]:
    """A new key for this id, to be shown once, and the hash of it, to be kept."""
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    key = f"gw_{id}_{secret}"
    return key, digest(key)


def digest(key: str) -> str:
    """Lower-case hex SHA-256 of the whole key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def identify(credential: str | None, world: World) -> Caller:
    """The caller whose key this is.

    Raises Unauthorized, with the same words whatever was wrong, and after the same work whether the id exists.
    """
    if not world.auth:
        return ANYBODY
    if credential is None:
        raise Unauthorized("No API key was given: send it as Authorization: Bearer <key>.", code="missing_api_key")
    entry = world.keys.get(credential[3 : -_SECRET_LENGTH - 1]) if len(credential) <= _MAX_LENGTH else None
    hashes = entry.secret_hashes if entry is not None else (_NO_HASH,)
    given = digest(credential[:_MAX_LENGTH])
    known = any(hmac.compare_digest(given, kept) for kept in hashes)
    if entry is None or not known or not entry.enabled:
        raise Unauthorized("The API key is not valid for this gateway.")
    return entry.caller
