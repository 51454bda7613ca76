"""Who a token stands for, as one configuration has it. Read next: token.py, claims.py and signatures.py, the steps.

What is cheap comes first: nobody's made-up token costs a signature, or a look for its key. Tokens that were verified
are remembered by a hash of the whole of them, until they end, their key is withdrawn, or the configuration changes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from gateway.errors import NOT_VALID, Unauthorized
from gateway.identity.claims import caller_of, issuer_of, judge
from gateway.identity.keyring import Key, Keyring
from gateway.identity.token import Token, Wrong, taken_apart
from gateway.types import Caller, Issuer

__all__ = ["Tokens", "Verify"]

#: Raises Wrong where the key has not signed the token.
Verify = Callable[[Token, Key], None]

#: How many tokens are remembered.
MOST: Final = 10_000


class Seen(Struct, frozen=True, eq=False):
    """A token that was verified, with what holds for as long as it counts."""

    caller: Caller
    until: float
    ring: Keyring
    turn: int


class Tokens:
    """Tokens of these issuers, each with its keys."""

    def __init__(self, rings: Mapping[Issuer, Keyring], verify: Verify) -> None:
        self._rings = rings
        self._verify = verify
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()

    def __repr__(self) -> str:
        return f"{len(self._seen)} tokens of {', '.join(issuer.name for issuer in self._rings)} remembered"

    async def caller_of(self, token: str, now: float) -> Caller:
        """Who asks, at ``now`` (Unix time).

        Raises Unauthorized, with the same words whatever is wrong with the token; Forbidden for a subject without a
        team; Unavailable where there are no keys to verify with.
        """
        # Text of other characters is no token, and has more than one way to become bytes.
        digest = hashlib.sha256(token.encode()).digest() if token.isascii() else b""
        seen = self._seen.get(digest)
        if seen is not None and now < seen.until and seen.turn == seen.ring.turn:
            self._seen.move_to_end(digest)
            return seen.caller
        try:
            return await self._verified(token, digest, now)
        except Wrong as wrong:
            raise Unauthorized(NOT_VALID, reason=f"token_{wrong.reason}") from None

    async def _verified(self, text: str, digest: bytes, now: float) -> Caller:
        token = taken_apart(text)
        issuer = issuer_of(token.claims, self._rings)
        if token.algorithm not in issuer.algorithms:
            raise Wrong("algorithm")
        until = judge(token.claims, issuer, now)
        ring = self._rings[issuer]
        key = await ring.key(token.kid, token.algorithm)
        turn = ring.turn
        self._verify(token, key)
        caller = caller_of(token.claims, issuer, until)
        self._keep(digest, Seen(caller, until, ring, turn))
        return caller

    def _keep(self, digest: bytes, seen: Seen) -> None:
        self._seen[digest] = seen
        self._seen.move_to_end(digest)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)
