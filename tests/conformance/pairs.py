"""Conversations with tools between the SDKs and providers of every protocol that judge what they are asked.

Read next: ../pairs/, which holds them; make test asserts the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Protocol

from tests.pairs.clients import CLIENTS
from tests.pairs.rescue import NATIVE, PREFILLS, TEXT, rescued
from tests.pairs.talk import PROTOCOLS, WAYS, talk

__all__ = ["pairs"]


class Tally(Protocol):
    def say(self, word: str, line: str) -> None: ...


async def pairs(folder: Path, tally: Tally) -> None:
    """Each conversation is a line."""
    for line, held in conversations():
        try:
            await held
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what went wrong
            tally.say("FAILED", f"pairs: {line}")
            print(f"        {error}", flush=True)
        else:
            tally.say("ok", f"pairs: {line}")


def conversations() -> Iterator[tuple[str, Awaitable[None]]]:
    for client in CLIENTS:
        for name in PROTOCOLS:
            for way in WAYS:
                yield f"{client} at {name}, {way}", talk(client, [name] * 3, way)
        for first, other in permutations(PROTOCOLS, 2):
            served = [first, other, first]
            yield f"{client} at {', '.join(served)}, stream", talk(client, served, "stream")
        for first, other in permutations(PROTOCOLS, 2):
            for mode in ("continue", "splice"):
                if (client, first) == NATIVE or (mode == "continue" and other not in PREFILLS):
                    continue
                line = f"{client}, broken off at {first}, gone on with at {other}, {mode}"
                yield line, rescued(client, (first, other), mode, first, TEXT)
