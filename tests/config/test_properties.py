"""What holds for every configuration: a valid one becomes what it says, any other is refused in words, and fast."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import load_text
from gateway.config.schema import Capability
from gateway.errors import ConfigError, Problem
from gateway.policy.strategies import Cost, Ordered, Weighted
from gateway.types import Deployment, Price, Route, Strategy, World

NAMES = ["a", "b-1", "no", "on", "c/d:e", "2024-10-21", "null-ish"]
NEEDS = get_args(Capability)
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="$"), min_size=1, max_size=8
)
UNIT = st.floats(0, 1).map(lambda x: round(x, 3))


@st.composite
def deployments(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "provider": "gpu",
        "model": draw(WORDS),
        "price": {"input": draw(st.integers(0, 10**8)) / 10**6, "output": draw(st.integers(0, 10**8)) / 10**6},
        "context_window": draw(st.integers(1, 10**7)),
        "capabilities": sorted(draw(st.sets(st.sampled_from(NEEDS), max_size=8))),
        "quality": {"default": draw(UNIT), "code": draw(UNIT)},
        "weight": draw(st.integers(1, 100)),
    }


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    pools = st.lists(st.sampled_from(names), min_size=1, unique=True)
    strategies = st.sampled_from(["ordered", "cost", {"cost": {"expected_output": 7}}, "weighted", {"weighted": {}}])
    routes = [
        {
            "name": f"route{i}",
            "when": {
                "tags": draw(st.dictionaries(WORDS, WORDS, max_size=2)),
                "intent": draw(st.sampled_from(["code", "chat"])),
            },
            "policy": {
                "pool": draw(pools),
                "strategy": draw(strategies),
                "retry": {"attempts": draw(st.integers(1, 20)), "base": f"{draw(st.integers(0, 4000))}ms"},
                "timeout": f"{draw(st.integers(1, 3600))}s",
            },
        }
        for i in range(draw(st.integers(0, 3)))
    ]
    return {
        "providers": {"gpu": {"kind": "openai_compatible", "base_url": "https://gpu.example.com/v1"}},
        "deployments": {name: draw(deployments()) for name in names},
        "routes": routes,
        "aliases": {"other": draw(st.sampled_from(names)), "any": "auto"},
    }


def said(world: World) -> dict[str, Any]:
    """A World as the configuration that says it."""
    return {
        "providers": {"gpu": {"kind": "openai_compatible", "base_url": "https://gpu.example.com/v1"}},
        "deployments": {name: said_deployment(d) for name, d in world.deployments.items()},
        "routes": [said_route(route) for route in world.routes if route.name != "default"],
        "aliases": dict(world.aliases),
    }


def said_deployment(deployment: Deployment) -> dict[str, Any]:
    assert isinstance(deployment.price, Price)
    return {
        "provider": deployment.account.name,
        "model": deployment.model,
        "price": {"input": deployment.price.input / 10**6, "output": deployment.price.output / 10**6},
        "context_window": deployment.context_window,
        "capabilities": sorted(deployment.capabilities or ()),
        "quality": dict(deployment.quality),
        "weight": deployment.weight,
    }


def said_route(route: Route) -> dict[str, Any]:
    policy, strategy = route.policy, route.policy.strategy
    written: Any = strategy.name
    if isinstance(strategy, Cost) and strategy.expected_output == 7:
        written = {"cost": {"expected_output": 7}}
    return {
        "name": route.name,
        "when": {
            "tags": {tag: next(iter(values)) for tag, values in route.match.tags.items()},
            "intent": next(iter(route.match.intents)),
        },
        "policy": {
            "pool": list(policy.pool),
            "strategy": written,
            "retry": {"attempts": policy.attempts, "base": f"{round(policy.backoff.base_s * 1000)}ms"},
            "timeout": f"{policy.total_s:g}s",
        },
    }


def simplest(config: dict[str, Any]) -> dict[str, Any]:
    for route in config["routes"]:
        if route["policy"]["strategy"] == {"weighted": {}}:
            route["policy"]["strategy"] = "weighted"
    return config


@settings(max_examples=60, deadline=None)
@given(configurations())
def test_a_valid_configuration_becomes_a_world_that_says_the_same(config: dict[str, Any]) -> None:
    world = load_text(json.dumps(config, ensure_ascii=False), {})
    assert said(world) == simplest(config)
    assert load_text(json.dumps(config, indent=3, ensure_ascii=False), {}).version == world.version


def test_each_strategy_is_what_was_named() -> None:
    text = "providers: {g: {kind: openai_compatible, base_url: https://g.example.com}}\n"
    text += "deployments: {a: {provider: g, model: m}}\nroutes:\n"
    for name in ("ordered", "cost", "weighted: {weights: {a: 2}}"):
        strategy = name if ":" not in name else f"{{{name}}}"
        text += f"  - {{name: r-{name[:4]}, when: {{tags: {{x: {name[:4]}}}}}, policy: {{strategy: {strategy}}}}}\n"
    routes = load_text(text, {}).routes
    expected: list[Strategy] = [Ordered(), Cost(), Weighted(weights={"a": 2})]
    assert [route.policy.strategy for route in routes] == expected


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(alphabet=" \n\t-:[]{},'\"&*!|>%@`#?${}ab0.", max_size=60)))
def test_whatever_is_in_a_file_it_is_a_world_or_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_text(text, {})
    assert raised.value.problems


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(configurations(), JUNK, st.data())
def test_junk_in_any_place_is_taken_or_refused_in_words(config: dict[str, Any], junk: Any, data: st.DataObject) -> None:
    part: Any = config
    while True:
        key = data.draw(st.sampled_from(list(part))) if isinstance(part, dict) else 0
        if not isinstance(part[key], dict | list) or not part[key] or data.draw(st.booleans()):
            part[key] = junk
            break
        part = part[key]
    problems: tuple[Problem, ...] = ()
    try:
        load_text(json.dumps(config, ensure_ascii=False), {})
    except ConfigError as error:
        problems = error.problems
    assert [problem for problem in problems if not problem.message or not problem.line] == []


def test_ten_thousand_routes_take_a_few_times_what_the_yaml_parser_alone_takes() -> None:
    routes = (f"  - {{name: r{i}, when: {{tags: {{team: t{i}}}}}, policy: {{pool: [a, b]}}}}" for i in range(10_000))
    text = "\n".join(
        [
            "providers: {gpu: {kind: openai_compatible, base_url: https://gpu.example.com/v1}}",
            "deployments: {a: {provider: gpu, model: m}, b: {provider: gpu, model: m}}",
            "routes:",
            *routes,
            "  - name: default",
        ]
    )
    loaded, parsed = [], []
    for _ in range(3):  # the best of three, since the machine may be busy with something else
        parsed.append(_cpu(lambda: sum(1 for _ in yaml.parse(text, Loader=yaml.CSafeLoader))))
        loaded.append(_cpu(lambda: load_text(text, {})))
    assert min(loaded) < 8 * min(parsed), f"{min(loaded):.2f} s of CPU, the parser alone {min(parsed):.2f} s"


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
