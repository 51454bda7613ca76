"""How budgets stand over a fleet."""

from __future__ import annotations

from gateway.budgets.account import Row
from gateway.budgets.period import span_of
from gateway.budgets.standing import Standing, budgeted, stands, templates
from gateway.config.load import load_text
from gateway.types import Budget, Caller, Scope

NOVEMBER = 1_795_000_000.0
TEAM = Scope("team:support", Budget(1_000))


def test_what_is_leased_by_replicas_that_are_gone_and_what_they_lost_is_unaccounted() -> None:
    rows = {
        "team:support/2026-11": {"here": Row(3, 300, 200, 10), "gone": Row(9, 250, 100, 50), "left": Row(4, 70, 70)},
        "team:support/2026-10": {"here": Row(1, 999, 999)},
    }
    found = stands(TEAM, NOVEMBER, rows, {"here"})
    assert found == Standing(TEAM, span_of("month", NOVEMBER), 1_000, settled=370, committed=620, unaccounted=160)
    assert found.leased == 90


def test_a_budget_that_nobody_has_touched_stands_at_nothing() -> None:
    assert stands(TEAM, NOVEMBER, {}, {"here"}) == Standing(TEAM, span_of("month", NOVEMBER), 1_000)


def test_the_budgets_of_a_configuration_come_from_the_widest_to_the_narrowest() -> None:
    world = load_text(
        "providers: {sim: {kind: simulated}}\n"
        "deployments: {a: {provider: sim, model: a, price: {input: 1, output: 2}}}\n"
        "organisations: {acme: {budget: {usd: 100}}, other: {limits: {rpm: 5}}}\n"
        "teams:\n"
        "  b: {organisation: acme, budget: {usd: 5, per: day}, each_user: {budget: {usd: 1}}}\n"
        "  a: {organisation: acme, budget: {usd: 6}, each_user: {limits: {rpm: 1}}}\n"
        "keys:\n"
        f"  - {{id: k, secret_hash: {'0' * 64}, team: a, budget: {{usd: 2}}, each_user: {{budget: {{usd: 3}}}}}}\n"
        f"  - {{id: l, secret_hash: {'1' * 64}, team: b}}\n",
        {},
    )
    assert list(budgeted(world)) == ["organisation:acme", "team:a", "team:b", "key:k"]
    assert list(templates(world)) == ["user:team/b/", "user:key/k/"]


def test_budgets_of_issuers_and_of_keys_made_at_run_time_are_budgets_too() -> None:
    world = load_text(
        "providers: {sim: {kind: simulated}}\n"
        "deployments: {a: {provider: sim, model: a, price: {input: 1, output: 2}}}\n"
        "teams: {a: {}}\n"
        "identity:\n"
        "  - {name: corp, issuer: 'https://login.example/', audience: gw, team: groups, budget: {usd: 9},\n"
        "     each_user: {budget: {usd: 1}}}\n",
        {},
    )
    made = Caller("m", scopes=(Scope("key:m", Budget(5)),), each_user=(Scope("user:key/m/", Budget(6)),))
    assert world.budgeted
    assert list(budgeted(world, [made])) == ["key:jwt:corp", "key:m"]
    assert list(templates(world, [made])) == ["user:key/m/", "user:key/jwt:corp/"]
