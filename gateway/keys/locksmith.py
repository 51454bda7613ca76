"""Makes, changes, rotates and revokes keys at run time. Read next: document.py, what is kept; ../api/admin_keys.py.

A secret is shown once, to whoever asked for it. Everything else that is said of a key here holds neither it nor a hash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from gateway.errors import BadRequest, Conflict, NotFound
from gateway.keys.document import Document, key_of
from gateway.keys.form import Pepper, mint, new_id
from gateway.keys.terms import judge, merged
from gateway.types import Caller, World

__all__ = ["Drawers", "Locksmith"]

#: How often something is tried that somebody else is faster at.
TRIES: Final = 5

UNREADABLE: Final = "this version of the gateway cannot read it: it opens nothing"

View = dict[str, Any]


class Drawers(Protocol):
    """Where documents of keys are kept; see state/verbs.py."""

    async def find_key(self, id: str) -> bytes | None:
        """The document of a key. Raises Unavailable."""
        ...

    async def keys(self) -> Mapping[str, bytes]:
        """All documents, by id. Raises Unavailable."""
        ...

    async def change_key(self, id: str, before: bytes | None, after: bytes | None) -> bytes | None:
        """Put one in place of another; what is there then. Raises Unavailable."""
        ...


class Locksmith:
    """What operators do with keys. ``world`` is the configuration in use, ``wall`` Unix time.

    Every verb raises Unavailable where the state does not answer, NotFound where there is no such key, and Conflict for
    a key of the configuration, which only the file can change.
    """

    def __init__(self, drawers: Drawers, *, world: Callable[[], World], wall: Callable[[], float]) -> None:
        self._drawers = drawers
        self._world = world
        self._wall = wall

    async def create(self, said: Mapping[str, Any]) -> View:
        """A new key; the only view with a ``key`` in it. Raises BadRequest, or Conflict where the id is taken."""
        world = self._world()
        terms = merged({"id": new_id()}, said)
        id = judge(terms, world).id
        self._refuse_configured(id, world)
        key, digest = mint(id, Pepper.of(world.pepper))
        made = Document(terms, (digest,), self._now()).render()
        if await self._drawers.change_key(id, None, made) != made:
            raise Conflict(f"There is a key {id!r} already.", code="key_exists", param="id")
        return {**self._view(id, made, world), "key": key, **_warned(world)}

    async def list(self) -> list[View]:
        """All keys, the configured ones first."""
        world = self._world()
        documents = await self._drawers.keys()
        made = [self._view(id, documents[id], world) for id in sorted(documents) if id not in world.keys]
        return [_configured(id, world) for id in sorted(world.keys)] + made

    async def show(self, id: str) -> View:
        """One key."""
        world = self._world()
        return _configured(id, world) if id in world.keys else self._view(id, await self._document(id), world)

    async def change(self, id: str, said: Mapping[str, Any]) -> View:
        """Other terms: those that are named. Raises BadRequest where they cannot be."""
        if said.get("id", id) != id:
            raise BadRequest("A key keeps its id.", code="invalid_value", param="id")

        def changed(document: Document) -> Document:
            terms = merged(document.terms, said)
            judge(terms, self._world())
            return replace(document, terms=terms, changed_at=self._now())

        return await self._edit(id, changed)

    async def rotate(self, id: str, until: float | None) -> View:
        """A new secret, shown in ``key``. The one before opens ``until`` then; None: until it is retired, or the next.

        Any older one is gone.
        """
        key, digest = mint(id, Pepper.of(self._world().pepper))

        def rotated(document: Document) -> Document:
            hashes = (digest, *document.hashes[:1])
            return replace(document, hashes=hashes, rotated_at=self._now(), retires_at=until)

        return {**await self._edit(id, rotated), "key": key}

    async def retire(self, id: str) -> View:
        """The old secret opens no more."""
        return await self._edit(id, lambda document: replace(document, hashes=document.hashes[:1], retires_at=None))

    async def revoke(self, id: str) -> None:
        """The key opens no more, and is forgotten: on this replica now, on others after their next sync."""
        self._refuse_configured(id, self._world())
        before: bytes | None = await self._document(id)
        for _ in range(TRIES):
            before = await self._drawers.change_key(id, before, None)
            if before is None:
                return
        raise _busy(id)

    async def _edit(self, id: str, edit: Callable[[Document], Document]) -> View:
        world = self._world()
        self._refuse_configured(id, world)
        before: bytes | None = await self._document(id)
        for _ in range(TRIES):
            if before is None:
                raise _no_key(id)
            after = edit(_parsed(id, before)).render()
            before = await self._drawers.change_key(id, before, after)
            if before == after:
                return self._view(id, after, world)
        raise _busy(id)

    async def _document(self, id: str) -> bytes:
        document = await self._drawers.find_key(id)
        if document is None:
            raise _no_key(id)
        return document

    def _view(self, id: str, data: bytes, world: World) -> View:
        """What may be seen of a key: never a secret, and no hash of one."""
        try:
            document = Document.parse(data)
        except msgspec.DecodeError:
            return {"id": id, "source": "run_time", "problem": UNREADABLE}
        two = len(document.hashes) > 1 and (document.retires_at is None or document.retires_at > self._now())
        times = {
            "created_at": document.created_at,
            "changed_at": document.changed_at,
            "rotated_at": document.rotated_at,
            "retires_at": document.retires_at if two else None,
        }
        return {
            **document.terms,
            "enabled": key_of(data, world.teams).enabled,
            "source": "run_time",
            "secrets": 2 if two else 1,
            **{name: at for name, at in times.items() if at is not None},
            **_problem(document, data, world),
        }

    def _now(self) -> float:
        return round(self._wall(), 3)

    @staticmethod
    def _refuse_configured(id: str, world: World) -> None:
        if id in world.keys:
            raise Conflict(
                f"Key {id!r} is in the configuration: change it there, and reload.", code="key_in_configuration"
            )


def _busy(id: str) -> Conflict:
    return Conflict(f"Others are changing key {id[:64]!r}: try again.", code="key_busy")


def _no_key(id: str) -> NotFound:
    return NotFound(f"There is no key {id[:64]!r}.", code="key_not_found")


def _parsed(id: str, data: bytes) -> Document:
    try:
        return Document.parse(data)
    except msgspec.DecodeError:
        raise Conflict(f"What is kept of key {id!r} cannot be read: revoke it.", code="key_unreadable") from None


def _configured(id: str, world: World) -> View:
    """What may be seen of a key in the file: its limits are there."""
    key = world.keys[id]
    seen = _plain(key.caller)
    return {**seen, "enabled": key.enabled, "source": "configuration", "secrets": len(key.secret_hashes)}


def _plain(caller: Caller) -> View:
    """What is said of a caller, as far as anything is."""
    said = {
        "id": caller.id,
        "team": caller.team,
        "routes": sorted(caller.routes) if caller.routes is not None else None,
        "models": sorted(caller.models) if caller.models is not None else None,
        "operations": sorted(caller.operations) if caller.operations is not None else None,
        "networks": [str(one) for one in caller.networks] if caller.networks is not None else None,
        "priority": caller.priority,
        "tags": dict(caller.tags) or None,
        "expires_at": caller.expires_at,
    }
    return {name: value for name, value in said.items() if value is not None}


def _problem(document: Document, data: bytes, world: World) -> View:
    """Why a key opens nothing although nobody has switched it off."""
    team = document.terms.get("team")
    if team is not None and team not in world.teams:
        return {"problem": f"there is no team {team!r} in the configuration any more: it opens nothing"}
    return {"problem": UNREADABLE} if key_of(data, world.teams).caller.id == "unreadable" else {}


def _warned(world: World) -> View:
    said = "the configuration says `auth: off`, or has no keys: keys are not looked at before it says `auth: on`"
    return {} if world.auth else {"warning": said}
