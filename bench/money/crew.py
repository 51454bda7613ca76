"""Processes that are started again, with the same ledger, whenever they were killed. Read next: books.py.

They are forked from one that has all modules already: a start takes milliseconds, so that a hundred crashes do.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

from msgspec.structs import replace

from bench.money.spender import Orders, spend

__all__ = ["return_all", "run_all"]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["bench.money.spender"])


async def run_all(all_orders: Sequence[Orders]) -> int:
    """Until each has made all its calls. How often one was killed. Raises RuntimeError when one fails otherwise."""
    return sum(await asyncio.gather(*[_until_done(orders) for orders in all_orders]))


async def return_all(all_orders: Sequence[Orders]) -> None:
    """Each starts once more, has nothing to do, and leaves: so all that its ledger knows has been told."""
    await run_all([replace(orders, calls=0) for orders in all_orders])


async def _until_done(orders: Orders) -> int:
    killed = 0
    while (status := await _ended(_start(orders))) != 0:
        if status != -9:
            raise RuntimeError(f"{orders.name} ended with {status}")
        killed += 1
    return killed


def _start(orders: Orders) -> BaseProcess:
    process = _CONTEXT.Process(target=spend, args=(orders,), daemon=True)
    process.start()
    return process


async def _ended(process: BaseProcess) -> int:
    while (status := process.exitcode) is None:
        await asyncio.sleep(0.01)
    return status
