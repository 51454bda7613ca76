"""Issuers of tokens in a configuration: what is made of an entry, and what is wrong with one."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from msgspec import structs

from gateway.config.checks import logins
from gateway.config.load import check, load_text
from gateway.errors import ConfigError
from gateway.types import Budget, Caller, Issuer, Limits, Scope, World

BASE = """
providers: {sim: {kind: openai_compatible, base_url: 'https://sim.example/v1', api_key: k}}
deployments: {m: {provider: sim, model: m, price: {input: 1, output: 2}}}
organisations: {acme: {budget: {usd: 100}}}
teams:
  support: {organisation: acme, budget: {usd: 5}, tags: {team: support}, each_user: {budget: {usd: 1}}}
  legal: {}
"""
ENTRY = "name: corp, issuer: 'https://login.example/', audience: signalbox"


def world(*entries: str, more: str = "") -> World:
    listed = "".join(f"  - {{{entry}}}\n" for entry in entries)
    return load_text(f"{BASE}identity:\n{listed}{more}", {})


def issuer(entry: str) -> Issuer:
    (one,) = world(f"{ENTRY}, {entry}").issuers
    return one


def told(*entries: str, more: str = "") -> list[str]:
    with pytest.raises(ConfigError) as raised:
        world(*entries, more=more)
    return [f"{problem.message} ({problem.hint})" for problem in raised.value.problems]


def test_an_issuer_needs_its_name_its_audience_and_a_way_to_a_team() -> None:
    plain = issuer("default_team: legal")
    assert structs.asdict(plain) == structs.asdict(
        Issuer(
            name="corp",
            issuer="https://login.example/",
            audiences=frozenset({"signalbox"}),
            algorithms=frozenset({"RS256", "ES256"}),
            callers=plain.callers,
            default=Caller("jwt:corp", team="legal"),
        )
    )


def test_what_its_callers_are_is_known_by_team_as_it_is_of_keys() -> None:
    made = issuer(
        "team: realm.roles, routes: [default], models: [m], operations: [chat], priority: batch, tags: {app: web}, "
        "networks: [10.0.0.0/8], limits: {rpm: 60}, each_user: {limits: {rpm: 6}}"
    )
    micros = 1_000_000
    assert made.team == ("realm", "roles")
    assert list(made.callers) == ["support", "legal"]
    assert made.callers["support"] == Caller(
        id="jwt:corp",
        routes=frozenset({"default"}),
        models=frozenset({"m"}),
        tags={"team": "support", "app": "web"},
        organisation="acme",
        team="support",
        operations=frozenset({"chat"}),
        priority="batch",
        networks=(ip_network("10.0.0.0/8"),),
        scopes=(
            Scope("organisation:acme", Budget(100 * micros)),
            Scope("team:support", Budget(5 * micros)),
            Scope("key:jwt:corp", None, Limits(60)),
        ),
        each_user=(
            Scope("user:team/support/", Budget(micros)),
            Scope("user:key/jwt:corp/", None, Limits(6)),
        ),
    )


def test_values_of_a_claim_may_be_mapped_to_teams() -> None:
    made = issuer("team: groups, teams: {0f1e-2d3c: legal, 9a8b: legal}, default_team: support")
    assert {value: caller.team for value, caller in made.callers.items()} == {"0f1e-2d3c": "legal", "9a8b": "legal"}
    assert made.default is not None
    assert made.default.team == "support"


def test_claims_are_named_by_the_way_to_them_and_by_an_address_as_a_whole() -> None:
    made = issuer(
        "team: 'https://example.com/roles', user: profile.email, claim_tags: {unit: org.unit}, "
        "require: {hd: example.com, a.b: [x, y], email: '*'}"
    )
    assert (made.team, made.user, made.tags) == (
        ("https://example.com/roles",),
        ("profile", "email"),
        (("unit", ("org", "unit")),),
    )
    assert made.require == (
        (("hd",), frozenset({"example.com"})),
        (("a", "b"), frozenset({"x", "y"})),
        (("email",), frozenset()),
    )


def test_with_an_issuer_callers_are_asked_for_a_key_or_token() -> None:
    entry = f"{ENTRY}, default_team: legal"
    assert (world(entry).auth, world(entry, more="auth: off\n").auth, load_text(BASE, {}).auth) == (True, False, False)
    assert world(entry, more="server: {host: 0.0.0.0}\n").auth


def test_the_version_follows_what_is_said_of_an_issuer() -> None:
    one, same, other = (world(f"{ENTRY}, default_team: {team}") for team in ("legal", "legal", "support"))
    assert one.version == same.version != other.version


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "none", "rs256", "RSA-OAEP"])
def test_only_signatures_that_nobody_else_can_make_are_taken(algorithm: str) -> None:
    (problem,) = told(f"{ENTRY}, default_team: legal, algorithms: [RS256, {algorithm}]")
    assert problem.startswith("identity[0].algorithms[1]")
    assert f"'{algorithm}'" in problem
    (problem,) = told(f"{ENTRY}, default_team: legal, algorithms: []")
    assert problem.startswith("identity[0].algorithms")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("", "tokens of 'corp' lead to no team: all would be turned away (name the claim as `team:`, or a "),
        (", default_team: legl", "there is no team 'legl' (did you mean 'legal'?)"),
        (", team: groups, teams: {a: suport}", "there is no team 'suport' (did you mean 'support'?)"),
        (", default_team: legal, teams: {a: legal}", "no claim has these values (name it as `team:`)"),
        (", team: a..b", "'a..b' is no claim (write it as `groups` or `a.b`)"),
        (", team: a, require: {.b: x}", "'.b' is no claim (write it as `groups` or `a.b`)"),
        (", team: a, routes: [defalt]", "there is no route 'defalt' (did you mean 'default'?)"),
        (", team: a, models: [n]", "there is no deployment 'n' ("),
        (
            ", team: a, networks: [ten]",
            "identity[0].networks[0] is not usable: expected a network or an address, as 10.0.0.0/8",
        ),
        (", team: a, jwks: /no/such/file", "'/no/such/file' cannot be read: No such file or directory (give the path "),
        (", team: a, jwks: 'http://keys.example/k'", "keys of keys.example that come unencrypted could be anybody's ("),
        (", team: a, jwks: 'https://10.0.0.7/k'", "10.0.0.7 is a private address (write `allow_private: true` if "),
        (", team: a, jwks: 'http://localhost/k'", "localhost is a loopback address (write `allow_private: true` if "),
        (", team: a, jwks: 'ftp://h.example/k'", "the address of issuer 'corp' must begin with https:// or http:// "),
        (", team: a, jwks: 'https://u:p@h.example/k'", "the address of issuer 'corp' holds a user name or password"),
        (
            ", team: a, allow_private: yes, jwks: 'http://169.254.169.254/k'",
            "169.254.169.254 hands out a cloud's credentials: it is no issuer (correct the address)",
        ),
    ],
)
def test_an_issuer_that_cannot_work_is_an_error(entry: str, problem: str) -> None:
    (said,) = told(ENTRY + entry)
    assert said.startswith(problem)


def test_keys_can_only_be_discovered_at_an_address() -> None:
    (said,) = told("name: corp, issuer: corp, audience: a, default_team: legal")
    assert said == (
        "the address of issuer 'corp' must begin with https:// or http:// and a host (name its keys as `jwks:`)"
    )


def test_an_issuer_may_be_on_this_machine_and_its_keys_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text("{}")
    assert issuer(f"team: a, jwks: {file}").jwks == str(file)
    assert issuer("team: a, allow_private: yes, jwks: 'http://127.0.0.1:8000/k?p=1'").allow_private


def test_no_token_could_be_of_two_issuers() -> None:
    entry = f"{ENTRY}, default_team: legal"
    assert told(entry, entry) == ["issuer 'corp' is there twice (choose another name)"]
    (said,) = told(entry, entry.replace("corp", "other").replace("signalbox", "[x, signalbox]"))
    assert said.startswith("tokens of https://login.example/ for signalbox are those of 'corp' already (join the two")
    assert len(world(entry, entry.replace("corp", "app").replace("signalbox", "app")).issuers) == 2


def test_no_key_is_called_as_callers_with_a_token_are() -> None:
    (said,) = told(f"{ENTRY}, default_team: legal", more=f"keys: [{{id: 'jwt:x', secret_hash: {'0' * 64}}}]\n")
    assert said == "jwt: begins the ids of callers with a token (choose another id)"


def test_a_package_that_is_missing_is_found_before_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "installed", lambda module: module != "jwt")
    assert told(f"{ENTRY}, default_team: legal") == [
        "to verify tokens, `identity` needs PyJWT and cryptography (pip install 'signalbox-gateway[jwt]')"
    ]
    assert load_text(BASE, {}).issuers == (), "who has no issuer needs no package"


def test_a_route_that_only_tokens_may_use_is_not_out_of_reach(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    routes = "routes: [{name: first, when: {intent: code}}, {name: default}]\n"
    keys = f"keys: [{{id: k, secret_hash: {'0' * 64}, routes: [default]}}]\n"
    identity = f"identity: [{{{ENTRY}, default_team: legal, routes: [%s]}}]\n"
    said = BASE.replace("api_key: k", "api_key: ${K}") + routes + keys + identity
    file.write_text(said % "first")
    assert check(file, {"K": "k"}) == []
    file.write_text(said % "default")
    assert [problem.message for problem in check(file, {"K": "k"})] == ["no key may use route 'first'"]
