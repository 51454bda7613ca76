"""A token as it came, taken apart: nothing of it is true yet. Read next: claims.py, what it says of whom.

Source: RFC 7515 (JWS, compact serialisation) and RFC 7519 (JWT), read as strictly as RFC 8725 advises: two readers of
the same token must not read two things. Of the header only ``alg`` and ``kid`` count; whatever else names or holds a
key (``jku``, ``jwk``, ``x5u``, ``x5c``) is passed over, and ``crit``, which forbids that, is refused.
"""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Mapping
from typing import Any, Final, Literal, NoReturn

from msgspec import Struct

__all__ = ["Reason", "Token", "Wrong", "is_token", "parsed", "taken_apart"]

#: What is wrong with a token, for a metric: the whole of what there is.
Reason = Literal[
    "garbled", "header", "algorithm", "issuer", "audience", "expired", "early", "old", "claims", "key", "signature"
]

#: Tokens with many groups have some kilobytes; a request's head may have 32.
LONGEST: Final = 16 * 1024
_PARTS: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
#: With which letters a part of such a length (of four) can end: those whose bits are all used.
_LETTERS: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_LAST: Final = (_LETTERS, "", _LETTERS[::16], _LETTERS[::4])


class Wrong(Exception):
    """A token that stands for nobody. ``reason`` is for operators; a client is not told it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class Token(Struct, frozen=True, eq=False):
    """``signed`` is what the ``signature`` is over."""

    algorithm: str
    kid: str | None
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def is_token(credential: str) -> bool:
    """Whether a credential is a token rather than a key: keys of ours begin with ``gw_``, and others have no dots."""
    return credential.count(".") == 2 and not credential.startswith("gw_")


def taken_apart(text: str) -> Token:
    """The parts of a token. Raises Wrong for what is none."""
    match = _PARTS.fullmatch(text) if len(text) <= LONGEST else None
    if match is None:
        raise Wrong("garbled")
    try:
        header, claims = parsed(_bytes(match[1])), parsed(_bytes(match[2]))
        signature = _bytes(match[3])
    except (ValueError, RecursionError):
        raise Wrong("garbled") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if "crit" in header or header.get("b64", True) is not True or not (kid is None or type(kid) is str):
        raise Wrong("header")
    if type(algorithm) is not str:
        raise Wrong("algorithm")
    return Token(algorithm, kid, claims, text[: match.end(2)].encode(), signature)


def parsed(data: bytes) -> dict[str, Any]:
    """A JSON object in which no name is there twice. Raises ValueError, or RecursionError for one too deep."""
    value = _decoder.decode(data.decode())
    if type(value) is not dict:
        raise ValueError("it is no object")
    return value


def _bytes(part: str) -> bytes:
    """base64url without padding, in the one way in which it can be written. Raises ValueError."""
    over = len(part) % 4
    if part[-1] not in _LAST[over]:
        raise ValueError("bits are left over")
    return base64.urlsafe_b64decode(part + "=" * (4 - over) if over else part)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice")
    return made


def _no_number(_: str) -> NoReturn:
    raise ValueError("it is no number of JSON")


_decoder: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)
