"""Keys made at run time, of a gateway that runs alone: a chapter of its ledger.

Read next: ledger.py, which keeps them; keyring.py, those of a fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.errors import Unavailable

__all__ = ["Keybook"]


class Keybook:
    """Documents of keys by id. ``write`` puts a line into the ledger, and says whether it has been taken.

    Without one the keys are gone with the process.
    """

    name = "keys"

    def __init__(self) -> None:
        self.write: Callable[[str, Any], bool] | None = None
        self._by: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"{len(self._by)} keys made at run time, kept {'in a ledger' if self.write else 'nowhere else'}"

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

    def change(self, id: str, before: bytes | None, after: bytes | None) -> bytes | None:
        """See State.change_key. Raises Unavailable where the ledger does not take it."""
        found = self._by.get(id)
        if found != before:
            return found
        if self.write is not None and not self.write(self.name, (id, after.decode() if after is not None else None)):
            raise Unavailable("The ledger takes no writes: make room, or let the gateway write there.", code="ledger")
        if after is None:
            self._by.pop(id, None)
        else:
            self._by[id] = after
        return after
