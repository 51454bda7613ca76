"""Keys in the environment and servers on this machine become deployments. Read next: gateway/data/well_known.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.config.discover import Found, discover, found_in, probe, simulated_world_parts
from gateway.config.kinds import kind_of
from gateway.config.load import load_text
from gateway.data.catalogue import facts
from gateway.data.families import family_of
from gateway.data.well_known import WELL_KNOWN
from gateway.errors import ConfigError
from gateway.types import Price, Secret

KEY = {"OPENAI_API_KEY": "sk-never-to-be-seen"}


async def nobody(url: str) -> Sequence[str]:
    return ()


async def test_a_key_in_the_environment_becomes_a_cheap_and_a_strong_deployment() -> None:
    found = await discover(KEY, nobody)
    assert list(found.deployments) == ["gpt-4o-mini", "gpt-4.1"]
    assert found.lines == ("openai: OPENAI_API_KEY, 2 deployments",)
    assert "never" not in repr(found)
    world = load_text("discover: on\n", KEY, found)
    assert world.deployments["gpt-4o-mini"].account.keys == (Secret("sk-never-to-be-seen"),)
    assert [name for route in world.routes for name in route.policy.pool] == ["gpt-4o-mini", "gpt-4.1"]


@pytest.mark.parametrize(
    ("environ", "lines"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, ("anthropic: ANTHROPIC_API_KEY, 2 deployments",)),
        ({"GEMINI_API_KEY": "k"}, ("gemini: GEMINI_API_KEY, 2 deployments",)),
        ({"GOOGLE_API_KEY": "k"}, ("gemini: GOOGLE_API_KEY, 2 deployments",)),
        ({"GEMINI_API_KEY": "k", "GOOGLE_API_KEY": "other"}, ("gemini: GEMINI_API_KEY, 2 deployments",)),
        (
            {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_DEFAULT_REGION": "eu-west-1"},
            ("bedrock: AWS_BEARER_TOKEN_BEDROCK, 2 deployments",),
        ),
    ],
)
def test_keys_of_other_protocols_are_found_too(environ: dict[str, str], lines: tuple[str, ...]) -> None:
    found = found_in(environ)
    assert found.lines == lines
    world = load_text("discover: on\n", environ, found)
    assert {deployment.account.keys for deployment in world.deployments.values()} == {(Secret("k"),)}
    assert [deployment.price for deployment in world.deployments.values() if deployment.price is None] == []
    cheap, strong = (deployment.price for deployment in world.deployments.values())
    assert cheap is not None
    assert strong is not None
    assert cheap.input < strong.input


def test_a_key_of_bedrocks_is_of_no_use_without_a_region_and_a_login_at_a_cloud_is_no_key() -> None:
    found = found_in({"AWS_BEARER_TOKEN_BEDROCK": "k"})
    assert (bool(found), found.lines) == (
        False,
        ("bedrock: AWS_BEARER_TOKEN_BEDROCK, left out since AWS_REGION is not set",),
    )
    login = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"}
    assert found_in({**login, "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l"}) == Found()


async def test_a_local_server_becomes_deployments_that_cost_nothing() -> None:
    asked: list[str] = []

    async def ollama(url: str) -> Sequence[str]:
        asked.append(url)
        return ["llama3.2:3b", "qwen3:8b"] if ":11434/" in url else []

    found = await discover({}, ollama)
    assert asked == ["http://127.0.0.1:11434/v1/models", "http://127.0.0.1:8000/v1/models"]
    assert found.lines == ("ollama: http://127.0.0.1:11434/v1, 2 deployments",)
    deployment = load_text("discover: on\n", {}, found).deployments["llama3.2:3b"]
    assert (deployment.price, deployment.account.allow_private) == (Price(0, 0), True)


def test_what_the_file_says_wins_over_what_was_found() -> None:
    text = """
discover: on
providers: {openai: {region: eu}}
deployments: {gpt-4o-mini: {provider: openai, model: gpt-4o-mini, quality: 0.5}}
routes: [{name: gpt-4.1}]
"""
    world = load_text(text, KEY)
    assert list(world.deployments) == ["gpt-4o-mini"]
    mini = world.deployments["gpt-4o-mini"]
    assert (mini.quality, mini.account.region) == ({"default": 0.5}, "eu")


def test_a_name_found_twice_goes_by_its_provider_the_second_time() -> None:
    one = simulated_world_parts()
    both = one + one
    assert list(both.deployments) == ["sim-small", "sim-large", "simulated/sim-small", "simulated/sim-large"]


def test_nothing_found_is_false_and_a_world_of_nothing_is_refused_with_what_to_do() -> None:
    assert not found_in({"OPENAI_API_KEY": " "})
    with pytest.raises(ConfigError, match=r"nothing was discovered.*OPENAI_API_KEY"):
        load_text("discover: on\n", {})


def test_the_simulated_models_have_prices_and_qualities() -> None:
    world = load_text("discover: on\n", {}, simulated_world_parts())
    small, large = world.deployments.values()
    assert small.simulated
    assert large.simulated
    assert small.price is not None
    assert large.price is not None
    assert small.price.input < large.price.input
    assert small.quality["default"] < large.quality["default"]


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_every_well_known_model_has_a_price_in_the_catalogue(name: str) -> None:
    kind = kind_of(name)
    assert kind is not None
    assert kind.base_url is not None
    address = kind.base_url.replace("{region}", "eu-west-1")
    assert [model for model, _ in WELL_KNOWN[name] if facts(address, model).price is None] == []


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_of_every_well_known_model_it_is_known_what_it_can_do(name: str) -> None:
    assert [model for model, _ in WELL_KNOWN[name] if family_of(model) is None] == []


@asynccontextmanager
async def answering(answer: bytes, delay_s: float = 0.0) -> AsyncIterator[str]:
    """A server that gives one answer to whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(delay_s)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/models"


async def test_a_server_that_lists_models_is_probed() -> None:
    listed = b'{"object":"list","data":[{"id":"m:1"},{"id":"bad name"},{"id":7},{}, 3]}'
    async with answering(listed) as url:
        assert await probe(url) == ["m:1"]


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"data":{}}', b"\xff"])
async def test_what_is_no_list_of_models_is_nothing(answer: bytes) -> None:
    async with answering(answer) as url:
        assert list(await probe(url)) == []


async def test_nobody_there_is_nothing() -> None:
    async with answering(b"") as url:
        pass
    assert await probe(url) == ()


def test_found_things_add_up_in_order() -> None:
    assert (Found(lines=("a",)) + Found(lines=("b",))).lines == ("a", "b")
