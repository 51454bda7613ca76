"""The event loop's lag."""

from __future__ import annotations

import asyncio
import time

from gateway.telemetry.lag import LoopLag


async def test_a_blocked_loop_shows_as_lag() -> None:
    told: list[float] = []
    lag = LoopLag(told.append, every_s=0.001)
    lag.start()
    time.sleep(0.05)
    await asyncio.sleep(0.002)
    lag.stop()
    assert told[0] >= 0.045


async def test_nothing_is_told_after_the_end() -> None:
    told: list[float] = []
    lag = LoopLag(told.append, every_s=0.0)
    lag.start()
    await asyncio.sleep(0.001)
    lag.stop()
    lag.stop()
    before = len(told)
    await asyncio.sleep(0.002)
    assert before > 0
    assert len(told) == before
