"""The examples and the reference that ship with the gateway are current. Read next: config/minimal.yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.config.discover import simulated_world_parts
from gateway.config.document import document
from gateway.config.expand import hidden, hide
from gateway.config.load import check, json_schema, load, wants_discovery
from gateway.config.schema import Config

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ("minimal.yaml", "gateway.yaml", "providers.yaml", "claude-code.yaml")


def environ_of(file: Path) -> dict[str, str]:
    """Every variable that a file names, set to something that fits."""
    names = sorted(set(re.findall(r"\$\{([A-Z0-9_]+)\}", file.read_text())))
    values = {name: f"{place:064x}" for place, name in enumerate(names)}
    keys = dict.fromkeys(["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"], "k")
    addresses = {"AZURE_ENDPOINT": "https://me.openai.azure.com", "ALERTS_URL": "https://hooks.example.com/x"}
    return values | keys | addresses | {"AZURE_OPENAI_API_KEY": "k"}


def test_the_example_over_four_protocols_is_the_one_that_the_readme_shows() -> None:
    file = ROOT / "config" / "providers.yaml"
    world = load(file, environ_of(file))
    kinds = {deployment.account.kind for deployment in world.deployments.values()}
    assert kinds == {"anthropic", "bedrock", "gemini", "azure_openai"}
    assert [name for name, deployment in world.deployments.items() if deployment.price is None] == []
    shown = file.read_text().partition("\n")[2]
    assert f"```yaml\n{shown}```" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_no_problems_when_its_variables_are_set(name: str) -> None:
    file = ROOT / "config" / name
    assert [str(problem) for problem in check(file, environ_of(file))] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_satisfies_the_json_schema_as_it_is_written(name: str) -> None:
    text = (ROOT / "config" / name).read_text()
    jsonschema.Draft202012Validator(json_schema()).validate(_shown(yaml.load(hide(text), Loader=yaml.CSafeLoader)))


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return hidden(value) if isinstance(value, str) else value


def test_the_full_example_uses_every_key_of_the_top() -> None:
    written = yaml.load(hide((ROOT / "config" / "gateway.yaml").read_text()), Loader=yaml.CSafeLoader)
    assert set(written) == set(Config.model_fields)


def test_the_minimal_example_is_short_and_routes_by_cost_and_intent() -> None:
    file = ROOT / "config" / "minimal.yaml"
    assert len(file.read_text().splitlines()) <= 15
    assert wants_discovery(file, {})
    world = load(file, {}, simulated_world_parts())
    assert [(r.name, r.policy.strategy.name, r.policy.pool) for r in world.routes] == [
        ("coding", "cost", ("sim-small", "sim-large")),
        ("default", "cost", ("sim-small", "sim-large")),
    ]
    assert world.routes[0].match.intents == {"code", "tool_use", "agent_step"}


def test_the_reference_is_what_the_schema_says() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text()
    assert written == document(), "python -m gateway.config.document > docs/configuration.md"


def test_the_reference_has_every_key_of_every_part() -> None:
    page = document()
    schema = json_schema()
    keys = {key for part in [schema, *schema["$defs"].values()] for key in part.get("properties", {})}
    assert [key for key in sorted(keys) if f"| `{key}` |" not in page] == []
