"""What is known of deployments and what comes of it: by a hand-wound clock, on real sockets, and in a fleet of two."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.config.load import load_text
from gateway.errors import Failure, FailureKind
from gateway.health.health import Health
from gateway.policy.strategies import LeastBusy
from gateway.state.memory import Memory
from gateway.testing.faults import SlowFirstToken
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider
from gateway.types import Account, Cooling, Deployment, Features, Login, Reliability, Secret, Usage, World
from tests.gateway import BODY, Running, against, serving
from tests.make import asked, deployment, policy, route, world
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]

T0 = 1000.0
FEATURES = asked().features
QUICK = "reliability: {breaker: {open: 300ms, idle_probe: 100ms}}\n"
STREAM = {**BODY, "stream": True}


# --- by the clock ---------------------------------------------------------------------------------------------------


def account(*keys: str, base_url: str = "https://one.example/v1") -> Account:
    return Account("acme", "openai", base_url, keys=tuple(map(Secret, keys)))


def one(of: Account, **more: Any) -> Deployment:
    return deployment("a", account=of, model="m", **more)


def known(*deployments: Deployment, **more: Any) -> tuple[Health, Memory, World]:
    state, w = Memory(), world(*deployments, **more)
    return Health(state, w, T0), state, w


def fail(health: Health, what: Deployment, kind: FailureKind, now: float, times: int = 1, **more: Any) -> None:
    for _ in range(times):
        leave = health.leave(what, FEATURES, now)
        assert leave is not None
        leave.ended(Failure(kind, "it failed", **more), None, now)


def test_while_all_is_well_nothing_is_looked_at() -> None:
    a, b = deployment("a"), deployment("b")
    health, _, _ = known(a, b)
    leave = health.leave(a, FEATURES, T0)
    assert leave is not None
    leave.answered([(b"x-ratelimit-remaining-requests", b"99"), (b"x-ratelimit-limit-requests", b"100")], T0)
    leave.content(T0 + 1)
    leave.ended(None, Usage(1, 1), T0 + 2)
    assert health.cooling(FEATURES, T0 + 3) is health.cooling(FEATURES, T0 + 4)
    assert (dict(health.cooling(FEATURES, T0 + 4)), dict(health.load(T0 + 4))) == ({}, {})
    assert health.lanes()["a"].load.inflight == 0


def test_only_what_a_strategy_weighs_is_weighed() -> None:
    a, b = deployment("a"), deployment("b")
    routes = (route("r", policy("a", strategy=LeastBusy())), route("s", policy("b")))
    health, _, _ = known(a, b, routes=routes)
    assert health.load(T0).keys() == {"a"}


def test_a_breaker_opens_is_probed_once_and_closes_with_the_first_content() -> None:
    a = deployment("a")
    health, state, _ = known(a)
    fail(health, a, "overloaded", T0, times=3)
    assert health.cooling(FEATURES, T0 + 1) == {"a": Cooling(T0 + 30, "breaker")}
    assert health.leave(a, FEATURES, T0 + 1) is None
    run(health, state, T0 + 30, T0 + 30.1)
    probe = health.leave(a, FEATURES, T0 + 31)
    assert probe is not None
    assert health.leave(a, FEATURES, T0 + 31) is None
    assert health.cooling(FEATURES, T0 + 31) == {"a": Cooling(T0 + 32, "breaker")}, "soon, not when the probe is lost"
    probe.content(T0 + 33)
    assert (health.cooling(FEATURES, T0 + 33), health.leave(a, FEATURES, T0 + 33) is not None) == ({}, True)
    assert health.transitions == {("acme/a", to): 1 for to in ("open", "half_open", "closed")}


def test_a_probe_whose_client_leaves_is_given_to_the_next() -> None:
    a = deployment("a")
    health, state, _ = known(a)
    fail(health, a, "overloaded", T0, times=3)
    run(health, state, T0 + 30, T0 + 30.1)
    probe = health.leave(a, FEATURES, T0 + 31)
    assert probe is not None
    probe.left(T0 + 32)
    assert health.leave(a, FEATURES, T0 + 32) is not None


def run(health: Health, state: Memory, *times: float) -> None:
    """What goes on in the background, at these times."""
    for now in times:
        asyncio.run(state.sync(now))
        health.tick(now)
    asyncio.run(state.sync(times[-1]))
    health.tick(times[-1])


def test_a_key_that_was_refused_is_tried_by_one_and_free_for_all_when_that_is_answered() -> None:
    a = one(account("k"))
    health, _, _ = known(a)
    fail(health, a, "auth", T0, status=401)
    assert health.cooling(FEATURES, T0 + 1) == {"a": Cooling(T0 + 300, "auth")}
    trial = health.leave(a, FEATURES, T0 + 301)
    assert trial is not None
    assert health.leave(a, FEATURES, T0 + 301) is None
    trial.ended(Failure("client", "the client's mistake"), None, T0 + 302)
    assert [health.leave(a, FEATURES, T0 + 302) is not None for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("kind", ["overloaded", "connect", "silent"])
def test_a_key_on_trial_whose_request_failed_for_another_reason_is_tried_by_the_next(kind: FailureKind) -> None:
    a = one(account("k"))
    health, _, _ = known(a)
    fail(health, a, "auth", T0, status=401)
    fail(health, a, kind, T0 + 301)
    assert health.leave(a, FEATURES, T0 + 302) is not None


def test_a_key_with_little_left_is_reckoned_with_whatever_other_keys_have() -> None:
    a = one(account("k", "l"))
    health, _, _ = known(a)
    lane = health.lanes()["a"]
    keys = set()
    for _ in range(8):
        leave = health.leave(a, FEATURES, T0)
        assert leave is not None
        keys.add(leave.key)
        left = b"1" if leave.key == 0 else b"90"
        leave.answered([(b"x-ratelimit-remaining-requests", left), (b"x-ratelimit-limit-requests", b"100")], T0)
        leave.ended(None, Usage(1, 1), T0)
    assert keys == {0, 1}
    assert lane.metered


def test_what_began_before_a_reload_ends_as_it_began() -> None:
    a = one(account("k", "l"))
    health, _, before = known(a)
    moved = one(account("x", base_url="https://two.example/v1"))
    for deployments in ({"b": deployment("b")}, {"a": moved}):
        health.know(replace(before, deployments=deployments), T0)
        leave = health.leave(a, FEATURES, T0)
        assert leave is not None
        assert leave.key in (0, 1)
        assert 10.0 <= health.first_token_s(a, FEATURES, T0) < 10.1
        assert (health.streams(a), health.continues(a), health.other_key(a, T0)) == (True, True, True)
        health.refused_to_stream(a)
        assert not health.streams(a)
        assert health.may_retry(a, T0)
        assert health.hedge_after_s(a, 0.02, T0) is None
        leave.ended(Failure("overloaded", "down"), None, T0)
        health.know(before, T0)


def test_keys_of_an_account_that_a_reload_has_taken_away_do_not_touch_those_it_has_now() -> None:
    before, after = one(account("k", "l")), one(account("k"))
    health, _, w = known(before)
    health.know(replace(w, deployments={"a": after}), T0)
    for _ in range(8):
        leave = health.leave(before, FEATURES, T0)
        assert leave is not None
        if leave.key == 1:
            leave.ended(Failure("auth", "no", status=401), None, T0)
    assert health.cooling(FEATURES, T0) == {}
    kept = health.leave(after, FEATURES, T0)
    assert kept is not None
    assert kept.key == 0


def test_an_endpoint_that_a_reload_has_moved_is_asked_though_the_old_one_was_left_alone() -> None:
    a = one(account("k"))
    health, state, w = known(a)
    fail(health, a, "connect", T0, times=3)
    run(health, state, T0 + 0.1)
    health.know(replace(w, deployments={"a": one(account("k", base_url="https://two.example/v1"))}), T0 + 1)
    run(health, state, T0 + 1.1)
    assert health.cooling(FEATURES, T0 + 2) == {}


def test_a_login_that_was_refused_is_begun_anew_when_a_reload_has_changed_it() -> None:
    before, after = (
        one(replace(account(), auth=Login("azure_ad", (("tenant", "t"),), (("client_secret", Secret(secret)),))))
        for secret in ("old", "new")
    )
    health, state, w = known(before)
    fail(health, before, "auth", T0)
    run(health, state, T0 + 0.1)
    assert health.leave(before, FEATURES, T0 + 1) is None
    health.know(replace(w, deployments={"a": before}), T0 + 1)
    assert health.leave(before, FEATURES, T0 + 1) is None, "the same one rests on"
    health.know(replace(w, deployments={"a": after}), T0 + 1)
    run(health, state, T0 + 1.1)
    assert health.leave(after, FEATURES, T0 + 2) is not None


def test_a_breaker_with_other_rules_after_a_reload_still_heeds_what_the_fleet_says() -> None:
    a = one(account("k"))
    health, state, w = known(a)
    fail(health, a, "connect", T0, times=3)
    run(health, state, T0 + 0.1)
    health.know(replace(w, reliability=Reliability(open_s=60.0)), T0 + 1)
    run(health, state, T0 + 1.1)
    assert health.cooling(FEATURES, T0 + 2) == {"a": Cooling(T0 + 30, "breaker")}


def test_what_is_larger_than_a_limit_is_told_from_what_has_to_wait() -> None:
    a = one(account("k"), tpm=3000)
    health, _, _ = known(a)
    large = Features(5000, None, 1, frozenset(), 0)
    assert health.cooling(large, T0) == {"a": Cooling(T0, "too_large")}
    assert health.cooling(FEATURES, T0) == {}


# --- on real sockets ------------------------------------------------------------------------------------------------


def chats(provider: SimulatedProvider, model: str = "a") -> int:
    return len(provider.asked(model))


async def until(true: Any, within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_deployment_that_fails_is_left_alone_probed_by_its_list_of_models_and_asked_again() -> None:
    config = QUICK + "routes: [{name: r, policy: {pool: [a], retry: {same_target: 0}}}]"
    async with against(config) as (gateway, provider):
        provider.script("a", Script(fault="overloaded"))
        assert [(await gateway.chat()).status_code for _ in range(3)] == [503] * 3
        shut = await gateway.chat()
        assert (shut.status_code, shut.json()["error"]["code"], chats(provider)) == (503, "no_deployment", 3)
        assert shut.headers["x-should-retry"] == "false"
        assert 0 < int(shut.headers["retry-after-ms"]) <= 300
        provider.script("a", Script(text="well again"))
        breaker = gateway.app.health.lanes()["a"].breaker
        await until(lambda: breaker.state(time.monotonic()) == "closed")
        probes = [r for r in provider.requests if r.method == "GET"]
        assert [(r.path, r.headers.get("authorization")) for r in probes] == [
            ("/v1/models", "Bearer sk-provider-secret")
        ]
        assert ((await gateway.chat()).status_code, chats(provider)) == (200, 4)


async def test_of_many_requests_one_is_the_probe_and_the_others_go_elsewhere() -> None:
    config = QUICK.replace("100ms", "10s") + "routes: [{name: r, policy: {pool: [a, b], retry: {same_target: 0}}}]"
    async with against(config) as (gateway, provider):
        provider.script("a", Script(fault="overloaded"))
        for _ in range(3):
            await gateway.chat()
        provider.script("a", Script(fault=SlowFirstToken(0.2), text="well again"))
        breaker = gateway.app.health.lanes()["a"].breaker
        await until(lambda: breaker.state(time.monotonic()) == "half_open")
        answers = await asyncio.gather(*(gateway.chat(STREAM) for _ in range(8)))
        assert sorted(r.headers["x-gateway-routed-model"] for r in answers) == ["a"] + ["b"] * 7
        assert {
            r.headers["x-gateway-routing-reason"] for r in answers if "b" in r.headers["x-gateway-routed-model"]
        } <= {
            "breaker_open",
            "overflow",
        }
        assert chats(provider) == 4
        assert (await gateway.chat()).headers["x-gateway-routed-model"] == "a"


async def test_who_was_passed_over_between_decision_and_try_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with against() as (gateway, _):
        health = gateway.app.health
        leave = health.leave
        monkeypatch.setattr(health, "leave", lambda d, *more: None if d.name == "a" else leave(d, *more))
        headers = (await gateway.chat()).headers
        assert (headers["x-gateway-routed-model"], headers["x-gateway-routing-reason"]) == ("b", "overflow")
        assert headers["x-gateway-attempts"] == "1"


async def test_when_all_of_a_pool_is_left_alone_the_fallback_says_why() -> None:
    config = "routes: [{name: r, policy: {pool: [a], fallback: [b], retry: {same_target: 0}}}]"
    async with against(config) as (gateway, provider):
        provider.script("a", Script(fault="overloaded"))
        for _ in range(3):
            await gateway.chat()
        headers = (await gateway.chat()).headers
        assert (headers["x-gateway-routed-model"], headers["x-gateway-routing-reason"]) == ("b", "breaker_open")


async def test_a_defect_in_the_background_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with against() as (gateway, _):
        ticks: list[float] = []

        def tick(now: float) -> None:
            ticks.append(now)
            raise ValueError("a defect")

        monkeypatch.setattr(gateway.app.health, "tick", tick)
        await until(lambda: len(ticks) > 1)
        await until(lambda: any(b"health.failed" in line for line in gateway.said))


@asynccontextmanager
async def two_keys() -> AsyncIterator[tuple[Running, SimulatedProvider]]:
    async with SimulatedProvider() as provider:
        text = (
            f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true,"
            " api_key: [key-one, key-two]}}\n"
            "deployments: {a: {provider: sim, model: a}, b: {provider: sim, model: b}}\n"
            "routes: [{name: r, policy: {pool: [a]}}, {name: other, policy: {pool: [b]}}]\n"
        )
        async with serving(load_text(text, {})) as gateway:
            yield gateway, provider


@pytest.mark.parametrize(
    ("fault", "for_all"),
    [("unauthorized", True), ("insufficient_quota", True), ("forbidden", False), ("rate_limited", False)],
)
async def test_a_refused_key_is_out_after_one_answer_and_no_client_notices(fault: str, for_all: bool) -> None:
    async with two_keys() as (gateway, provider):
        provider.script("a", Script(fault=fault, times=1), Script(text="fine"))
        answers = [await gateway.chat({**BODY, "model": "r"}) for _ in range(8)]
        assert [r.status_code for r in answers] == [200] * 8
        assert [r.headers["x-gateway-attempts"] for r in answers] == ["2"] + ["1"] * 7
        refused, *others = [r.headers["authorization"] for r in provider.asked("a")]
        assert set(others) == {"Bearer key-one", "Bearer key-two"} - {refused}
        for _ in range(12):
            assert (await gateway.chat({**BODY, "model": "other"})).status_code == 200
        used = {r.headers["authorization"] for r in provider.asked("b")}
        assert (refused in used) is not for_all


async def test_when_every_key_is_refused_the_client_is_told_whose_fault_it_is_and_no_key_is_asked_again() -> None:
    async with two_keys() as (gateway, provider):
        provider.script("a", Script(fault="unauthorized"))
        for asked in (2, 2):
            response = await gateway.chat({**BODY, "model": "r"})
            assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_auth")
            assert "key-" not in response.text
            assert chats(provider) == asked


@pytest.mark.parametrize(("limits", "reason"), [("{rpm: 6}", "overflow"), ("{tpm: 600}", "overflow")])
async def test_traffic_overflows_before_the_provider_has_to_say_no(limits: str, reason: str) -> None:
    config = (
        f"  c: {{provider: sim, model: c, limits: {limits}}}\n"
        "routes: [{name: r, policy: {pool: [c, b]}}, {name: alone, policy: {pool: [c]}}]"
    )
    async with against(config) as (gateway, provider):
        asked = {**BODY, "max_tokens": 300, "model": "r"}
        served = [(await gateway.chat(asked)).headers for _ in range(3)]
        assert [h["x-gateway-routed-model"] for h in served] == ["c", "b", "b"]
        assert [h["x-gateway-routing-reason"] for h in served] == ["rule", reason, reason]
        full = await gateway.chat({**asked, "model": "alone"})
        assert (full.status_code, full.json()["error"]["code"]) == (429, "upstream_rate_limited")
        assert (full.headers["x-should-retry"], int(full.headers["retry-after"]) > 0) == ("true", True)
        assert chats(provider, "c") == 1


async def test_a_request_larger_than_every_limit_is_refused_for_good() -> None:
    config = "  c: {provider: sim, model: c, limits: {tpm: 100}}\nroutes: [{name: r, policy: {pool: [c]}}]"
    async with against(config) as (gateway, provider):
        response = await gateway.chat({**BODY, "max_tokens": 5000})
        (record,) = await gateway.settled(1)
        assert (response.status_code, response.headers["x-should-retry"]) == (429, "false")
        assert "larger than the rate limits" in response.json()["error"]["message"]
        assert "retry-after" not in response.headers
        assert (record.outcome, chats(provider, "c")) == ("rate_limited", 0)


# --- in a fleet -----------------------------------------------------------------------------------------------------


async def test_what_one_replica_finds_out_both_heed_and_one_of_them_probes(redis_server: RedisServer) -> None:
    config = (
        "reliability: {breaker: {open: 1s, idle_probe: 50ms}}\n"
        "routes: [{name: r, policy: {pool: [a], retry: {same_target: 0}}}]\n"
        f"state: {redis_server.url}\n"
    )
    async with against(config) as (gateway, provider), serving(gateway.app.world) as other:
        here, there = (g.app.health.lanes()["a"].breaker for g in (gateway, other))
        await until(lambda: gateway.app.state().up and other.app.state().up)
        provider.script("*", Script(fault="overloaded"))
        for _ in range(3):
            await gateway.chat()
        await until(lambda: there.state(time.monotonic()) == "open")
        assert (await other.chat()).status_code == 503
        assert chats(provider) == 3
        await until(lambda: provider_probes(provider) >= 1)
        await until(lambda: "closed" in (here.state(time.monotonic()), there.state(time.monotonic())))
        assert provider_probes(provider) == 1, "the list of models is well, so that one probe was enough"
        await until(lambda: (here.state(time.monotonic()), there.state(time.monotonic())) == ("closed", "closed"))
        assert provider_probes(provider) <= 2
        assert gateway.app.health.cooling(FEATURES, time.monotonic()) == {}


def provider_probes(provider: SimulatedProvider) -> int:
    return sum(r.method == "GET" for r in provider.requests)
