"""How everything fares, as one value: from a hand-wound clock, and over the wire."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admission import Admission, Priority
from gateway.errors import Failure, Unavailable
from gateway.health.health import Health
from gateway.report import Condition, Process, gauges, report
from gateway.state.memory import Memory
from gateway.telemetry.catalogue import CATALOGUE
from gateway.types import Account, Features, Secret, Timeouts, World
from gateway.types import Admission as Rules
from tests.gateway import BODY, against
from tests.make import deployment

T0 = 1000.0
KEYS = tuple(Secret(f"sk-secret-{n}") for n in range(2))
ACME = Account("acme", "openai", "https://acme.test/v1", keys=KEYS)
PATIENT = Account("patient", "openai", "https://patient.test/v1", timeouts=Timeouts(first_token=20.0))
A, B = deployment("a", account=ACME), deployment("b", account=PATIENT)
WORLD = World("v", {"a": A, "b": B}, ())
ASKED = Features(10, None, 1, frozenset(), 0)
DOWN = Failure("overloaded", "down", status=503)

FINE = Condition(
    deployment="a",
    provider="acme",
    model="a",
    breaker="closed",
    sentence="closed with 0 failures in 0 calls",
    asked_in_s=0.0,
    diverted=0.0,
    keys=2,
    keys_usable=2,
    keys_back_in_s=0.0,
    inflight=0,
    limit=1000,
    usual_first_s=None,
    first_limit_s=10.0,
    limits_left=1.0,
    retries_left=30.0,
)


def fleet() -> tuple[Health, Admission]:
    return Health(Memory(), WORLD, T0), Admission(Rules(max_inflight=1, queue=7), clock=lambda: T0)


def told(health: Health, admission: Admission, now: float) -> dict[str, Condition]:
    return {c.deployment: c for c in report(WORLD.deployments, health, admission, now).deployments}


def fail(health: Health, failure: Failure, now: float) -> None:
    leave = health.leave(A, ASKED, now)
    assert leave is not None
    leave.ended(failure, None, now)


def test_all_is_well_with_what_nobody_has_asked() -> None:
    health, admission = fleet()
    assert told(health, admission, T0)["a"] == FINE
    # An operator's own limit takes the place of what was learnt; an account without keys has one that always works.
    assert (told(health, admission, T0)["b"].first_limit_s, told(health, admission, T0)["b"].keys) == (20.0, 1)
    assert str(FINE) == (
        "a (acme/a): closed with 0 failures in 0 calls; 2 of 2 keys usable; 0 in flight of 1000; "
        "19 of 20 first contents within: too few to tell, limit 10 s; 100% of its limits left; 30 retries left"
    )


def test_an_open_breaker_says_until_when_and_why() -> None:
    health, admission = fleet()
    for _ in range(3):
        fail(health, DOWN, T0)
    a = told(health, admission, T0 + 10)["a"]
    assert (a.breaker, a.asked_in_s, a.sentence) == (
        "open",
        20.0,
        "open for 20.0 s more after 3 failures in 3 calls",
    )
    assert told(health, admission, T0 + 30)["a"].asked_in_s is None
    assert told(health, admission, T0)["b"].breaker == "closed"


def test_keys_that_rest_say_when_the_first_is_back() -> None:
    health, admission = fleet()
    fail(health, Failure("auth", "no", status=401), T0)
    assert (told(health, admission, T0)["a"].keys_usable, told(health, admission, T0)["a"].keys_back_in_s) == (1, 0.0)
    fail(health, Failure("quota", "empty", status=429), T0)
    a = told(health, admission, T0 + 100)["a"]
    assert (a.keys_usable, a.keys_back_in_s, a.asked_in_s) == (0, 200.0, 200.0)
    assert "0 of 2 keys usable (the first in 200 s)" in str(a)
    assert gauges(health, admission, T0)["gateway_keys_usable"] == {("acme",): 0, ("patient",): 1}


async def test_the_process_says_what_is_under_way_and_who_was_turned_away() -> None:
    health, admission = fleet()
    assert admission.enter("interactive")
    for _ in range(60):
        admission.lagged(0.5)
    for _ in range(2):
        with pytest.raises(Unavailable):
            admission.enter("batch")
    assert not await admission.for_room("t", "interactive", ("a",), T0)
    made = report(WORLD.deployments, health, admission, T0)
    nobody: dict[Priority, int] = {"interactive": 0, "batch": 0}
    assert made.process == Process(
        1, 1, 0, 7, 0.5, {"lag": {**nobody, "batch": 2}, "queue": nobody, "full": {**nobody, "interactive": 1}}
    )
    assert made.lines()[0] == (
        "process: 1 requests of 1, 0 waiting of 7, event loop 500 ms late; "
        "turned away: 2 batch for lag, 1 interactive for full"
    )


async def test_a_scrape_counts_every_change_of_a_breaker() -> None:
    state = Memory()
    health, admission = Health(state, WORLD, T0), Admission(Rules(), clock=lambda: T0)

    def scrape(now: float) -> dict[str, Any]:
        found = gauges(health, admission, now)
        changes = found["gateway_breaker_transitions_total"]
        return {"state": found["gateway_breaker_state"]["a",], **{to: changes["a", to] for to in CHANGES}}

    assert scrape(T0) == {"state": 0, "open": 0, "half_open": 0, "closed": 0}
    for _ in range(3):
        fail(health, DOWN, T0)
    assert scrape(T0) == {"state": 1, "open": 1, "half_open": 0, "closed": 0}
    assert scrape(T0 + 30) == {"state": 1, "open": 1, "half_open": 0, "closed": 0}
    for _ in range(2):  # asks for the lease, then has it
        health.tick(T0 + 30)
        await state.sync(T0 + 30)
    assert scrape(T0 + 30) == {"state": 2, "open": 1, "half_open": 1, "closed": 0}
    leave = health.leave(A, ASKED, T0 + 30)
    assert leave is not None
    leave.ended(None, None, T0 + 31)
    assert scrape(T0 + 31) == {"state": 0, "open": 1, "half_open": 1, "closed": 1}


CHANGES = ("open", "half_open", "closed")


def test_everything_that_is_told_to_a_scrape_is_in_the_catalogue_with_its_labels() -> None:
    labels = {metric.name: len(metric.labels) for metric in CATALOGUE}
    for name, values in gauges(*fleet(), T0).items():
        assert {len(by) for by in values} == {labels[name]}, name


async def test_operators_see_it_as_json_or_as_lines_and_a_scrape_as_numbers_without_any_secret() -> None:
    async with against() as (gateway, _):
        for _ in range(3):
            await gateway.chat({**BODY, "model": "b"})
        answer = (await gateway.http.get(f"{gateway.admin}/admin/health")).json()
        assert [d["deployment"] for d in answer["deployments"]] == ["a", "b"]
        assert answer["deployments"][1]["sentence"] == "closed with 0 failures in 3 calls"
        plain = await gateway.http.get(f"{gateway.admin}/admin/health", headers={"accept": "text/plain"})
        assert plain.text.splitlines()[0].startswith("process: 0 requests of 1000, 0 waiting of 100")
        assert plain.text.splitlines()[1].startswith("a (sim/a): closed with 0 failures in 0 calls; 1 of 1 keys usable")
        scrape = (await gateway.http.get(f"{gateway.admin}/metrics")).text
        assert 'gateway_breaker_state{target="a"} 0.0' in scrape
        assert 'gateway_keys_usable{provider="sim"} 1.0' in scrape
        assert "sk-provider-secret" not in plain.text + scrape + str(answer)
