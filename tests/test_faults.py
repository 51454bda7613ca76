"""Every fault of the simulator, alone and with a fallback, as JSON and as a stream: what a client gets, and the record.

Read next: gateway/testing/faults.py, which says what each fault does.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import product

import httpx2

from gateway.config.load import load_text
from gateway.money import usd
from gateway.testing.faults import FAULTS
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from gateway.types import Exchange, Usage
from tests.gateway import BODY, Running, serving

#: A pace at which the content before a break is read before the break itself.
DEFAULT = Script(words=60, pace=Pace(0, 0.001))


def always(alone: str, backed: str) -> tuple[str, str, str, str]:
    """The same as JSON and as a stream."""
    return (alone, alone, backed, backed)


RATE = "429 upstream_rate_limited, rate_limited: "
DOWN = always(
    "503 upstream_overloaded, upstream_error: overloaded overloaded", "200 ok, fallback_ok: overloaded overloaded well"
)
AUTH = always("502 upstream_auth, upstream_error: auth", "200 ok, fallback_ok: auth well")
GONE = always("502 upstream_unreachable, upstream_error: connect connect", "200 ok, fallback_ok: connect connect well")
GARBAGE = always("502 upstream_garbage, upstream_error: garbage garbage", "200 ok, fallback_ok: garbage garbage well")
EMPTY = always(
    "502 upstream_truncated, upstream_error: truncated truncated", "200 ok, fallback_ok: truncated truncated well"
)
WELL = always("200 ok, ok: ok", "200 ok, ok: ok")
#: After content nothing can be made good any more: the same with and without a fallback.
TRUNCATED = "200 … upstream_truncated, upstream_error: truncated"
STALLED = "200 … upstream_stalled, timeout: stall"
OVERSIZED = "200 … upstream_garbage, upstream_error: garbage"
BROKEN = "200 … upstream_overloaded, upstream_error: overloaded"
STALL = ("504 upstream_stalled, timeout: stall", "200 ok, fallback_ok: stall well")
SILENT = ("504 upstream_timeout, timeout: silent", "200 ok, fallback_ok: silent well")

#: Status and what was said, the record's outcome, the tries: alone and backed, each as JSON and as a stream.
EXPECTED = {
    "rate_limited": always(RATE + "rate rate", "200 ok, fallback_ok: rate rate well"),
    "rate_limited_bare": always(RATE + "rate rate", "200 ok, fallback_ok: rate well"),
    "insufficient_quota": always("503 upstream_quota, upstream_error: quota", "200 ok, fallback_ok: quota well"),
    "server_error": DOWN,
    "bad_gateway": DOWN,
    "overloaded": DOWN,
    "site_overloaded": DOWN,
    "unauthorized": AUTH,
    "forbidden": AUTH,
    "not_found": always(*["404 model_not_found, client_error: client"] * 2),
    "context": always(*["400 context_length_exceeded, client_error: context"] * 2),
    "filter": always(*["400 content_policy_violation, client_error: filter"] * 2),
    "invalid_request": always(*["400 invalid_request, client_error: client"] * 2),
    "prefill_refused": WELL,
    "redirect": GARBAGE,
    "html": (GARBAGE[0], EMPTY[1], GARBAGE[2], EMPTY[3]),
    "empty": EMPTY,
    "silence": always(*SILENT),
    "reset": GONE,
    "hang_up": GONE,
    "not_http": GARBAGE,
    "slow_first_token": (STALL[0], SILENT[0], STALL[1], SILENT[1]),
    "pings": (EMPTY[0], SILENT[0], EMPTY[2], SILENT[1]),
    "cut": (EMPTY[0], TRUNCATED, EMPTY[2], TRUNCATED),
    "reset_midway": (EMPTY[0], TRUNCATED, EMPTY[2], TRUNCATED),
    "stall": (STALL[0], STALLED, STALL[1], STALLED),
    "role_only": (STALL[0], SILENT[0], STALL[1], SILENT[1]),
    "invalid_event": (EMPTY[0], OVERSIZED, EMPTY[2], OVERSIZED),
    "oversized_event": (WELL[0], OVERSIZED, WELL[2], OVERSIZED),
    "no_done": WELL,
    "no_end": WELL,
    "no_finish": (EMPTY[0], TRUNCATED, EMPTY[2], TRUNCATED),
    "unfinished": (EMPTY[0], TRUNCATED, EMPTY[2], TRUNCATED),
    "in_band_error": DOWN,
    "in_band_error_midway": (DOWN[0], BROKEN, DOWN[2], BROKEN),
    "wrong_encoding": GARBAGE,
}
WAYS = tuple(product(("alone", "backed"), (False, True)))


def route_of(fault: str, kind: str, stream: bool) -> str:
    return f"{kind}-{fault}-{'stream' if stream else 'json'}"


@asynccontextmanager
async def faulty() -> AsyncIterator[tuple[Running, SimulatedProvider]]:
    """A gateway whose routes are named for what goes wrong with them, once for each way of asking.

    Each has a deployment and an account of its own, so that none is left alone for what another has done. ``well`` is
    sound: the ``backed`` ones fall back to it, the ``alone`` ones have nothing else.
    """
    async with SimulatedProvider(DEFAULT) as provider:
        account = (
            f"{{kind: openai_compatible, base_url: {provider.url}, allow_private: true, api_key: ${{SIM}},"
            " timeouts: {first_byte: 1s, stall: 1s, no_content: 1s, total: 20s}}"
        )
        asked = {route_of(fault, *way): fault for fault in FAULTS for way in WAYS}
        text = [
            "providers:",
            *(f"  {name}: {account}" for name in ("spare", *asked)),
            "deployments:",
            "  well: {provider: spare, model: well, price: {input: 3, output: 4}}",
            *(
                f"  {name}.d: {{provider: {name}, model: m@{fault}, price: {{input: 1, output: 2}}}}"
                for name, fault in asked.items()
            ),
            "routes:",
            *(
                f"  - {{name: {name}, policy: {{pool: [{name}.d], fallback: [{'well' * name.startswith('backed')}]}}}}"
                for name in asked
            ),
        ]
        async with serving(load_text("\n".join(text), {"SIM": "sk-provider-secret"})) as gateway:
            yield gateway, provider


async def ask(gateway: Running, fault: str) -> Sequence[httpx2.Response]:
    """One fault in all ways."""
    return await asyncio.gather(
        *[gateway.chat({**BODY, "model": route_of(fault, *way), "stream": way[1]}) for way in WAYS]
    )


def said(response: httpx2.Response) -> str:
    """What a client makes of an answer: ``ok``, or the code of the error, in a stream after what came before it."""
    if "event-stream" not in response.headers["content-type"]:
        body = response.json()
        return str(body["error"]["code"]) if "error" in body else "ok"
    *chunks, last = [e.removeprefix("data: ") for e in response.text.split("\n\n") if e.startswith("data: ")]
    finishes = [choice["finish_reason"] for chunk in chunks for choice in json.loads(chunk)["choices"]]
    assert [f for f in finishes if f] == (["stop"] if last == "[DONE]" else [])
    return "ok" if last == "[DONE]" else f"… {json.loads(last)['error']['code']}"


def tries(record: Exchange) -> str:
    """``well`` for the fallback, else how each try went."""
    return " ".join(
        "well" if a.deployment == "well" else a.failure.kind if a.failure else "ok" for a in record.attempts
    )


def check(record: Exchange, response: httpx2.Response) -> None:
    """What must hold whatever went wrong: the plan is kept, and what was generated is paid for, and nothing else."""
    assert record.decision is not None
    assert 1 <= len(record.attempts) <= len(record.decision.plan.tries)
    assert [a.usage is not None for a in record.attempts] == [
        a.failure is None or a.first_s is not None for a in record.attempts
    ]
    for attempt in record.attempts:
        usage = attempt.usage or Usage(0, 0)
        prices = (3, 4) if attempt.deployment == "well" else (1, 2)
        assert (attempt.cost or 0) == usage.input * prices[0] + usage.output * prices[1]
    assert record.cost == sum(a.cost or 0 for a in record.attempts)
    if not record.stream:
        assert response.headers["x-gateway-cost-usd"] == usd(record.cost or 0)


def connections(gateway: Running) -> dict[str, int]:
    """How many connections to providers there are, by what they do, as the transport itself says."""
    counts = re.search(
        r"(?P<open>\d+) open, (?P<idle>\d+) idle, (?P<waiting>\d+) waiting", repr(gateway.app._transports["http1"])
    )
    assert counts is not None
    return {name: int(count) for name, count in counts.groupdict().items()}


async def test_every_fault_ends_as_the_table_says_and_leaves_nothing_behind() -> None:
    assert set(EXPECTED) == set(FAULTS)
    async with faulty() as (gateway, provider):
        async with asyncio.timeout(20):
            responses = await asyncio.gather(*[ask(gateway, fault) for fault in FAULTS])
        records = {record.id: record for record in await gateway.settled(len(FAULTS) * len(WAYS))}
        assert len(records) == len(FAULTS) * len(WAYS)
        found: dict[str, tuple[str, ...]] = {}
        for fault, answers in zip(FAULTS, responses, strict=True):
            cells = []
            for response in answers:
                record = records[response.headers["x-gateway-decision-id"]]
                check(record, response)
                assert record.status == response.status_code
                cells.append(f"{response.status_code} {said(response)}, {record.outcome}: {tries(record)}")
            found[fault] = tuple(cells)
        assert found == EXPECTED
        assert gateway.app.admission.inflight == 0
        await no_connection_is_lost(gateway, provider)


async def no_connection_is_lost(gateway: Running, provider: SimulatedProvider) -> None:
    """Both sides agree on what is open, and all of it is idle; the end of a stream may lag behind its last event."""
    async with asyncio.timeout(5):
        while True:
            counts = connections(gateway)
            if counts["open"] == counts["idle"] == len(provider.connections) and not counts["waiting"]:
                return
            await asyncio.sleep(0.01)
