"""Budgets as clients meet them, on real sockets: refused, shortened, moved to something cheaper; nothing stays held."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from gateway.budgets.account import Account
from gateway.budgets.period import span_of
from gateway.config.load import load_text
from gateway.errors import Unavailable
from gateway.keys.form import mint
from gateway.policy.decide import decide
from gateway.policy.explain import explain
from gateway.refusal import nothing_can
from gateway.telemetry.record import decode, encode
from gateway.testing.faults import Cut, SlowFirstToken
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from gateway.types import Asked, Exchange, Funds, Price, Snapshot, Usage
from gateway.upstream.attempt import Trial
from tests import make
from tests.gateway import Running, against, serving
from tests.toy import spoken, toy_provider

CREDENTIAL, HASH = mint("team")
KEY = {"authorization": f"Bearer {CREDENTIAL}"}
ASK: dict[str, Any] = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello!"}]}
STREAM = {**ASK, "stream": True}
TEXT = "one two three four five six"


def budget(micros: int, folder: Path, more: str = "ledger: {}") -> str:
    """One key with so much, once and for all."""
    said = f"{{usd: {micros / 1e6}, per: total}}"
    return f"keys: [{{id: team, secret_hash: {HASH}, budget: {said}}}]\nbudgets: {{{more.format(folder / 'ledger')}}}\n"


MORE = "More has to be granted by whoever operates this gateway."


def account(gateway: Running) -> Account:
    """What the key's budget has come to here."""
    return gateway.app.treasury.book.accounts["key:team/total"]


def under_way(gateway: Running) -> int:
    return sum(lane.load.inflight for lane in gateway.app.health.lanes().values())


async def nothing_held(gateway: Running, n: int) -> list[Exchange]:
    """The records of so many requests, once all has ended: what they cost is settled, to the micro-dollar."""
    records = list(await gateway.settled(n))
    team = account(gateway)
    assert (gateway.app.treasury.book.holds, team.held, under_way(gateway)) == ({}, 0, 0)
    assert team.settled == sum(record.cost or 0 for record in records)
    assert gateway.app.treasury.book.overshoot == 0
    return records


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_budget_that_is_spent_refuses_and_says_so(path: str, stream: bool, tmp_path: Path) -> None:
    async with against(budget(10, tmp_path)) as (gateway, provider):
        refused = await gateway.http.post(f"{gateway.url}{path}", json={**ASK, "stream": stream}, headers=KEY)
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
        error = refused.json()["error"]
        assert error["type"] == ("insufficient_quota" if path == "/v1/chat/completions" else "rate_limit_error")
        assert error["message"].startswith("The budget of key team has 0.000010 USD left: this request for 'auto' ")
        assert error["message"].endswith("A smaller max_tokens costs less. " + MORE)
        (record,) = await nothing_held(gateway, 1)
        assert (record.outcome, record.error, record.attempts, record.cost) == ("budget", "insufficient_quota", (), 0)
        assert provider.requests == type(provider.requests)()
        assert "a: it might cost 0." in gateway.story()
        assert "and the budget of key:team has 0.000010 left" in gateway.story()


def test_who_is_refused_learns_when_the_budget_begins_anew_and_is_not_told_to_ask_for_less_of_nothing() -> None:
    world = make.world(make.deployment("a", price=Price(1_000_000, 2_000_000)))
    funds = Funds("team:a", 1000, 0)
    snapshot, asked = Snapshot(0.0, funds=funds), make.asked()
    spans = {"team:a": span_of("day", 1_795_867_200.0)}
    said = nothing_can(decide(asked, world, snapshot), asked.call, snapshot, spans).message
    assert said.startswith("The budget of team a does not hold it: this request for 'auto' might cost 0.")
    assert said.endswith(" USD. It begins anew on 2026-11-29 at 00:00 UTC.")


