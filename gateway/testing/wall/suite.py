"""The suite: each scenario asked through the gateway that is judged, with the wall behind it, and what came of it.

Read next: judge.py, which makes the verdicts; own.py, which puts our own gateway between the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext

from msgspec import Struct

from gateway.testing.wall.caller import Caller
from gateway.testing.wall.judge import Verdict, judge
from gateway.testing.wall.scenarios import Scenario
from gateway.testing.wall.seen import Heard, Seen
from gateway.testing.wall.server import Wall

__all__ = ["AT_ONCE", "Result", "Suite"]

#: How long a healthy call may take, in full timing.
ALIVE_S = 10.0
#: How many scenarios are asked at the same time: enough to be quick, too few to weigh on what is judged.
AT_ONCE = 4
QUESTION = "Say in exactly sixty words why a signal box can be trusted. [{mark}]"


class Result(Struct, frozen=True):
    """One scenario, asked once and judged."""

    id: str
    round: int
    verdict: Verdict
    seen: Seen


class Suite:
    """Asks through ``caller`` what ``wall`` answers, as ``stream`` or JSON, ``at_once`` scenarios at the same time."""

    def __init__(self, wall: Wall, caller: Caller, *, stream: bool = True, at_once: int = AT_ONCE) -> None:
        self._wall = wall
        self._caller = caller
        self._stream = stream
        self._slots = asyncio.Semaphore(at_once)
        self._marks = 0

    def __repr__(self) -> str:
        return f"Suite({self._caller} before {self._wall})"

    async def run(self, scenarios: Sequence[Scenario], rounds: int = 1) -> list[Result]:
        """Every scenario in each round. A series takes no slot: it waits most of the time."""
        results: list[Result] = []
        for n in range(1, rounds + 1):
            self._wall.reset()
            longest_first = sorted(scenarios, key=lambda scenario: -scenario.limit_s)
            asked = [self._one(scenario, n) for scenario in longest_first]
            results += sorted(await asyncio.gather(*asked), key=lambda result: result.id)
        return results

    async def ready(self) -> str | None:
        """Why a first healthy call of the suite's kind fails; None when it does not. It may take its time."""
        return await self._healthy(stream=self._stream, limit_s=3 * ALIVE_S)

    async def _healthy(self, *, stream: bool, limit_s: float) -> str | None:
        question = QUESTION.format(mark=self._mark("healthy"))
        heard = await self._caller.ask("healthy", question, stream=stream, limit_s=limit_s)
        return None if heard.ended == "whole" else f"{heard.ended}, {heard.why}"

    async def _one(self, scenario: Scenario, n: int) -> Result:
        mark = self._mark(scenario.id)
        async with nullcontext() if scenario.series else self._slots:
            heard = await self._calls(scenario, mark)
            down = await self._healthy(stream=False, limit_s=self._wall.profile.seconds(ALIVE_S))
        primary, fallback, strayed = self._wall.tries(scenario, mark)
        seen = Seen(self._wall.profile, heard, primary, fallback, strayed, down)
        return Result(scenario.id, n, judge(scenario, seen), seen)

    async def _calls(self, scenario: Scenario, mark: str) -> tuple[Heard, ...]:
        """The calls of a scenario: one, or several whose beginnings lie apart, each after the one before has ended."""
        loop, seconds = asyncio.get_running_loop(), self._wall.profile.seconds
        began_at, heard = loop.time(), []
        calls, every_s = (scenario.series.calls, scenario.series.every_s) if scenario.series else (1, 0.0)
        for n in range(calls):
            await asyncio.sleep(began_at + n * seconds(every_s) - loop.time())
            call = self._caller.ask(
                scenario.id,
                QUESTION.format(mark=f"{mark}.{n}"),
                stream=self._stream,
                limit_s=seconds(scenario.limit_s),
                tool=scenario.tool is not None,
            )
            heard.append(await call)
        return tuple(heard)

    def _mark(self, name: str) -> str:
        """What tells the tries of one scenario from those of all others, and keeps caches from answering."""
        self._marks += 1
        return f"{name} #{self._marks:04d}"
