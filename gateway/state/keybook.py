"""Keys made at run time, of a gateway that runs alone: a chapter of its ledger.

Read next: ledger.py, which keeps them; keyring.py, those of a fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.errors import ConfigError, Unavailable
from gateway.state.ledger import Ledger

__all__ = ["Keybook"]


class Keybook:
    """Documents of keys by id. ``open`` opens the ledger when the first of them is to be kept.

    Without one the keys are gone with the process.
    """

    name = "keys"

    def __init__(self) -> None:
        self.open: Callable[[], Ledger | None] = lambda: None
        self._ledger: Ledger | None = None
        self._by: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"{len(self._by)} keys made at run time, kept in {self._ledger or 'memory'}"

    def read(self, value: Any) -> None:
        """See Chapter.read: an id, and its document as text; None where the key has been revoked."""
        match value:
            case [str(id), str(document)]:
                self._by[id] = document.encode()
            case [str(id), None]:
                self._by.pop(id, None)

    def whole(self) -> Iterable[Any]:
        """See Chapter.whole."""
        return [(id, document.decode()) for id, document in self._by.items()]

    def find(self, id: str) -> bytes | None:
        """The document of a key."""
        return self._by.get(id)

    def all(self) -> Mapping[str, bytes]:
        """All of them."""
        return dict(self._by)

    async def change(self, id: str, before: bytes | None, after: bytes | None) -> bytes | None:
        """See State.change_key. Raises Unavailable where the ledger does not take it."""
        found = self._by.get(id)
        if found != before:
            return found
        ledger = self._opened()
        if ledger is not None and not ledger.write(self.name, _line(id, after)):
            # What it has not taken it tries again with the next line.
            ledger.later(self.name, _line(id, before))
            raise Unavailable(f"The ledger takes nothing: {ledger.error}.", code="ledger_unavailable")
        if after is None:
            self._by.pop(id, None)
        else:
            self._by[id] = after
        if ledger is not None:
            await asyncio.to_thread(ledger.sync())
        return after

    def _opened(self) -> Ledger | None:
        if self._ledger is None:
            try:
                self._ledger = self.open()
            except ConfigError as error:
                raise Unavailable(f"Keys cannot be kept: {error}", code="ledger_unavailable") from error
        return self._ledger


def _line(id: str, document: bytes | None) -> tuple[str, str | None]:
    return id, document.decode() if document is not None else None
