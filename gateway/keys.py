"""Virtual keys: who asks. Read next: pipeline.py, whose first verb this is.

The configuration holds the SHA-256 of each key. A key made here has 256 bits of chance, so that a plain hash of it
cannot be searched, and the look-up by hash takes the same time whatever was sent.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

from gateway.errors import Unauthorized
from gateway.types import Caller, World

__all__ = ["ANYBODY", "credential", "identify", "mint"]

ANYBODY: Final = Caller("anonymous")
_MAX_LENGTH: Final = 256


def mint(id: str) -> tuple[str, str]:
    """A new key for this id, ``gw_<id>_<secret>``, to be shown once; and the hash of it, to be kept."""
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    key = f"gw_{id}_{secret}"
    return key, _digest(key)


def credential(headers: Mapping[bytes, bytes]) -> str | None:
    """The key of a request, where the SDKs of OpenAI, of Azure or of Anthropic put it; names in lower case."""
    said = headers.get(b"authorization")
    if said is not None:
        scheme, _, token = said.partition(b" ")
        return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else None
    said = headers.get(b"api-key") or headers.get(b"x-api-key")
    return said.decode("latin-1") if said is not None else None


def identify(credential: str | None, world: World) -> Caller:
    """The caller whose key this is. Raises Unauthorized, with the same words whatever is wrong with it."""
    if not world.auth:
        return ANYBODY
    if credential is None:
        raise Unauthorized("No API key was given: send it as Authorization: Bearer <key>.", code="missing_api_key")
    key = world.keys.get(_digest(credential[:_MAX_LENGTH]))
    if key is None or not key.enabled:
        raise Unauthorized("The API key is not valid for this gateway.")
    return key.caller


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
