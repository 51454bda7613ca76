"""Which leases this replica has, and which it would like. Read next: meeting.py, which asks for them.

Times here are the replica's own: a lease ends here before it ends in the store, since it is counted from before it
was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from msgspec import Struct

__all__ = ["Asked", "Leases"]


class Asked(Struct, frozen=True):
    """What goes to the fleet: names given back, then seconds by name that are wanted or held."""

    let_go: tuple[str, ...]
    wanted: Mapping[str, float]


class Leases:
    """Leases by name. What is held is asked for again at each turn: a store that has lost it gets to know it again."""

    __slots__ = ("_held", "_let_go", "_letting_go", "_wanted", "_wanting")

    def __init__(self) -> None:
        self._held: dict[str, float] = {}
        self._wanted: dict[str, float] = {}
        self._let_go: set[str] = set()
        # Under way, until it is known to have arrived.
        self._wanting: dict[str, float] = {}
        self._letting_go: set[str] = set()

    def __repr__(self) -> str:
        return f"holds {', '.join(sorted(self._held)) or 'no lease'}; asks for {len(self._wanted | self._wanting)}"

    def want(self, name: str, ttl_s: float) -> None:
        """Ask for it at the next turn. Its holder prolongs it."""
        self._wanted[name] = ttl_s

    def holds(self, name: str, now: float) -> bool:
        """Whether it is held and has not ended."""
        return self._held.get(name, now) > now

    def let_go(self, name: str) -> None:
        """Give it back at the next turn, and hold it no longer from now on."""
        for names in (self._held, self._wanted, self._wanting):
            names.pop(name, None)
        self._let_go.add(name)

    def let_all_go(self) -> None:
        """Give back all that is held."""
        for name in tuple(self._held):
            self.let_go(name)

    def take(self, now: float) -> Asked:
        """What to ask. What was taken before and never answered is asked again."""
        self._held = {name: until_at for name, until_at in self._held.items() if until_at > now}
        self._wanting = {**self._wanting, **self._wanted}
        self._letting_go |= self._let_go
        self._wanted, self._let_go = {}, set()
        held = {name: until_at - now for name, until_at in self._held.items()}
        return Asked(tuple(self._letting_go), {**held, **self._wanting})

    def granted(self, now: float, asked: Asked, names: Set[str]) -> None:
        """The answer to what was taken at ``now``: these were granted, the others are somebody else's."""
        for name, ttl_s in asked.wanted.items():
            if name in names and (name in self._held or name in self._wanting):
                self._held[name] = now + ttl_s
            else:
                self._held.pop(name, None)
        self._wanting, self._letting_go = {}, set()

    def grant(self, now: float) -> None:
        """There is nobody to ask: what is wanted is had."""
        asked = self.take(now)
        self.granted(now, asked, asked.wanted.keys())
