"""A caller's own deadline, on real sockets: nothing is started after it, and the answer does not come long after it.

Read next: test_run.py, for the deadlines of routes and of accounts. R14: random deadlines of 0.1 to 1 s against
providers that are silent, slow, or fail with retries to come.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from msgspec import Struct

from gateway.testing.faults import SlowFirstToken
from gateway.testing.script import Pace, Script
from gateway.testing.server import Received, SimulatedProvider
from gateway.types import Exchange
from tests.gateway import BODY, Running, against

#: How much later than its deadline an answer may come. The aim is 0.05 s; the rest is for busy machines.
MARGIN_S = 1.0
#: How much later than its deadline a try may start.
WAKE_S = 0.0
SEED, ASKED = 14, 18
#: The header that says a deadline, and whether a stream is asked for: an SDK's read timeout is no deadline for streams.
WAYS = [("x-request-timeout", False), ("x-request-timeout", True), ("x-stainless-read-timeout", False)]

#: How the providers behave, and the retries that the route allows.
SILENT = Script(fault="silence")
LATE = Script(fault=SlowFirstToken(5.0))
TRICKLE = Script(words=400, pace=Pace(0, 0.02))
FAILING = Script(fault="overloaded", pace=Pace(0.03, 0))
HANGING_UP = Script(fault="reset")
EAGER = (
    "reliability: {breaker: {min_failures: 1000}}\n"
    "routes: [{name: r, policy: {pool: [a, b],"
    " retry: {attempts: 20, same_target: 10, base: 100ms, base_rate_limited: 100ms, cap: 200ms}}}]\n"
)
USUAL = "routes: [{name: r, policy: {pool: [a, b]}}]\n"


class Asked(Struct, frozen=True):
    """One request with its deadline, by the client's clock, which is the provider's too."""

    asked_at: float
    deadline_s: float
    took_s: float
    status: int
    text: str
    record: Exchange
    received: list[Received]

    @property
    def late_s(self) -> float:
        """Seconds after its deadline that the answer was complete."""
        return self.took_s - self.deadline_s

    @property
    def code(self) -> str:
        """That of the error in the envelope, or of the last event of a stream."""
        last = self.text.split("\n\n")[-2].removeprefix("data: ") if self.status == 200 else self.text
        return str(json.loads(last)["error"]["code"])


@asynccontextmanager
async def asked(config: str, script: Script, ways: Sequence[tuple[str, bool]]) -> AsyncIterator[list[Asked]]:
    """Several requests at once, each with a deadline of its own, when all of them have been answered."""
    dice = random.Random(SEED)
    async with against(config) as (gateway, provider):
        provider.script("*", script)
        port = int(gateway.url.rpartition(":")[2])
        # Connected in advance, and not by an SDK: what that takes is not the gateway's.
        lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(ASKED)]
        await gateway.http.get(f"{gateway.url}/healthz")
        asking = []
        for n, line in enumerate(lines):
            header, stream = ways[n % len(ways)]
            asking.append(ask(gateway, provider, line, header, dice.uniform(0.1, 1.0), n, stream=stream))
        yield await asyncio.gather(*asking)


async def ask(
    gateway: Running,
    provider: SimulatedProvider,
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    header: str,
    deadline_s: float,
    n: int,
    *,
    stream: bool,
) -> Asked:
    reader, writer = line
    data = json.dumps({**BODY, "stream": stream, "user": f"n-{n}"}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{header}: {deadline_s:.6f}\r\n"
    asked_at = time.monotonic()
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
    lines, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    took_s = time.monotonic() - asked_at
    writer.close()
    if "chunked" in lines:
        body = "".join(body.split("\r\n")[1::2])
    while (record := await gateway.app.find(lines.split("x-request-id: ")[1][:32])) is None:
        await asyncio.sleep(0.005)
    received = [r for r in provider.requests if r.fields["user"] == f"n-{n}"]
    return Asked(asked_at, deadline_s, took_s, int(lines[9:12]), body, record, received)


@pytest.mark.parametrize("script", [SILENT, LATE], ids=["silent", "late"])
async def test_who_waits_for_an_answer_is_told_at_the_deadline(script: Script) -> None:
    async with asked(USUAL, script, WAYS) as all_asked:
        for one in all_asked:
            assert one.code in ("upstream_timeout", "upstream_stalled")
            assert (one.status, one.record.outcome) == (504, "timeout")
            in_time(one)


@pytest.mark.parametrize("script", [FAILING, HANGING_UP], ids=["failing", "hanging up"])
async def test_no_retry_is_started_after_the_deadline(script: Script) -> None:
    async with asked(EAGER, script, WAYS) as all_asked:
        for one in all_asked:
            assert (one.status, one.code) in TOLD
            assert one.late_s < MARGIN_S
            nothing_started_late(one)
        assert max(len(one.received) for one in all_asked) > 2, "there was time for retries"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_trickles_in_is_given_up_at_the_deadline(stream: bool) -> None:
    async with asked(USUAL, TRICKLE, [("x-request-timeout", stream)]) as all_asked:
        for one in all_asked:
            assert (one.status, one.code, one.record.outcome) in BROKEN_OFF[stream]
            in_time(one)


#: What may be said when retries end: why the last try failed, or that there was no time for it.
TOLD = {
    (502, "upstream_unreachable"),
    (503, "upstream_overloaded"),
    (504, "upstream_timeout"),
    (504, "upstream_stalled"),
}
BROKEN_OFF = {
    False: {(504, "upstream_timeout", "timeout"), (504, "upstream_stalled", "timeout")},
    True: {(200, "upstream_stalled", "timeout")},
}


def in_time(one: Asked) -> None:
    """Not before the deadline, and not long after it."""
    assert -0.01 < one.late_s < MARGIN_S
    nothing_started_late(one)


def nothing_started_late(one: Asked) -> None:
    """By the gateway's word and by the provider's, which hears of a try a little later."""
    assert len(one.received) <= len(one.record.attempts)
    assert [a.n for a in one.record.attempts if a.started_s >= one.deadline_s + WAKE_S] == []
    assert [r.n for r in one.received if r.at >= one.asked_at + one.deadline_s + MARGIN_S] == []