async def test_a_budget_is_spent_to_its_end_and_not_beyond(tmp_path: Path) -> None:
    async with against(budget(5_000, tmp_path) + "routes: [{name: r, policy: {pool: [a]}}]") as (gateway, provider):
        provider.script("a", Script(usage=Usage(100, 50)))
        said = [(await gateway.chat(ASK, **KEY)).status_code for _ in range(40)]
        served = said.count(200)
        assert said == [200] * served + [429] * (40 - served)
        await nothing_held(gateway, 40)
        assert account(gateway).settled == 200 * served
        assert account(gateway).limit - account(gateway).settled < 2_000


@pytest.mark.parametrize(("allowed", "status"), [("refuse", 503), ("allow", 200)])
async def test_what_has_no_price_is_refused_or_costs_nothing_even_of_a_budget_that_is_overdrawn(
    allowed: str, status: int, tmp_path: Path
) -> None:
    unpriced = "  z: {provider: sim, model: of-no-known-price}\nroutes: [{name: r, policy: {pool: [z]}}]\n"
    config = unpriced + budget(100, tmp_path, f"unknown_price: {allowed}, ledger: {{}}")
    async with against(config) as (gateway, _):
        await gateway.chat(ASK, **KEY)
        account(gateway).settled += 1_000
        async with asyncio.timeout(5):
            answer = await gateway.chat(ASK, **KEY)
        assert answer.status_code == status
        assert (answer.headers.get("x-should-retry") == "false") is (status == 503)
        assert gateway.app.treasury.book.holds == {}
        assert ("z: its price is not known, and the caller has a budget" in gateway.story()) is (status == 503)


async def test_counting_tokens_costs_nothing_and_needs_nothing(tmp_path: Path) -> None:
    async with against(budget(0, tmp_path)) as (gateway, _):
        counted = await gateway.http.post(f"{gateway.url}/v1/messages/count_tokens", json=ASK, headers=KEY)
        assert counted.status_code == 200
        assert gateway.app.treasury.book.accounts == {}


async def test_an_earlier_answer_costs_nothing(tmp_path: Path) -> None:
    config = "routes: [{name: r, policy: {pool: [a], degrade: {max_age: 1h}}}]\n" + budget(100_000, tmp_path)
    async with against(config) as (gateway, _):
        assert (await gateway.chat(ASK, **KEY)).status_code == 200
        account(gateway).settled += 100_000
        again = await gateway.chat(ASK, **KEY)
        account(gateway).settled -= 100_000
        assert (again.status_code, again.headers["x-gateway-degraded"]) == (200, "stale; age=0")
        records = await nothing_held(gateway, 2)
        assert [record.outcome for record in records] == ["ok", "degraded"]


# --- settled ----------------------------------------------------------------------------------------------------------

LATE = Script(fault=SlowFirstToken(5.0), text="late")
HEDGED = "hedge: {after: 50ms, extra: 1}"


@pytest.mark.parametrize(
    ("scripts", "policy", "outcome"),
    [
        ({}, "", "ok"),
        ({"a": Script(reports_usage=False, text=TEXT)}, "", "ok"),
        ({"a": Script(fault="overloaded")}, "", "fallback_ok"),
        ({"*": Script(fault="overloaded")}, "", "upstream_error"),
        ({"a": LATE}, HEDGED, "ok"),
        ({"a": Script(fault=SlowFirstToken(0.2)), "b": LATE}, HEDGED, "ok"),
    ],
    ids=["answered", "uncounted", "retried", "failed", "hedge won", "hedge lost"],
)
@pytest.mark.parametrize("body", [ASK, STREAM], ids=["json", "stream"])
async def test_however_a_request_ends_its_cost_is_settled_and_nothing_is_held(
    scripts: dict[str, Script], policy: str, outcome: str, body: object, tmp_path: Path
) -> None:
    config = f"routes: [{{name: r, policy: {{pool: [a, b], {policy}}}}}]\n" + budget(1_000_000, tmp_path)
    async with against(config) as (gateway, provider):
        for model, script in scripts.items():
            provider.script(model, script)
        await gateway.chat(body, **KEY)
        (record,) = await nothing_held(gateway, 1)
        assert record.outcome == outcome


