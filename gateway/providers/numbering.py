"""The tool calls of one stream: each has a number of its own, an id, and a name before the end.

Read next: stream.py, which asks for each chunk that has calls. A client adds the pieces of a call by its number alone:
calls under one number become one that never was. Servers leave numbers out, or number all parallel calls alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.providers.mended import whole_number
from gateway.providers.shapes import ToolDelta

__all__ = ["Numbering"]

Body = dict[str, Any]
#: A choice, and the number of a call in it.
Place = tuple[int, int]


class Numbering:
    """What is known of the calls so far. Ids of ours are ``start`` and a number."""

    __slots__ = ("_ids", "_moved", "_named", "_start")

    def __init__(self, start: str) -> None:
        self._start = start
        self._ids: dict[Place, str] = {}
        self._named: set[Place] = set()
        self._moved: dict[Place, int] = {}

    def __bool__(self) -> bool:
        """Whether anything was called."""
        return bool(self._ids)

    @property
    def are_named(self) -> bool:
        """Whether every call that was begun has said which tool it is."""
        return self._named >= self._ids.keys()

    def is_plain(self, choice: int, pieces: Sequence[ToolDelta]) -> bool:
        """Whether these pieces can go on as they are: no number means two calls, each call has its id and its type."""
        if len(pieces) > 1 and len({piece.index for piece in pieces}) < len(pieces):
            return False
        for piece in pieces:
            at = (choice, piece.index)
            known = self._ids.get(at)
            if at in self._moved or (piece.id and (not piece.type or known not in (None, piece.id))):
                return False
            if not piece.id and known is None:
                return False
        return True

    def note(self, choice: int, pieces: Sequence[ToolDelta]) -> None:
        """Take note of pieces that go on."""
        for piece in pieces:
            at = (choice, piece.index)
            self._ids.setdefault(at, piece.id or "")
            if (piece.function and piece.function.name) or (piece.custom and piece.custom.name):
                self._named.add(at)

    def repair(self, choice: int, pieces: Sequence[Body]) -> bool:
        """Number these pieces, and name the calls that begin without an id, in place; True when anything changed."""
        changed = False
        for piece in pieces:
            number = self._number(choice, piece)
            if piece.get("index") != number or not isinstance(piece["index"], int):
                piece["index"] = number
                changed = True
            at = (choice, number)
            if not piece.get("id") and at not in self._ids:
                piece |= {"id": f"{self._start}{len(self._ids)}", "type": piece.get("type") or "function"}
                changed = True
            if isinstance(id := piece.get("id"), str) and id:
                self._ids.setdefault(at, id)
        return changed

    def _number(self, choice: int, piece: Body) -> int:
        said, id = whole_number(piece.get("index")), piece.get("id")
        if said is None:
            return self._unnumbered(choice, id, begins=is_named(piece))
        at = (choice, said)
        number = self._moved.get(at, said)
        known = self._ids.get((choice, number))
        if known and isinstance(id, str) and id and id != known and is_named(piece):
            # Another call under the same number: a new id alone may be an error, with a name it is none.
            number = self._moved[at] = self._next(choice)
        return number

    def _unnumbered(self, choice: int, id: Any, *, begins: bool) -> int:
        """By its id; without one a name begins another call, and anything else is more of the last."""
        found = [number for (at, number), known in self._ids.items() if at == choice and id and known == id]
        if found:
            return found[0]
        return self._next(choice) if id or begins else max(self._next(choice) - 1, 0)

    def _next(self, choice: int) -> int:
        return max((number + 1 for at, number in self._ids if at == choice), default=0)


def is_named(piece: Body) -> bool:
    inner = piece.get("function") or piece.get("custom")
    return isinstance(inner, dict) and bool(inner.get("name"))
