"""Keys by id: the configured ones, and those made at run time. Read next: document.py, what is kept of these."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from gateway.keys.document import key_of
from gateway.keys.form import is_run_time_id
from gateway.types import Key, World

__all__ = ["Bunch", "Documents"]

#: Keys that are ready to be used beside those of the configuration.
MOST: Final = 10_000


class Documents(Protocol):
    """Where keys that are made at run time are kept; see state/verbs.py."""

    def key(self, id: str) -> bytes | None:
        """The document of a key, as far as it is known here."""
        ...

    async def find_key(self, id: str) -> bytes | None:
        """The document of a key; waits for it where it is not known here. Raises Unavailable."""
        ...


class _Made(Struct, frozen=True, eq=False):
    document: bytes
    world: World
    key: Key


class Bunch:
    """Finds keys. One of the configuration comes before one of the same id that was made at run time."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._made: dict[str, _Made] = {}

    def __repr__(self) -> str:
        return f"{len(self._made)} keys made at run time in use"

    def get(self, id: str, world: World) -> Key | None:
        """The key of that id, as far as it is known here."""
        key = world.keys.get(id)
        if key is not None:
            return key
        document = self._documents.key(id)
        return self._key(id, document, world) if document is not None else None

    async def find(self, id: str, world: World) -> Key | None:
        """The key of that id; other replicas may know it. Raises Unavailable where that cannot be found out."""
        if id in world.keys or not is_run_time_id(id):
            return world.keys.get(id)
        document = await self._documents.find_key(id)
        return self._key(id, document, world) if document is not None else None

    def _key(self, id: str, document: bytes, world: World) -> Key:
        """The key that a document describes; made once for each configuration, whose teams it belongs to."""
        made = self._made.get(id)
        if made is None or made.document is not document or made.world is not world:
            if len(self._made) >= MOST:
                self._made.clear()
            made = self._made[id] = _Made(document, world, key_of(document, world.teams))
        return made.key
