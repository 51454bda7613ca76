"""Usage as operators ask for it: of a whole gateway, over its admin listener."""

from __future__ import annotations

import asyncio
import csv
import io

import pytest

from gateway import asking
from gateway.asking import address_of
from gateway.cli import main
from gateway.money import usd
from gateway.types import Server
from tests.gateway import BODY, against

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
        assert (await gateway.http.get(f"{gateway.url}/v1/usage")).status_code == 404
        assert (await gateway.http.get(f"{gateway.url}/admin/usage")).status_code == 404


async def test_the_command_prints_a_table_or_csv_of_a_gateway_that_runs(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PAGE", 1)
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
