"""What a key looks like, and what is kept of it. Read next: porter.py, who asks for one.

``gw_<id>_<secret>``: the id finds the key, the secret proves it. A secret has 256 bits of chance in 43 characters, so
that no hash of it can be searched; the pepper makes hashes that got out worth nothing even to somebody who would try.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final

from gateway.types import Secret

__all__ = ["LONGEST", "Pepper", "id_of", "is_run_time_id", "mint", "new_id"]

#: The longest credential that is looked at, in characters; of a longer one only so many.
LONGEST: Final = 256
BEFORE: Final = "gw_"
#: The secret of a key, with the ``_`` before it, in characters.
BEHIND: Final = 44
SHORTEST: Final = len(BEFORE) + 1 + BEHIND

_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
_RUN_TIME_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"


class Pepper:
    """HMAC-SHA256 (RFC 2104) under one secret, which may be empty."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: str = "") -> None:
        key = secret.encode("utf-8", "surrogatepass")
        key = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        # Both blocks are hashed once: a copy of their states takes less than half of what hmac.digest does.
        self._inner = hashlib.sha256(key.translate(_INNER))
        self._outer = hashlib.sha256(key.translate(_OUTER))

    def __repr__(self) -> str:
        return "Pepper(…)"

    @classmethod
    def of(cls, secret: Secret | None) -> Pepper:
        """That of a configuration."""
        return cls(secret.reveal() if secret is not None else "")

    def digest(self, key: str) -> str:
        """What is kept of a key, as 64 lower-case hexadecimal digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(key.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return outer.hexdigest()


def mint(id: str, pepper: Pepper | None = None) -> tuple[str, str]:
    """A new key for this id, to be shown once; and the hash of it, to be kept."""
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    key = f"{BEFORE}{id}_{secret}"
    return key, (pepper or Pepper()).digest(key)


def id_of(credential: str) -> str | None:
    """The id that a credential names, None where it has not the form of a key."""
    if (
        not SHORTEST <= len(credential) <= LONGEST
        or credential[:3] != BEFORE
        or credential[-BEHIND] != "_"
        or not credential.isascii()
    ):
        return None
    return credential[3:-BEHIND]


def is_run_time_id(id: str) -> bool:
    """Whether a key that is made at run time can have this id: up to 32 of a-z, 0-9 and -."""
    return _RUN_TIME_ID.fullmatch(id) is not None


def new_id() -> str:
    """An id for a key that was given none: eight characters that are not taken for each other."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))
