"""No two scopes share an account, however they are called. Read next: ../../gateway/budgets/scopes.py."""

from __future__ import annotations

from itertools import product
from typing import get_args

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.budgets.period import span_of
from gateway.budgets.scopes import each_user_of, scopes_of
from gateway.config.load import load_text
from gateway.limits.limiter import Limiter
from gateway.state.memory import Memory
from gateway.types import Caller, Limits, Period, Scope, World

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}", fullmatch=True)
USERS = st.text(min_size=1, max_size=256)
WHOSE = st.tuples(st.sampled_from(["organisation", "team", "key"]), NAMES) | st.tuples(
    st.sampled_from(["user of team", "user of key"]), NAMES, USERS
)
NOON = 1_795_867_200.0
FILE = """
providers: {sim: {kind: simulated}}
deployments: {a: {provider: sim, model: a}}
teams:
  a: {each_user: {budget: {usd: 1}, limits: {rpm: 1}}}
  a/b: {each_user: {budget: {usd: 1}, limits: {rpm: 1}}}
keys:
  - {id: one, team: a, secret_hash: HASH}
  - {id: two, team: a/b, secret_hash: OTHER}
""".replace("HASH", "ab" * 32).replace("OTHER", "cd" * 32)


def scope_of(whose: tuple[str, ...]) -> str:
    kind, name, *user = whose
    if not user:
        return f"{kind}:{name}"
    return each_user_of("team" if kind == "user of team" else "key", name) + user[0]


def places(scope: str) -> set[str]:
    """The names under which its limits are kept."""
    limiter = Limiter(Memory(), clock=lambda: 0.0)
    (gate,) = limiter.gates(Caller("k", scopes=(Scope(scope, limits=Limits(1, 1, 1)),)))
    return {gate.place, *(rate.name for rate in gate.rates)}


@example(("user of team", "a", "b/c"), ("user of team", "a/b", "c"))
@example(("key", "a/2026-11"), ("key", "a"))
@example(("key", "a:requests"), ("key", "a"))
@example(("user of key", "a", "x"), ("key", "user:key/a/x"))
@example(("user of team", "t", "x/2026-11"), ("user of team", "t", "x"))
@given(WHOSE, WHOSE)
def test_no_two_scopes_share_an_account_in_any_period_nor_a_limit(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    if one == other:
        return
    for a, b in product(get_args(Period), repeat=2):
        assert f"{scope_of(one)}/{span_of(a, NOON).name}" != f"{scope_of(other)}/{span_of(b, NOON).name}"
    assert places(scope_of(one)).isdisjoint(places(scope_of(other)))


def test_a_user_whose_name_begins_like_another_team_spends_nothing_of_that_teams_users() -> None:
    world: World = load_text(FILE, {})
    one, two = (world.keys[id].caller for id in ("one", "two"))
    assert [scope.name for scope in scopes_of(one, "b/c")] == ["user:team/a/b/c"]
    assert [scope.name for scope in scopes_of(two, "c")] == ["user:team/a%2Fb/c"]