@pytest.mark.parametrize(("rescue", "outcome"), [("off", "upstream_error"), ("splice", "fallback_ok")])
async def test_a_stream_that_breaks_off_is_settled_with_what_it_has_said_and_so_is_who_goes_on(
    rescue: str, outcome: str, tmp_path: Path
) -> None:
    config = f"routes: [{{name: r, policy: {{pool: [a, b], rescue: {rescue}}}}}]\n" + budget(1_000_000, tmp_path)
    async with against(config) as (gateway, provider):
        provider.script("a", Script(fault=Cut(after=3), text=TEXT))
        provider.script("b", Script(text=TEXT))
        await gateway.chat(STREAM, **KEY)
        (record,) = await nothing_held(gateway, 1)
        assert (record.outcome, len(record.attempts)) == (outcome, 2 if rescue == "splice" else 1)
        assert all(attempt.cost for attempt in record.attempts)


@pytest.mark.parametrize("body", [ASK, STREAM], ids=["json", "stream"])
async def test_a_client_that_leaves_pays_for_what_was_under_way(body: dict[str, Any], tmp_path: Path) -> None:
    async with against(budget(1_000_000, tmp_path)) as (gateway, provider):
        provider.script("a", Script(text=TEXT * 50, pace=Pace(0.05, 0.05)))
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
            request = http.build_request("POST", f"{gateway.url}/v1/chat/completions", json=body, headers=KEY)
            asking = asyncio.create_task(http.send(request, stream=True))
            async with asyncio.timeout(5):
                while not provider.requests:
                    await asyncio.sleep(0.01)
            assert len(gateway.app.treasury.book.holds) == 1
            if body is STREAM:
                async for _ in (await asking).aiter_raw():
                    break
            asking.cancel()
        (record,) = await nothing_held(gateway, 1)
        assert record.outcome == "cancelled"
        assert record.cost is not None
        assert record.cost > 0


async def test_each_of_several_choices_that_are_calls_of_their_own_is_reserved(tmp_path: Path) -> None:
    with spoken():
        async with toy_provider() as provider:
            provider.wait = asyncio.Event()
            text = (
                f"providers: {{p: {{kind: toy, base_url: '{provider.url}', allow_private: true}}}}\n"
                "deployments: {d: {provider: p, model: m, price: {input: 1, output: 2}}}\n"
            )
            async with serving(load_text(text + budget(1_000_000, tmp_path), {})) as gateway:
                asking = asyncio.create_task(gateway.chat({**ASK, "n": 3}, **KEY))
                async with asyncio.timeout(5):
                    while provider.under_way < 3:
                        await asyncio.sleep(0.01)
                holds = [hold.micros for hold in gateway.app.treasury.book.holds.values()]
                assert (len(holds), len(set(holds)), account(gateway).held) == (3, 1, sum(holds))
                provider.wait.set()
                assert (await asking).status_code == 200
                (record,) = await nothing_held(gateway, 1)
                assert (record.cost, len(record.attempts)) == (3 * 20, 3)


async def test_a_defect_of_the_gateway_costs_the_bound_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(trial: Trial, current: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Trial, "whole", broken)
    async with against(budget(1_000_000, tmp_path)) as (gateway, _):
        assert (await gateway.chat(ASK, **KEY)).status_code == 500
        await gateway.settled(1)
        team = account(gateway)
        assert (gateway.app.treasury.book.holds, team.held, under_way(gateway)) == ({}, 0, 0)
        assert team.settled > 100


