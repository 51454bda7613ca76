"""Two keys, one of which floods: what the other one notices, on real sockets. Read next: reliability/test_share.py."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from gateway.keys.form import mint
from gateway.policy.explain import explain
from gateway.reliability.load import LoadRules
from gateway.testing.script import Pace, Script
from gateway.types import Cooling
from tests.gateway import BODY, Running, against

(BIG, BIGS), (SMALL, SMALLS), (MATE, MATES) = (mint(id) for id in ("big", "small", "mate"))
KEYS = (
    "teams: {flood: {}}\n"
    f"keys: [{{id: big, team: flood, secret_hash: {BIGS}}}, {{id: mate, team: flood, secret_hash: {MATES}}},"
    f" {{id: small, secret_hash: {SMALLS}}}]\n"
)
SERVICE_S = 0.2
CALL = Script(words=3, pace=Pace(SERVICE_S, 0))


async def ask(gateway: Running, key: str) -> tuple[int, float, str | None]:
    """The status, how long it took in seconds, and the code of the error."""
    at = time.monotonic()
    answer = await gateway.chat({**BODY, "max_tokens": 10}, authorization=f"Bearer {key}")
    error = answer.json().get("error") or {}
    return answer.status_code, time.monotonic() - at, error.get("code")


async def beside_a_flood(
    gateway: Running, asking: int, small: Callable[[], Awaitable[list[tuple[int, float, str | None]]]]
) -> tuple[list[tuple[int, float, str | None]], Counter[int]]:
    """What ``small`` saw, and the statuses of a team that keeps ``asking`` requests under way meanwhile."""
    flood: Counter[int] = Counter()

    async def client(n: int) -> None:
        while True:
            status, _, _ = await ask(gateway, MATE if n % 2 else BIG)
            flood[status] += 1
            await asyncio.sleep(0 if status == 200 else 0.5)

    clients = [asyncio.create_task(client(n)) for n in range(asking)]
    try:
        while gateway.app.admission.waiting < asking // 2:
            await asyncio.sleep(0.01)
        return await small(), flood
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


@pytest.mark.parametrize("bottleneck", ["the gateway", "a deployment"])
async def test_one_that_floods_waits_behind_one_that_asks_now_and_then(bottleneck: str) -> None:
    """Behind all that wait a request would take their number over the places, times what one takes: 2 s more."""
    places = 4 if bottleneck == "the gateway" else 1000
    rules = f"admission: {{max_inflight: {places}, queue: 40, queue_wait: 3s}}"
    config = f"{KEYS}{rules}\nroutes: [{{name: r, policy: {{pool: [a]}}}}]"
    async with against(config) as (gateway, provider):
        provider.script("a", CALL)
        if bottleneck == "a deployment":
            load = gateway.app.health.lanes()["a"].load
            load.rules, load._limit = LoadRules(max_limit=4, min_limit=4), 4.0

        async def now_and_then() -> list[tuple[int, float, str | None]]:
            return [await ask(gateway, SMALL) for _ in range(5)]

        seen, flood = await beside_a_flood(gateway, 50, now_and_then)
    assert [status for status, _, _ in seen] == [200] * 5
    assert max(took for _, took, _ in seen) < 2 * SERVICE_S + 0.5
    assert flood[200] >= 5, "who floods is served as well"
    assert set(flood) <= {200, 503}


LIMITED = "  c: {provider: sim, model: c, limits: {rpm: 600}}\n"


async def run_short(gateway: Running) -> list[tuple[int, float, str | None]]:
    """A flood until little is left; then one that asks now and then; then the flood again. What that saw last."""
    share = gateway.app.health.lanes()["c"].share
    while not share.short(time.monotonic()):
        await asyncio.gather(*(ask(gateway, BIG) for _ in range(10)))
    assert (await ask(gateway, SMALL))[0] == 200
    return await asyncio.gather(*(ask(gateway, BIG) for _ in range(60)))


async def test_what_is_left_of_a_limit_is_for_those_that_had_little_of_it() -> None:
    config = f"{LIMITED}routes: [{{name: r, policy: {{pool: [c], retry: {{retry_after_max: 100ms}}}}}}]\n{KEYS}"
    async with against(config) as (gateway, _):
        flood = Counter(code for _, _, code in await run_short(gateway))
        seen = await asyncio.gather(*(ask(gateway, SMALL) for _ in range(5)))
        answers = await asyncio.gather(*(gateway.chat(BODY, authorization=f"Bearer {BIG}") for _ in range(20)))
        told = next(answer for answer in answers if answer.status_code == 429)
        record = next(r for r in gateway.records() if r.error == "fair_share")
    assert [status for status, _, _ in seen] == [200] * 5
    assert (flood.keys() <= {None, "fair_share"}, flood["fair_share"] > 20) == (True, True)
    assert (record.outcome, record.attempts) == ("rate_limited", ())
    assert (told.status_code, told.headers["x-should-retry"]) == (429, "true")
    assert 0 < int(told.headers["retry-after-ms"]) <= 3500
    assert "is shared and busy, and you have had more than your share" in told.json()["error"]["message"]


async def test_who_has_had_more_than_its_share_is_sent_to_another_deployment() -> None:
    config = f"{LIMITED}routes: [{{name: r, policy: {{pool: [c, b]}}}}]\n{KEYS}"
    async with against(config) as (gateway, _):
        await run_short(gateway)
        keys = [*[BIG] * 20, SMALL]
        answers = await asyncio.gather(*(gateway.chat(BODY, authorization=f"Bearer {key}") for key in keys))
        routed = [(a.headers["x-gateway-routed-model"], a.headers["x-gateway-routing-reason"]) for a in answers]
        lane = repr(gateway.app.health.lanes()["c"])
        stories = [line for record in gateway.records() for line in explain(record)]
    assert Counter(routed[:-1])["b", "overflow"] > 10
    assert routed[-1] == ("c", "default")
    assert "2 tenants in the last shortage, a fair share is 50%; flood had most" in lane
    assert any("and this team or key has had more than its share of them" in line for line in stories)


async def test_who_waited_and_found_nothing_left_twice_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async with against("routes: [{name: r, policy: {pool: [a]}}]") as (gateway, provider):
        health = gateway.app.health
        monkeypatch.setattr(health, "cooling", lambda features, now, tenant: {"a": Cooling(now + 0.05, "share")})
        monkeypatch.setattr(health, "leave", lambda *asked: None)
        status, took, code = await ask(gateway, "anybody")
        (record,) = await gateway.settled(1)
    assert (status, code, took >= 0.1, record.outcome) == (429, "fair_share", True, "rate_limited")
    assert provider.asked("a") == []
