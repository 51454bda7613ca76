"""What one replica remembers for callers, and has yet to tell the fleet. Read next: recollection.py, which tells it.

Names are hashes of a caller and a key: nobody can ask for what is another's, and no key can be read in the store.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

__all__ = ["LARGEST", "REMEMBERED_S", "Remembered", "name_of"]

#: For how long anything is remembered, in seconds.
REMEMBERED_S: Final = 86_400.0
#: The most that one replica remembers, and the largest single value, in bytes.
MOST: Final = 64 * 1024 * 1024
LARGEST: Final = 256 * 1024
#: What a value takes beside itself: its name, its time, its places in two dicts.
BESIDE: Final = 400


def name_of(caller: str, key: str) -> str:
    """What a caller's key is remembered by. No two pairs have the same text in front of the hash."""
    return hashlib.sha256(f"{len(caller)}:{caller}:{key}".encode("utf-8", "surrogatepass")).hexdigest()


class Remembered:
    """Values by name, the least recently used forgotten first.

    ``kept`` counts what callers gave, ``found`` what they got back, ``lost`` what could not be kept or told.
    """

    __slots__ = ("_by", "_most", "_now", "_size", "_to_tell", "found", "kept", "lost")

    def __init__(self, most: int = MOST) -> None:
        self.kept = self.found = self.lost = 0
        self._most = most
        self._by: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._to_tell: dict[str, None] = {}
        self._size = 0
        self._now = 0.0

    def __repr__(self) -> str:
        return f"{len(self._by)} things remembered, {self._size} of {self._most} bytes, {len(self._to_tell)} to tell"

    def __len__(self) -> int:
        return len(self._by)

    @property
    def untold(self) -> bool:
        """Whether there is anything to tell the fleet."""
        return bool(self._to_tell)

    def remember(self, caller: str, values: Mapping[str, bytes]) -> None:
        """Keep a caller's values, to be told; what is too large is lost."""
        for key, value in values.items():
            if len(value) > LARGEST:
                self.lost += 1
                continue
            name = name_of(caller, key)
            self.learn(name, value)
            if name in self._by:
                self.kept += 1
                self._to_tell[name] = None

    def learn(self, name: str, value: bytes) -> None:
        """Keep what the fleet knows already."""
        self._forget(name)
        self._by[name] = (self._now, value)
        self._size += len(value) + BESIDE
        while self._size > self._most:
            self._forget(next(iter(self._by)))

    def find(self, name: str) -> bytes | None:
        """The value, None when there is none or it is too old."""
        found = self._by.get(name)
        if found is None:
            return None
        if self._now - found[0] > REMEMBERED_S:
            self._forget(name)
            return None
        self._by.move_to_end(name)
        return found[1]

    def turn(self, now: float) -> None:
        """It is ``now``; what has been used for the last time a day ago is let go."""
        self._now = now
        while self._by and now - next(iter(self._by.values()))[0] > REMEMBERED_S:
            self._forget(next(iter(self._by)))

    def take(self, most: int) -> dict[str, bytes]:
        """What to tell next: so many bytes, or one value. It stays untold until ``told`` has it."""
        taken: dict[str, bytes] = {}
        size = 0
        for name in self._to_tell:
            value = self._by[name][1]
            size += len(value)
            if taken and size > most:
                break
            taken[name] = value
        return taken

    def told(self, values: Mapping[str, bytes]) -> None:
        """The fleet knows these, or is never to."""
        for name in values:
            self._to_tell.pop(name, None)

    def settle(self) -> None:
        """There is no fleet but this replica."""
        self._to_tell.clear()

    def _forget(self, name: str) -> None:
        if (known := self._by.pop(name, None)) is not None:
            self._size -= len(known[1]) + BESIDE
            self._to_tell.pop(name, None)
