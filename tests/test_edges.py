"""What people trip over: keys that may use too little, what an error costs, slashes, what a reload cannot change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import warnings
from functools import partial
from pathlib import Path

import pytest

from gateway.config.load import load_text
from gateway.keys.form import mint
from gateway.state.memory import Memory
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider
from tests.gateway import BODY, against, serving
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]

TEAM, DIGEST = mint("team")
SECRET = {"authorization": f"Bearer {TEAM}"}


def key(**what: str) -> str:
    limits = "".join(f", {name}: [{value}]" for name, value in what.items())
    return f"keys: [{{id: team, secret_hash: {DIGEST}{limits}}}]\n"


async def test_a_key_that_may_use_no_deployment_of_a_route_is_told_so() -> None:
    config = "routes: [{name: r, policy: {pool: [b]}}, {name: both, policy: {pool: [b, a]}}]\n" + key(models="a")
    async with against(config) as (gateway, provider):
        for model in ("auto", "r"):
            refused = await gateway.chat({**BODY, "model": model}, **SECRET)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
        served = await gateway.chat({**BODY, "model": "both"}, **SECRET)
        assert (served.status_code, served.headers["x-gateway-routed-model"]) == (200, "a")
        assert [r.model for r in provider.requests] == ["a"]
        assert "key team may not use it" in "\n".join(
            (
                await gateway.http.get(f"{gateway.admin}/admin/decisions/{refused.headers['x-gateway-decision-id']}")
            ).json()["story"]
        )


async def test_auto_finds_only_the_routes_of_a_key_and_says_when_there_is_none() -> None:
    routes = "routes: [{name: t, when: {needs: [tools]}, policy: {pool: [a]}}, {name: r, policy: {pool: [b]}}]\n"
    async with against(routes + key(routes="t")) as (gateway, _):
        refused = await gateway.chat(**SECRET)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_route")
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        assert (await gateway.chat({**BODY, "tools": [tool]}, **SECRET)).headers["x-gateway-routed-model"] == "a"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_says_what_was_tried_and_what_that_cost(stream: bool) -> None:
    async with against() as (gateway, provider):
        provider.script("*", Script(fault="overloaded"))
        refused = await gateway.chat({**BODY, "stream": stream})
        assert refused.status_code == 503
        headers = {name: refused.headers[f"x-gateway-{name}"] for name in ("attempts", "cost-usd", "routed-model")}
        assert headers == {"attempts": "4", "cost-usd": "0.000000", "routed-model": "b"}


async def test_a_stream_that_is_null_is_none() -> None:
    async with against() as (gateway, _):
        assert (await gateway.chat({**BODY, "stream": None})).json()["object"] == "chat.completion"


async def test_other_methods_are_told_the_right_one() -> None:
    async with against() as (gateway, _):
        url = f"{gateway.url}/v1/chat/completions"
        for method in ("HEAD", "OPTIONS", "GET", "DELETE"):
            refused = await gateway.http.request(method, url)
            assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        for path in ("healthz", "readyz"):
            assert (await gateway.http.head(f"{gateway.admin}/{path}")).status_code == 200


async def test_a_slash_too_many_is_no_redirect_on_the_admin_port_either() -> None:
    async with against() as (gateway, _):
        refused = await gateway.http.get(f"{gateway.admin}/metrics/", headers={"host": "evil.example"})
        assert (refused.status_code, refused.headers.get("location")) == (404, None)


@pytest.mark.parametrize("limit", ["abc", "", "9" * 5000, "1.5", "²"])
async def test_a_parameter_that_is_none_is_refused_in_the_envelope(limit: str) -> None:
    async with against() as (gateway, _):
        refused = await gateway.http.get(f"{gateway.admin}/admin/decisions", params={"limit": limit})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_value", "limit")
        assert len(refused.content) < 500


async def test_the_admin_port_documents_itself_without_a_warning() -> None:
    async with against() as (gateway, _):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            schema = (await gateway.http.get(f"{gateway.admin}/openapi.json")).json()
        assert [str(w.message) for w in said] == []
        assert "get" in schema["paths"]["/healthz"]


async def test_a_reload_says_what_only_a_restart_can_change(tmp_path: Path) -> None:
    before = "providers: {sim: {kind: simulated}}\ndeployments: {a: {provider: sim, model: a}}\n"
    after = f"{before}server: {{port: 9999, max_body: 2KiB}}\njournal: {{path: {tmp_path}/j}}\n"
    async with serving(load_text(before, {}), lambda: load_text(after, {})) as gateway:
        state = (await gateway.http.post(f"{gateway.admin}/admin/config/reload")).json()
        assert state["needs_restart"] == ["server", "journal"]
        gateway.app._log.flush()
        (line,) = [line for line in map(json.loads, gateway.said) if line["event"] == "config.needs_restart"]
        assert (line["level"], line["parts"]) == ("warning", ["server", "journal"])
        assert (await gateway.chat({**BODY, "padding": "x" * 3000})).status_code == 413
    live = f"{before}server: {{max_body: 2KiB, body_timeout: 5s}}"
    async with serving(load_text(before, {}), lambda: load_text(live, {})) as gateway:
        assert (await gateway.http.post(f"{gateway.admin}/admin/config/reload")).json()["needs_restart"] == []


async def test_a_ledger_wants_a_restart_only_where_one_would_open_it(tmp_path: Path) -> None:
    bare = "providers: {sim: {kind: simulated}}\ndeployments: {a: {provider: sim, model: a}}\n"
    with_budget = "teams: {t: {budget: {usd: 1}}}\n"
    nowhere = "state: redis://127.0.0.1:1/0\n"
    named = f"budgets: {{ledger: {tmp_path / 'ledger'}}}\n"
    for more, kept, restart in ((named, False, ["budgets.ledger"]), (nowhere, False, []), (nowhere + named, True, [])):
        async with serving(load_text(bare + more, {}), partial(load_text, bare + more + with_budget, {})) as gateway:
            assert gateway.app.treasury.kept is kept
            state = (await gateway.http.post(f"{gateway.admin}/admin/config/reload")).json()
            assert state["needs_restart"] == restart


async def test_a_good_reload_after_a_bad_one_is_told_even_when_nothing_changed() -> None:
    good = "providers: {sim: {kind: simulated}}\ndeployments: {a: {provider: sim, model: a}}\n"
    texts = iter((good + "nonsense: 1", good))
    async with serving(load_text(good, {}), lambda: load_text(next(texts), {})) as gateway:
        for status, successful in ((422, "0.0"), (200, "1.0")):
            assert (await gateway.http.post(f"{gateway.admin}/admin/config/reload")).status_code == status
            metrics = (await gateway.http.get(f"{gateway.admin}/metrics")).text
            assert f"gateway_config_last_reload_successful {successful}" in metrics


async def test_what_one_gateway_leaves_alone_another_leaves_alone_too(redis_server: RedisServer) -> None:
    async with SimulatedProvider() as provider:
        provider.script("a", Script(fault="rate_limited_bare", times=1))
        config = (
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true}}}}\n"
            "deployments: {a: {provider: sim, model: a}, b: {provider: sim, model: b}}\n"
            f"state: {redis_server.url}"
        )
        async with serving(load_text(config, {})) as one, serving(load_text(config, {})) as other:
            assert (await one.chat()).headers["x-gateway-routing-reason"] == "fallback:rate"
            async with asyncio.timeout(3):
                while (await other.chat()).headers["x-gateway-routing-reason"] != "overflow":
                    await asyncio.sleep(0.02)


async def test_a_gateway_ends_though_what_it_waits_for_loses_the_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As asyncio.wait_for may before Python 3.12: the state is synced on as if nobody had asked it to stop."""
    under_way = asyncio.Event()

    async def sync(self: Memory, now: float) -> None:
        under_way.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)

    monkeypatch.setattr(Memory, "sync", sync)
    async with asyncio.timeout(5):
        async with against():
            await under_way.wait()
