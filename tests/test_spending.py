"""Usage as operators ask for it: of a whole gateway, over its admin listener."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import pytest

from gateway import spending
from gateway.cli import main
from gateway.commands import usage
from gateway.commands.admin import Admin, address_of
from gateway.commands.budgets import table_of_budgets
from gateway.config.load import load_text
from gateway.keys.form import mint
from gateway.money import usd
from gateway.state.memory import Memory
from gateway.types import Server
from gateway.usage.sums import day_of, iso
from tests.gateway import BODY, against
from tests.redis_server import RedisServer, redis_server
from tests.telemetry.exchanges import plain

__all__ = ["redis_server"]

KEY, HASH = mint("team")
CONFIG = "routes: [{name: r, policy: {pool: [a]}}]\n"


async def test_what_requests_cost_is_told_by_day_model_route_and_feature() -> None:
    async with against(CONFIG) as (gateway, _):
        for feature in ("search", "search", "chat"):
            await gateway.chat(BODY, **{"x-gateway-tags": f"feature={feature}"})
        records = await gateway.settled(3)
        url = f"{gateway.admin}/admin/usage"
        answer = (await gateway.http.get(url, params={"by": "feature,model,route"})).json()
        cost = sum(record.cost or 0 for record in records)
        assert cost > 0
        assert [(row["feature"], row["model"], row["route"], row["requests"]) for row in answer["rows"]] == [
            ("chat", "a", "r", 1),
            ("search", "a", "r", 2),
        ]
        assert (answer["totals"]["cost_micros"], answer["totals"]["requests"]) == (cost, 3)
        only = (await gateway.http.get(url, params={"by": "day,key", "feature": "chat"})).json()
        (row,) = only["rows"]
        assert (row["day"], row["key"], row["requests"]) == (only["to"], "anonymous", 1)


async def test_whoever_takes_csv_gets_csv_page_by_page() -> None:
    async with against(CONFIG) as (gateway, _):
        for feature in ("=1+1", "b", "c"):
            await gateway.chat(BODY, **{"x-gateway-tags": f"feature={feature}"})
        await gateway.settled(3)
        url = f"{gateway.admin}/admin/usage?by=feature&limit=2"
        first = await gateway.http.get(url, headers={"accept": "text/csv"})
        assert first.headers["content-type"].startswith("text/csv; charset=utf-8")
        assert (first.headers["x-rows"], first.links["next"]["url"]) == (
            "3",
            "/admin/usage?by=feature&limit=2&offset=2",
        )
        second = await gateway.http.get(f"{gateway.admin}{first.links['next']['url']}&format=csv")
        assert "link" not in second.headers
        rows = [*csv.DictReader(io.StringIO(first.text)), *csv.DictReader(io.StringIO(second.text))]
        assert [row["feature"] for row in rows] == ["'=1+1", "b", "c"]
        asked_again = await gateway.http.get(f"{url}&format=json", headers={"accept": "text/csv"})
        assert asked_again.json()["next_offset"] == 2


async def test_usage_is_guarded_refuses_what_it_does_not_understand_and_is_not_for_clients() -> None:
    token = "server: {admin_token: ${TOKEN}}\n"
    async with against(CONFIG + token, TOKEN="operators-only") as (gateway, _):
        url = f"{gateway.admin}/admin/usage"
        assert (await gateway.http.get(url)).status_code == 401
        login = {"authorization": "Bearer operators-only"}
        wrong = await gateway.http.get(f"{url}?by=colour", headers=login)
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "by")
        assert (await gateway.http.get(url, headers=login)).json()["rows"] == []
        assert await asyncio.to_thread(main, ["usage", "--admin", gateway.admin]) == 1
        assert await asyncio.to_thread(main, ["usage", "--admin", gateway.admin, "--token", "operators-only"]) == 0
        assert (await gateway.http.get(f"{gateway.url}/v1/usage")).status_code == 404
        assert (await gateway.http.get(f"{gateway.url}/admin/usage")).status_code == 404


async def test_the_command_prints_a_table_or_csv_of_a_gateway_that_runs(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "PAGE", 1)
    async with against(CONFIG) as (gateway, _):
        for feature in ("b", "a", "a"):
            await gateway.chat(BODY, **{"x-gateway-tags": f"feature={feature}"})
        records = await gateway.settled(3)
        ask = ["usage", "--admin", gateway.admin, "--by", "feature"]
        assert await asyncio.to_thread(main, ask) == 0
        _, head, a, b, total = capfd.readouterr().out.splitlines()
        assert head.split("  ")[0] == "feature"
        assert [line.split()[:2] for line in (a, b, total)] == [["a", "2"], ["b", "1"], ["total", "3"]]
        assert usd(sum(record.cost or 0 for record in records)) in total
        assert await asyncio.to_thread(main, [*ask, "--csv", "--feature", "a", "--feature", "b"]) == 0
        read = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
        assert [(row["feature"], row["requests"]) for row in read] == [("a", "2"), ("b", "1")]
        assert await asyncio.to_thread(main, [*ask, "--from", "tomorrow"]) == 1
        assert "'tomorrow' is no date as 2026-11-01" in capfd.readouterr().err
    assert await asyncio.to_thread(main, ask) == 1
    assert f"No gateway answers at {gateway.admin}" in capfd.readouterr().err


def test_the_address_of_a_listener_on_all_addresses_is_this_machine() -> None:
    hosts = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "10.0.0.1": "10.0.0.1", "fd00::1": "[fd00::1]"}
    for host, reached in hosts.items():
        assert address_of(Server(admin_host=host, admin_port=9)) == f"http://{reached}:9"


KEY, HASH = mint("team")
BUDGETS = f"""
teams:
  support: {{budget: {{usd: 1, per: day}}, each_user: {{budget: {{usd: 0.5, per: month}}}}}}
  idle: {{budget: {{usd: 2, per: total}}}}
