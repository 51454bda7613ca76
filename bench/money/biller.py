"""A provider whose answers break in many ways, in a process of its own, and its bill. Read next: gateways.py."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace

from bench.chaos.random_faults import said
from bench.figures.ground import Drawn
from gateway.testing.acts import Act, Head, Send
from gateway.testing.faults import FAULTS, Cut, Fault, InBandError, SlowFirstToken, Stall
from gateway.testing.prompt import Prompt
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from gateway.testing.wall.scenarios import TEXT

__all__ = ["INPUT", "OUTPUT", "Bill", "biller", "read_bill"]

#: Micro-dollars for an input and an output token: whole numbers, so that nothing is rounded.
INPUT, OUTPUT = 1, 2
HEALTHY: Final = Script(text=TEXT, pace=Pace(0.01, 0.002))
#: What befalls three in ten answers.
TROUBLE: Final[tuple[Fault, ...]] = (
    FAULTS["server_error"],
    FAULTS["overloaded"],
    FAULTS["reset"],
    Cut(after=20),
    Cut(after=45, reset=True),
    Stall(after=30),
    InBandError(after=10),
    FAULTS["no_finish"],
    SlowFirstToken(0.5),
    Stall(after=0),
)
ILL: Final = 0.3


class Bill(Struct):
    """What one answer came to: tokens of the prompt, tokens sent, and what was said to have been used."""

    prompt: int = 0
    output: int = 0
    said: tuple[int, int] | None = None

    @property
    def micros(self) -> int:
        """What it costs: what was said, else all that was sent; nothing where nothing was."""
        if self.said is not None:
            return self.said[0] * INPUT + self.said[1] * OUTPUT
        return self.prompt * INPUT + self.output * OUTPUT if self.output else 0


class Billed(Struct, frozen=True):
    """A fault, or none, with what goes out counted under the request's id."""

    fault: Fault | None
    bills: dict[str, Bill]

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        """As Fault.rewrite."""
        bill = Bill()
        for act in acts if self.fault is None else self.fault.rewrite(acts, prompt):
            match act:
                case Head(200, headers):
                    bill = self.bills.setdefault(dict(headers).get("x-request-id", ""), Bill(prompt.tokens))
                case Send(data, "usage" | "body"):
                    bill.said = said(data) or bill.said
                case Send(_, "content"):
                    bill.output += 1
            yield act


@asynccontextmanager
async def biller(path: Path, *, ill: float = ILL) -> AsyncIterator[str]:
    """The URL of one that runs until the block is left; then its bill is at ``path``. ``ill`` is how often it fails."""
    context = multiprocessing.get_context("forkserver")
    ours, its = context.Pipe()
    process = context.Process(target=serve, args=(path, its, ill), daemon=True)
    process.start()
    try:
        yield await asyncio.to_thread(ours.recv)
        process.terminate()
        await asyncio.to_thread(process.join, 10)
    finally:
        process.kill()


def read_bill(path: Path) -> dict[str, Bill]:
    """By the id of the request, as its answer had it."""
    return {id: msgspec.convert(bill, Bill) for id, bill in json.loads(path.read_text()).items()}


def serve(path: Path, told: Connection, ill: float) -> None:
    uvloop.run(served(path, told, ill))


async def served(path: Path, told: Connection, ill: float) -> None:
    bills: dict[str, Bill] = {}
    dice, over = random.Random(7), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)

    def draw(model: str) -> Script:
        return replace(HEALTHY, fault=Billed(dice.choice(TROUBLE) if dice.random() < ill else None, bills))

    provider = SimulatedProvider(keep=1)
    provider.scripts = Drawn(draw)
    async with provider:
        told.send(provider.url)
        await over.wait()
        path.write_text(json.dumps(msgspec.to_builtins(bills)))
