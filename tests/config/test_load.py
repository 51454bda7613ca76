"""From a file to a World. Read next: test_poison.py, for files that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check, json_schema, load, load_text
from gateway.errors import ConfigError
from gateway.policy.strategies import Cost, Ordered
from gateway.types import (
    Backoff,
    Caller,
    Journal,
    Key,
    Match,
    Price,
    Requirements,
    Secret,
    Timeouts,
)

ENVIRON = {"OPENAI_API_KEY": "sk-of-the-test"}
SMALL = """
providers:
  openai: {api_key: ${OPENAI_API_KEY}}
  gpu: {kind: openai_compatible, base_url: http://gpu.internal:8000/v1/, allow_private: yes, region: eu}
deployments:
  mini: {provider: openai, model: gpt-4o-mini, limits: {rpm: 600, tpm: 300k}}
  llama: {provider: gpu, model: llama-3.1-8b, price: {input: 0.05, output: 0.08}, quality: {code: 0.55}}
"""


def test_a_deployment_has_price_and_window_from_the_catalogue() -> None:
    mini = load_text(SMALL, ENVIRON).deployments["mini"]
    assert mini.price is not None
    assert (mini.price.input, mini.price.output, mini.price.cached_input) == (150_000, 600_000, 75_000)
    assert mini.price.source.startswith("genai-prices ")
    assert mini.context_window == 128_000
    assert (mini.rpm, mini.tpm) == (600, 300_000)
    assert mini.account.keys == (Secret("sk-of-the-test"),)
    assert (mini.account.base_url, mini.account.company) == ("https://api.openai.com/v1", "openai")
    assert not mini.account.allow_private


def test_a_price_in_the_file_wins_over_the_catalogue_and_an_unknown_one_stays_unknown() -> None:
    world = load_text(SMALL + "  odd: {provider: gpu, model: nobody-knows-it}\n", ENVIRON)
    assert world.deployments["llama"].price == Price(50_000, 80_000)
    assert world.deployments["odd"].price is None
    assert world.deployments["llama"].account.base_url == "http://gpu.internal:8000/v1"


def test_without_routes_there_is_one_that_takes_all_in_the_order_listed() -> None:
    (route,) = load_text(SMALL, ENVIRON).routes
    assert (route.name, route.match) == ("default", Match())
    assert (route.policy.pool, route.policy.strategy) == (("mini", "llama"), Ordered())


def test_a_route_says_when_it_applies_and_what_is_done() -> None:
    text = """
routes:
  - name: busy
    when:
      intent: [code, tool_use]
      needs: tools
      tags: {team: legal, stage: [dev, test]}
      input_tokens: {max: 30k}
    policy:
      pool: [mini]
      fallback: [llama]
      strategy: {cost: {floor: 0.0, expected_output: 100}}
      require: {region: eu}
      retry: {attempts: 3, same_target: 0, base: 100ms, cap: 2s}
      timeout: 2m
  - name: rest
"""
    route = load_text(SMALL.replace("{api_key: ${OPENAI_API_KEY}}", "{region: eu}") + text, ENVIRON).routes[0]
    assert route.match == Match(
        intents=frozenset({"code", "tool_use"}),
        needs=frozenset({"tools"}),
        tags={"team": frozenset({"legal"}), "stage": frozenset({"dev", "test"})},
        max_input_tokens=30_000,
    )
    policy = route.policy
    assert (policy.pool, policy.fallback, policy.strategy) == (("mini",), ("llama",), Cost(expected_output=100))
    assert policy.require == Requirements(regions=frozenset({"eu"}))
    assert (policy.attempts, policy.same_target, policy.total_s) == (3, 0, 120.0)
    assert policy.backoff == Backoff(base_s=0.1, cap_s=2.0)


def test_a_key_is_found_by_its_id_and_has_one_hash_or_two() -> None:
    old, new = "a" * 64, "B" * 64
    world = load_text(
        SMALL + f"keys: [{{id: team-a, secret_hash: [{old}, {new}], models: [mini], tags: {{team: a}}}}]\n", ENVIRON
    )
    assert world.auth
    assert set(world.keys) == {"team-a"}
    key: Key = world.keys["team-a"]
    assert key.secret_hashes == (old, new.lower())
    assert key.caller == Caller("team-a", models=frozenset({"mini"}), tags={"team": "a"})


def test_an_alias_of_an_alias_leads_to_the_end() -> None:
    world = load_text(SMALL + "aliases: {gpt-4: cheap, cheap: mini, any: auto}\n", ENVIRON)
    assert world.aliases == {"gpt-4": "mini", "cheap": "mini", "any": "auto"}


def test_the_usual_variable_of_a_provider_is_its_key_by_default() -> None:
    text = "providers: {openai: }\ndeployments: {m: {provider: openai, model: gpt-4o-mini}}\n"
    assert load_text(text, ENVIRON).deployments["m"].account.keys == (Secret("sk-of-the-test"),)


def test_words_that_yaml_1_1_would_turn_into_something_else_stay_what_they_are() -> None:
    text = SMALL + "auth: off\nroutes: [{name: no, when: {tags: {on: no, at: 2024-10-21}}}, {name: rest}]\n"
    world = load_text(text, ENVIRON)
    assert not world.auth
    assert world.routes[0].name == "no"
    assert world.routes[0].match.tags == {"on": frozenset({"no"}), "at": frozenset({"2024-10-21"})}


def test_windows_line_ends_and_a_utf_8_mark_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert list(load(file, ENVIRON).deployments) == ["mini", "llama"]


def test_the_version_is_of_what_is_meant_and_not_of_how_it_is_written() -> None:
    world = load_text(SMALL, ENVIRON)
    assert load_text("# a comment\n" + SMALL.replace("300k", "300000"), ENVIRON).version == world.version
    assert load_text(SMALL.replace("300k", "301k"), ENVIRON).version != world.version
    assert len(world.version) == 12


def test_replicas_that_differ_in_where_they_listen_and_write_have_the_same_version() -> None:
    own = "server: {port: 808%d, admin_port: 946%d}\njournal: {path: /j/%d}\nbudgets: {ledger: /l/%d, grace_usd: %s}\n"
    versions = [load_text(SMALL + own % (n, n, n, n, grace), ENVIRON).version for n, grace in ((1, 1), (2, 1), (2, 2))]
    assert (versions[0] == versions[1], versions[1] == versions[2]) == (True, False)


def test_nobody_is_told_of_budgets_where_the_webhook_is_empty() -> None:
    alerts = "budgets: {alerts: {webhook: '${ALERTS_URL:-}', secret: '${ALERTS_SECRET:-}'}}\n"
    assert load_text(SMALL + alerts, ENVIRON).money.webhook is None
    money = load_text(SMALL + alerts, {**ENVIRON, "ALERTS_URL": "https://hooks.example.com/x"}).money
    assert (money.webhook is not None, money.webhook_secret) == (True, None)


def test_other_parts_have_their_defaults_and_their_units() -> None:
    text = SMALL.replace("region: eu", "region: eu, timeouts: {first_byte: 5s, stall: 1500ms}")
    text += "journal: {path: requests.jsonl, max_size: 1MiB}\nserver: {port: 0, drain_delay: 5s, drain: 1m}\n"
    text += "state: ${REDIS:-}\n"
    world = load_text(text, ENVIRON)
    assert world.journal == Journal("requests.jsonl", 1_048_576)
    server = world.server
    assert (server.port, server.drain_delay_s, server.drain_s, world.state) == (0, 5.0, 60.0, None)
    assert world.deployments["llama"].account.timeouts == Timeouts(first_byte=5.0, stall=1.5)


def test_every_problem_is_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(SMALL + "routes: [{name: r, policy: {pool: [minni], retries: 3}}]\nrout: []\n")
    told = [str(problem).removeprefix(f"{file}:") for problem in check(file, {})]
    assert told == [
        "3:21: error: environment variable OPENAI_API_KEY is not set "
        "(export OPENAI_API_KEY=… or write ${OPENAI_API_KEY:-default})",
        "8:44: error: unknown key 'retries' in routes[0].policy (did you mean 'retry'?)",
        "9:1: error: unknown key 'rout' at the top of the file (did you mean 'routes'?)",
    ]
    with pytest.raises(ConfigError) as raised:
        load(file, {})
    assert len(raised.value.problems) == 3


def test_the_schema_describes_every_key() -> None:
    schema = json_schema()
    entries = [schema, *schema["$defs"].values()]
    bare = [(e["title"], key) for e in entries for key, p in e.get("properties", {}).items() if "description" not in p]
    assert bare == []
