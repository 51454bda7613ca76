"""The arguments of a function call that Vertex streams value by value, put together.

Read next: reading.py. Source: ``FunctionCall.partialArgs`` in the Vertex reference: each piece names the place of its
value by a JSONPath of names and indices (``$.items[0].name``); pieces of one text follow each other.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["Partial"]

STEP: Final = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]""")
VALUES: Final = ("stringValue", "numberValue", "boolValue")
#: Indices above this are no honest list.
MAX_INDEX: Final = 10_000


class Partial:
    """A call that has begun: its index among the calls, and its arguments so far."""

    __slots__ = ("_texts", "arguments", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.arguments: dict[str, Any] = {}
        self._texts: set[str] = set()

    def take(self, piece: dict[str, Any]) -> None:
        """One piece: a value, or more of a text. A path that cannot be followed is left out."""
        path = str(piece.get("jsonPath", ""))
        steps = [int(i) if i else name or single or double for name, i, single, double in STEP.findall(path)]
        if not steps or not isinstance(steps[0], str):
            return
        value = next((piece[name] for name in VALUES if name in piece), None)
        if isinstance(value, str):
            before = look(self.arguments, steps) if path in self._texts else ""
            value = (before if isinstance(before, str) else "") + value
            self._texts.add(path)
        put(self.arguments, steps, value)


def look(place: Any, steps: list[str | int]) -> Any:
    for step in steps:
        try:
            place = place[step]
        except (LookupError, TypeError):
            return None
    return place


def put(place: Any, steps: list[str | int], value: Any) -> None:
    """Set the value at the end of these steps; the lists and objects on the way are made."""
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        inner: Any = value if following is None else ([] if isinstance(following, int) else {})
        if isinstance(step, int):
            if not isinstance(place, list) or step > MAX_INDEX:
                return
            place += [None] * (step + 1 - len(place))
        elif not isinstance(place, dict):
            return
        known = look(place, [step])
        if following is None or type(known) is not type(inner):
            place[step] = inner
        place = place[step]
