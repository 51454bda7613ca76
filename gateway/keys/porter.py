"""Says who asks, or that it is nobody. Read next: form.py, credential.py, bunch.py.

Whatever is wrong with a key, the words are the same and so is the work: one hash of what was sent, and a comparison in
constant time with the hashes of the key that it names, or with one that nobody has the key to. An id is no secret.
"""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Final

from gateway.errors import NOT_VALID, Forbidden, Unauthorized
from gateway.keys.bunch import Bunch
from gateway.keys.credential import Visitor, within
from gateway.keys.form import LONGEST, Pepper, id_of
from gateway.types import Caller, Key, Secret, World

__all__ = ["ANYBODY", "Porter", "check_address"]

ANYBODY: Final = Caller("anonymous")
#: Compared with where there is no key of that id: no hash has such letters.
NOBODY: Final = Key(ANYBODY, ("-" * 64,), enabled=False)


class Porter:
    """Lets callers with keys in. Tokens of other issuers are not its business: see ../identity."""

    def __init__(self, bunch: Bunch, *, wall: Callable[[], float]) -> None:
        self.bunch = bunch
        self._wall = wall
        self._pepper = Pepper()
        self._secret: Secret | None = None

    def claimed(self, credential: str | None, world: World) -> Caller | None:
        """Who somebody says to be, without proof: good for how long to let wait, and for nothing else."""
        if credential is None or not world.auth or (id := id_of(credential)) is None:
            return None
        key = self.bunch.get(id, world)
        return key.caller if key is not None else None

    def known(self, visitor: Visitor, world: World) -> Caller | None:
        """The caller, where nothing has to be waited for; None where ``identify`` has to ask.

        Raises Unauthorized, with the same words whatever is wrong with the key, unless it is only too old; Forbidden
        where it may not be used from there.
        """
        if not world.auth:
            return ANYBODY
        credential = visitor.credential
        if credential is None:
            raise Unauthorized("No API key was given: send it as Authorization: Bearer <key>.", code="missing_api_key")
        id = id_of(credential)
        key = self.bunch.get(id, world) if id is not None else None
        return self._judge(key, credential, visitor, world) if key is not None else None

    async def identify(self, visitor: Visitor, world: World) -> Caller:
        """The caller. Raises as ``known`` does, and Unavailable where it cannot be found out whose key it is."""
        return self.known(visitor, world) or await self._ask(visitor.credential or "", visitor, world)

    async def _ask(self, credential: str, visitor: Visitor, world: World) -> Caller:
        id = id_of(credential)
        key = await self.bunch.find(id, world) if id is not None else None
        return self._judge(key or NOBODY, credential, visitor, world)

    def _judge(self, key: Key, credential: str, visitor: Visitor, world: World) -> Caller:
        if world.pepper is not self._secret:
            self._pepper, self._secret = Pepper.of(world.pepper), world.pepper
        opens = self._opens(key, self._pepper.digest(credential[:LONGEST]))
        if not opens or not key.enabled:
            raise Unauthorized(NOT_VALID)
        caller = key.caller
        if caller.expires_at is not None and self._wall() >= caller.expires_at:
            raise Unauthorized(
                f"Key {caller.id} has expired: ask whoever gave it to you for another.", code="key_expired"
            )
        if caller.networks is not None:
            check_address(caller, visitor, world)
        return caller

    def _opens(self, key: Key, digest: str) -> bool:
        """Whether this is the hash of one of its secrets. All are compared, whichever it is."""
        right = False
        for n, one in enumerate(key.secret_hashes):
            same = compare_digest(digest, one)
            right |= same and (n == 0 or key.retires_at is None or self._wall() < key.retires_at)
        return right


def check_address(caller: Caller, visitor: Visitor, world: World) -> None:
    """Whether a caller may ask from there. Raises Forbidden."""
    if caller.networks is None:
        return
    address = visitor.address(world.server.trusted_proxies)
    if address is None or not within(address, caller.networks):
        where = address if address is not None else "an address that is not known"
        raise Forbidden(f"Key {caller.id} may not be used from {where}.", code="network_not_allowed")
