"""What has been said so far in a stream, kept so that another one can go on with it. Read next: resumed.py."""

from __future__ import annotations

from gateway.providers.protocol import Called, SoFar
from gateway.providers.shapes import ChunkChoice, ToolDelta

__all__ = ["Words"]


class Words:
    """Takes the content of chunks as they pass. ``lost`` is set once there is anything that cannot be said again."""

    __slots__ = ("_calls", "_texts", "lost")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, tuple[str, list[str]]] = {}
        self.lost = False

    def take(self, choice: ChunkChoice) -> None:
        """One choice of a chunk that has content."""
        delta = choice.delta
        if delta.content:
            self._texts.append(delta.content)
        if delta.function_call or delta.refusal or delta.audio or choice.index or (self._calls and delta.content):
            self.lost = True
        for call in delta.tool_calls or ():
            self._take_call(call)

    def _take_call(self, call: ToolDelta) -> None:
        function = call.function
        if call.custom or not function:
            self.lost = True
            return
        known = self._calls.setdefault(call.index, (function.name, []))
        known[1].append(function.arguments)

    def so_far(self) -> SoFar | None:
        """All of it; None when it could not be said again."""
        if self.lost or sorted(self._calls) != list(range(len(self._calls))):
            return None
        calls = tuple([Called(name, "".join(pieces)) for _, (name, pieces) in sorted(self._calls.items())])
        return SoFar("".join(self._texts), calls)
