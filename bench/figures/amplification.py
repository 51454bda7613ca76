"""R9: what providers that are all down are asked on behalf of applications that try again. Read next: patience.py.

Applications use OpenAI's own client. With its retries on, the gateway's answers decide whether it really tries again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
from msgspec import Struct

from bench.figures.figure import Figure, at_most
from bench.figures.ground import account, gateways
from bench.figures.load import at_rate
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider

__all__ = ["Asked", "amplification", "ask_in_vain"]

DOWN_S, RATE = 60.0, 20.0


class Asked(Struct, frozen=True):
    """What was asked while all were down: by the application, of the gateway, and of the two providers."""

    calls: int
    requests: int
    tries: int
    failovers: int


async def amplification(directory: Path) -> list[Figure]:
    """R9, without and with the client's own retries."""
    plain, again = await asyncio.gather(
        ask_in_vain(directory / "plain", RATE, DOWN_S, max_retries=0),
        ask_in_vain(directory / "again", RATE, DOWN_S, max_retries=2),
    )
    allowed = 1.1 * plain.requests + plain.failovers
    what = (
        f"tries, of {plain.requests:,} requests and {plain.failovers} failovers while all are down for {DOWN_S:.0f} s"
    )
    return [
        Figure("R9", what, f"{plain.tries}", f"≤ {allowed:.0f}", plain.tries <= allowed),
        at_most("R9", "requests of an SDK with 2 retries, for each call", again.requests / again.calls, 1.3, "{:.2f}"),
        at_most("R9", "tries for each of its calls", again.tries / again.calls, 1.3, "{:.2f}"),
    ]


async def ask_in_vain(directory: Path, rate: float, seconds: float, *, max_retries: int) -> Asked:
    """Calls of OpenAI's client at two deployments of two companies that answer 503 all the time."""
    down = Script(fault="overloaded")
    async with SimulatedProvider(down, keep=1) as one, SimulatedProvider(down, keep=1) as other:
        async with gateways(directory, config(one, other)) as (gateway,):
            url = f"http://127.0.0.1:{gateway.port}/v1"
            async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=max_retries) as client:

                async def ask(n: int) -> bool:
                    try:
                        await client.chat.completions.create(
                            model="auto", messages=[{"role": "user", "content": "Hello!"}], stream=n % 2 == 0
                        )
                    except openai.APIStatusError:
                        return False
                    return True

                answers = await at_rate(rate, seconds, ask)
        assert not any(answers)
        requests = len(gateway.journal.read_bytes().splitlines())
        return Asked(len(answers), requests, one.count + other.count, other.count)


def config(one: SimulatedProvider, other: SimulatedProvider) -> dict[str, Any]:
    return {
        "providers": {"one": account(one), "other": account(other)},
        "deployments": {"a": {"provider": "one", "model": "a"}, "b": {"provider": "other", "model": "b"}},
        "routes": [{"name": "default", "policy": {"pool": ["a"], "fallback": ["b"]}}],
    }
