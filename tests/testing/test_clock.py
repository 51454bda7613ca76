"""The hand-wound clock and the loop that follows it."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.testing.clock import Clock, HandWoundLoop


def test_the_clock_stands_until_it_is_turned() -> None:
    clock = Clock(at=5.0)
    assert (clock(), clock.now()) == (5.0, 5.0)
    clock.advance(2.5)
    assert (clock(), repr(clock)) == (7.5, "Clock(at 7.5 s)")


def test_the_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match=r"cannot go back by 1 s"):
        Clock().advance(-1)


def test_sleepers_wake_in_order_each_at_its_own_time() -> None:
    async def story(loop: HandWoundLoop) -> list[tuple[str, float]]:
        woke: list[tuple[str, float]] = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            woke.append((name, loop.time()))
            if name == "short":
                await sleeper("again", 10)

        tasks = [asyncio.create_task(sleeper("long", 3600)), asyncio.create_task(sleeper("short", 20))]
        await loop.turn(60)
        assert not tasks[0].done()
        await loop.turn(3600)
        await asyncio.gather(*tasks)
        return woke

    started = time.monotonic()
    with asyncio.Runner(loop_factory=lambda: HandWoundLoop(Clock(0.0))) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, HandWoundLoop)
        assert runner.run(story(loop)) == [("short", 20.0), ("again", 30.0), ("long", 3600.0)]
        assert loop.time() == 3660.0
    assert time.monotonic() - started < 5


def test_a_timeout_strikes_when_its_time_comes_and_not_before() -> None:
    async def story(loop: HandWoundLoop) -> None:
        task = asyncio.create_task(asyncio.wait_for(asyncio.Event().wait(), 30))
        await loop.turn(29.9)
        assert not task.done()
        await loop.turn(0.2)
        with pytest.raises(TimeoutError):
            await task

    with asyncio.Runner(loop_factory=HandWoundLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, HandWoundLoop)
        runner.run(story(loop))
