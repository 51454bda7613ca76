"""A stream that has begun goes on its way without waking anybody: what must be noticed all the same.

Read next: ../gateway/upstream/attempt.py, whose ``_flow`` it is.
"""

from __future__ import annotations

import time

from gateway.config.load import load_text
from gateway.testing.faults import Pings
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider
from tests.gateway import BODY, serving

TIMEOUTS = "{first_byte: 5s, stall: 5s, no_content: 300ms, total: 20s}"


async def test_signs_of_life_are_no_content_also_after_content() -> None:
    async with SimulatedProvider() as provider:
        text = (
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true, api_key: k,"
            f" timeouts: {TIMEOUTS}}}}}\n"
            "deployments: {a: {provider: sim, model: a}}\n"
            "routes: [{name: r, policy: {pool: [a], rescue: 'off', retry: {attempts: 1}}}]\n"
        )
        async with serving(load_text(text, {})) as gateway:
            provider.script("a", Script(words=40, fault=Pings(after=5, seconds=3.0, every_s=0.05)))
            started = time.perf_counter()
            await gateway.chat({**BODY, "model": "r", "stream": True})
            took = time.perf_counter() - started
            (record,) = await gateway.settled(1)
    assert [attempt.failure is not None for attempt in record.attempts] == [True]
    assert 0.3 <= took < 2