keys:
  - {{id: team, team: support, secret_hash: {HASH}}}
"""


@pytest.mark.parametrize("shared", [False, True])
async def test_budgets_are_told_with_what_is_spent_and_foreseen(
    shared: bool, tmp_path: Path, redis_server: RedisServer
) -> None:
    where = f"state: {redis_server.url}\n" if shared else f"budgets: {{ledger: {tmp_path / 'ledger'}}}\n"
    async with against(CONFIG + BUDGETS + where) as (gateway, _):
        for _ in range(2):
            served = await gateway.chat(BODY, authorization=f"Bearer {KEY}")
            assert served.status_code == 200
        cost = sum(record.cost or 0 for record in await gateway.settled(2))
        budgets: dict[str, dict[str, Any]] = {}
        async with asyncio.timeout(5):
            while budgets.get("team:support", {}).get("spent_micros") != cost:
                answer = (await gateway.http.get(f"{gateway.admin}/admin/budgets")).json()
                budgets = {budget["scope"]: budget for budget in answer["budgets"]}
                await asyncio.sleep(0.05)
        support = budgets["team:support"]
        assert list(budgets)[:2] == ["team:idle", "team:support"]
        head, idle, *_ = await asyncio.to_thread(table_of_budgets, Admin(gateway.admin, None))
        assert head.split()[:4] == ["scope", "period", "limit", "USD"]
        said = ["team:idle", "total", "2.000000", *["0.000000"] * 3, "2.000000", "0.0%", "–", "–"]
        assert idle.split() == said
        assert support["spent_usd"] == usd(cost)
        assert support["left_micros"] == 1_000_000 - cost - support["leased_micros"]
        assert support["unaccounted_micros"] == 0
        assert (support["begins_at"], support["ends_at"]) == (
            f"{support['period']}T00:00:00Z",
            f"{iso(day_of(support['period']) + 1)}T00:00:00Z",
        )
        assert support["forecast"]["by"] == "pace"
        assert support["forecast"]["at_end_micros"] >= cost
        assert budgets["team:idle"]["forecast"] == {
            "at_end_micros": None,
            "at_end_usd": None,
            "used": None,
            "runs_out_at": None,
            "by": "pace",
        }


async def test_without_redis_a_restart_remembers_what_was_used(tmp_path: Path) -> None:
    config = CONFIG + BUDGETS + f"budgets: {{ledger: {tmp_path / 'ledger'}}}\n"
    costs = []
    for _ in range(2):
        async with against(config) as (gateway, _):
            await gateway.chat(BODY, authorization=f"Bearer {KEY}")
            costs += [record.cost or 0 for record in await gateway.settled(1)]
            answer = (await gateway.http.get(f"{gateway.admin}/admin/usage?by=key")).json()
    (row,) = answer["rows"]
    assert (row["requests"], row["cost_micros"]) == (2, sum(costs))


async def test_end_users_with_budgets_are_those_that_were_active_lately_the_dearest_first_in_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = load_text(
        "providers: {sim: {kind: simulated}}\n"
        "deployments: {a: {provider: sim, model: a, price: {input: 1, output: 2}}}\n" + BUDGETS,
        {},
    )
    state, day = Memory(), day_of("2025-11-21")
    for user, days_ago in (("ann", 0), ("ann", 28), ("bob", 3), ("bob", 2), ("cid", 1), ("old", 29), (None, 0)):
        state.count(plain(team="support", user=user, at=(day - days_ago) * 86_400.0))
    state.count(plain(team="idle", user="eve", at=day * 86_400.0))
    monkeypatch.setattr(spending, "MOST_USERS", 2)
    found = await spending.Spending(state, lambda: day * 86_400.0 + 60, lambda: world).budgets()
    assert [(outlook.standing.scope.name, outlook.forecast.by) for outlook in found] == [
        ("team:idle", "pace"),
        ("team:support", "weekdays"),
        ("user:team/support/ann", "weekdays"),
        ("user:team/support/bob", "pace"),
    ]


async def test_keys_made_at_run_time_and_issuers_have_their_budgets_with_what_theirs_spent() -> None:
    world = load_text(
        "providers: {sim: {kind: simulated}}\n"
        "deployments: {a: {provider: sim, model: a, price: {input: 1, output: 2}}}\n"
        "teams: {a: {}}\n"
        "identity: [{name: corp, issuer: 'https://login.example/', audience: gw, team: groups, budget: {usd: 9}}]\n",
        {},
    )
    state, day = Memory(), day_of("2025-11-21")
    for document in (b'{"terms":{"id":"made","budget":{"usd":5}},"hashes":["0"],"created_at":1}', b"unreadable"):
        await state.change_key(str(len(document)), None, document)
    for caller in ("made", "jwt:corp:0a1b", "jwt:corp:2c3d"):
        state.count(plain(caller=caller, at=day * 86_400.0))
    one = sum(sums.cost for sums in state.tally.days[day].rows.values()) // 3
    outlooks = await spending.Spending(state, lambda: day * 86_400.0 + 43_200, lambda: world).budgets()
    assert [outlook.standing.scope.name for outlook in outlooks] == ["key:jwt:corp", "key:made"]
    spent = spending._Spent({})
    async for page in state.used([day]):
        spent.feed(*page)
    assert one > 0
    assert (spent.days("key:made"), spent.days("key:jwt:corp")) == ({day: one}, {day: 2 * one})