async def test_a_try_that_cannot_be_reserved_since_the_ledger_is_gone_leaves_nothing_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = "routes: [{name: r, policy: {pool: [a, b]}}]\n" + budget(1_000_000, tmp_path)
    async with against(config) as (gateway, provider):
        provider.script("a", Script(fault="overloaded"))
        hold = gateway.app.treasury.hold

        def at_first(id: str, accounts: Any, micros: int) -> bool:
            if provider.requests:
                raise Unavailable("The ledger takes nothing.", code="ledger_unavailable")
            return hold(id, accounts, micros)

        monkeypatch.setattr(gateway.app.treasury, "hold", at_first)
        assert (await gateway.chat(ASK, **KEY)).json()["error"]["code"] == "ledger_unavailable"
        await nothing_held(gateway, 1)


async def test_what_was_reserved_for_a_plan_that_did_not_begin_pays_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with against(budget(1_500, tmp_path) + "routes: [{name: r, policy: {pool: [a]}}]") as (gateway, _):
        leave, refused = gateway.app.health.leave, []

        def not_at_first(*args: Any) -> Any:
            refused.append(args)
            return leave(*args) if len(refused) > 1 else None

        monkeypatch.setattr(gateway.app.health, "leave", not_at_first)
        answer = await gateway.chat(ASK, **KEY)
        assert (answer.status_code, len(refused)) == (200, 2), answer.text
        await nothing_held(gateway, 1)


# --- shortened --------------------------------------------------------------------------------------------------------

