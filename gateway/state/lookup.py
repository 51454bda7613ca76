"""Questions that many requests have at the same time, put in one command after the other. Read next: keyring.py.

However many ask, one command is under way: a flood of what nobody knows is a few large commands, and not a flood of
small ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Final

from gateway.state.ending import end

__all__ = ["Lookup"]

#: Names in one command, and names that wait at most.
BATCH: Final = 128
MOST: Final = 1024

Answer = bytes | None | Exception
Ask = Callable[[Sequence[str]], Awaitable[Sequence[bytes | None]]]


class Lookup:
    """Finds values by name with ``ask``, which raises OSError where there is no answer."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._asking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"{len(self._waiting)} names to look up"

    async def find(self, name: str) -> bytes | None:
        """The value of that name. Raises OSError where there is no answer, or too many wait for one."""
        turn = self._waiting.get(name)
        if turn is None:
            if len(self._waiting) >= MOST:
                raise ConnectionError(f"{MOST} others are being looked up")
            turn = self._waiting[name] = asyncio.get_running_loop().create_future()
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_all())
        # Others may wait for the same: who leaves must not take it with him.
        answer = await asyncio.shield(turn)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            await end(self._asking)

    async def _ask_all(self) -> None:
        while self._waiting:
            names = list(islice(self._waiting, BATCH))
            try:
                answers: Sequence[Answer] = await self._ask(names)
            except OSError as error:
                names = list(self._waiting)
                answers = [error] * len(names)
            for name, answer in zip(names, answers, strict=True):
                self._waiting.pop(name).set_result(answer)