LONG = [{"role": "user", "content": "word " * 5_000}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_where_the_policy_wants_it_an_answer_is_made_shorter_and_the_client_warned(
    path: str, stream: bool, tmp_path: Path
) -> None:
    config = "routes: [{name: r, policy: {pool: [a], lower_max_tokens: yes}}]\n" + budget(3_000, tmp_path)
    async with against(config) as (gateway, provider):
        asked = {**ASK, "max_tokens": 5_000, "stream": stream}
        answer = await gateway.http.post(f"{gateway.url}{path}", json=asked, headers=KEY)
        sent = provider.requests[0].fields
        lowered = sent.get("max_completion_tokens") or sent["max_tokens"]
        assert answer.status_code == 200
        assert 100 < lowered < 1_500
        warning = f"max_tokens was lowered to {lowered}: the budget of key team holds no longer answer"
        assert answer.headers["x-gateway-warning"] == warning
        (record,) = await nothing_held(gateway, 1)
        assert record.warnings == (warning,)
        refused = await gateway.http.post(f"{gateway.url}{path}", json={**asked, "messages": LONG}, headers=KEY)
        assert (refused.status_code, refused.headers.get("x-gateway-warning")) == (429, None)


async def test_what_a_client_calls_itself_ends_no_header(tmp_path: Path) -> None:
    each = "{budget: {usd: 0.003, per: total}}"
    config = (
        "routes: [{name: r, policy: {pool: [a], lower_max_tokens: yes}}]\n"
        f"keys: [{{id: team, secret_hash: {HASH}, each_user: {each}}}]\nbudgets: {{ledger: {tmp_path / 'ledger'}}}\n"
    )
    async with against(config) as (gateway, _):
        body = {**ASK, "max_tokens": 5_000, "user": "me\r\nx-evil: 1"}
        answer = await gateway.http.post(f"{gateway.url}/v1/chat/completions", json=body, headers=KEY)
        assert (answer.status_code, "x-evil" in answer.headers) == (200, False)
        assert "key/team/me??x-evil: 1 holds no longer answer" in answer.headers["x-gateway-warning"]


# --- moved to something cheaper ---------------------------------------------------------------------------------------

SHIFTS = "routes: [{name: r, policy: {pool: [b, a], budget_shift: {from: 0.5}}}]\n"


async def test_as_a_budget_runs_out_a_growing_share_of_conversations_goes_elsewhere_and_none_comes_back(
    tmp_path: Path,
) -> None:
    async with against(SHIFTS + budget(10_000_000, tmp_path)) as (gateway, _):
        moved: list[set[int]] = []
        for used in (0.4, 0.6, 0.75, 0.9, 0.99):
            await gateway.chat(ASK, **KEY)
            account(gateway).settled = int(used * 10_000_000)
            here = len(gateway.records())
            for n in range(40):
                await gateway.chat({**ASK, "messages": [{"role": "user", "content": f"Question {n}"}]}, **KEY)
            records = (await gateway.settled(here + 40))[here:]
            moved.append({n for n, record in enumerate(records) if record.decision.reason == "budget_shift"})  # type: ignore[union-attr]
            assert {record.deployment for n, record in enumerate(records) if n in moved[-1]} <= {"a"}
            assert {record.deployment for n, record in enumerate(records) if n not in moved[-1]} <= {"b"}
        assert moved[0] == set()
        assert all(before <= after for before, after in pairwise(moved))
        shares = [len(each) / 40 for each in moved]
        assert shares == pytest.approx([0.0, 0.2, 0.5, 0.8, 0.98], abs=0.2)
        assert "Chosen: a, because a budget is running out, and it is cheaper." in "\n".join(
            line for record in gateway.records() for line in explain(record)
        )


async def test_a_decision_made_by_a_budget_replays_from_its_record(tmp_path: Path) -> None:
    bodies = [{**ASK, "messages": [{"role": "user", "content": f"Question {n}"}]} for n in range(40)]
    async with against(SHIFTS + budget(20_000, tmp_path)) as (gateway, provider):
        provider.script("*", Script(usage=Usage(400, 50)))
        for body in bodies:
            await gateway.chat(body, **KEY)
        records = [decode(encode(record)) for record in await gateway.settled(40)]
        reasons = {record.decision.reason for record in records if record.decision is not None}
        assert reasons >= {"budget_shift", "default"}
        assert {record.outcome for record in records} == {"ok", "budget"}
        world = gateway.app.world
        (key,) = world.keys.values()
        for body, record in zip(bodies, records, strict=True):
            assert record.decision is not None
            assert record.features is not None
            call = make.call(fields=body, id=record.id, size=len(msgspec.json.encode(body)))
            asked = Asked(call, key.caller, record.features, record.signals, record.decision.seed)
            assert decide(asked, world, Snapshot(0.0, funds=record.decision.funds)) == record.decision


# --- after a restart --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def spending(folder: Path, micros: int) -> AsyncIterator[tuple[Running, SimulatedProvider]]:
    config = "routes: [{name: r, policy: {pool: [a]}}]\n" + budget(micros, folder)
    async with against(config) as (gateway, provider):
        provider.script("a", Script(usage=Usage(100, 50)))
        yield gateway, provider


async def test_without_redis_what_is_spent_stays_spent_over_restarts(tmp_path: Path) -> None:
    for n in range(3):
        async with spending(tmp_path, 100_000) as (gateway, _):
            assert (await gateway.chat(ASK, **KEY)).status_code == 200
            await gateway.settled(1)
            assert (account(gateway).others, account(gateway).others_settled) == (200 * n, 200 * n)
    async with spending(tmp_path, 1_000) as (gateway, _):
        assert (await gateway.chat(ASK, **KEY)).status_code == 429


async def test_without_redis_what_a_crash_cut_off_is_lost_to_its_bound(tmp_path: Path) -> None:
    async with spending(tmp_path, 1_000_000) as (gateway, provider):
        provider.script("a", Script(pace=Pace(first_s=30)))
        asking = asyncio.create_task(gateway.chat(ASK, **KEY))
        async with asyncio.timeout(5):
            while not provider.requests:
                await asyncio.sleep(0.01)
        (hold,) = gateway.app.treasury.book.holds.values()
        # As it is after a kill: nothing more is written.
        (tmp_path / "after").mkdir()
        shutil.copy(tmp_path / "ledger", tmp_path / "after" / "ledger")
        asking.cancel()
    async with spending(tmp_path / "after", 1_000_000) as (gateway, _):
        assert (await gateway.chat(ASK, **KEY)).status_code == 200
        assert (account(gateway).others, account(gateway).others_settled) == (hold.micros, 0)
