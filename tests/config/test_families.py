"""What the catalogue says that models can do. Read next: ../policy/test_needs.py, for what is made of it."""

from __future__ import annotations

import pytest

from gateway.config.load import load_text
from gateway.data.catalogue import facts
from gateway.data.families import FAMILIES, bare, family_of

ANYWHERE = "http://gpu.internal:8000/v1"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("openai/gpt-5.1", "gpt-5.1"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929-v1:0"),
        ("global.amazon.nova-2-lite-v1:0", "nova-2-lite-v1:0"),
        ("us.meta.llama3-3-70b-instruct-v1:0", "llama3-3-70b-instruct-v1:0"),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-pro-v1:0", "nova-pro-v1:0"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "llama-3.1-8b-instruct-turbo"),
        ("publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
    ],
)
def test_a_model_is_known_by_the_name_that_its_maker_gave_it(model: str, name: str) -> None:
    assert bare(model) == name


@pytest.mark.parametrize(
    ("model", "can", "lacks"),
    [
        ("gpt-4o", "tools vision documents json_schema choices logprobs", "audio web_search audio_output"),
        ("gpt-4o-audio-preview", "audio audio_output tools", "vision"),
        ("gpt-4o-search-preview", "web_search", "tools"),
        ("gpt-4", "tools", "vision json_schema documents"),
        ("gpt-5-mini", "tools custom_tools vision", "logprobs audio"),
        ("o3-mini", "tools json_schema", "vision logprobs"),
        ("claude-3-haiku-20240307", "vision tools", "documents audio"),
        ("anthropic/claude-sonnet-4.5", "vision documents tools web_search server_tools:anthropic", "audio"),
        ("gemini-2.5-flash", "vision audio video documents server_tools:google", "audio_output"),
        ("amazon.nova-micro-v1:0", "tools", "vision documents"),
        ("amazon.nova-pro-v1:0", "tools vision documents", "audio"),
        ("codestral-latest", "tools json_schema documents", "vision"),
        ("mistral-medium-latest", "tools vision documents", "audio"),
        ("voxtral-small-latest", "audio tools", "vision"),
        ("deepseek-chat", "tools json_object", "vision documents"),
        ("llama-3.3-70b-versatile", "tools", "vision"),
        ("meta-llama/llama-4-scout-17b-16e-instruct", "tools vision", "audio"),
        ("llama3.1:8b", "tools", "vision"),
        ("sonar-pro", "web_search vision", "tools"),
        ("grok-4.3", "tools vision", "audio"),
    ],
)
def test_families_say_what_their_models_can_do(model: str, can: str, lacks: str) -> None:
    known = facts(ANYWHERE, model).capabilities
    assert known is not None
    assert set(can.split()) - known == set()
    assert set(lacks.split()) & known == set()


@pytest.mark.parametrize("model", ["my-deployment", "phi-4", "mistral-embed", "llama3.2-vision:11b", "qwen3-vl-plus"])
def test_an_unknown_model_rules_out_nothing(model: str) -> None:
    known = facts(ANYWHERE, model)
    assert (known.capabilities, known.max_output, known.thinking, known.prefill) == (None, None, None, False)


@pytest.mark.parametrize(
    ("model", "thinking", "prefill", "output"),
    [
        ("claude-3-5-sonnet-20241022", "none", True, 8_192),
        ("claude-3-7-sonnet-latest", "budget", True, 64_000),
        ("claude-opus-4-20250514", "budget", True, 32_000),
        ("claude-opus-4-1-20250805", "budget", True, 32_000),
        ("claude-sonnet-4@20250514", "budget", True, 64_000),
        ("claude-sonnet-4-5", "budget", True, 64_000),
        ("claude-haiku-4-5-20251001", "budget", True, 64_000),
        ("claude-opus-4-5", "budget", True, 64_000),
        ("claude-opus-4-6", "adaptive", False, 128_000),
        ("claude-sonnet-4.6", "adaptive", False, 128_000),
        ("anthropic.claude-opus-4-6-v1", "adaptive", False, 128_000),
        ("claude-opus-4-7", "adaptive", False, 128_000),
        ("claude-sonnet-5", "adaptive", False, 128_000),
        ("gemini-2.0-flash", "none", False, 8_192),
        ("gemini-2.5-flash-lite", "budget", False, 65_536),
        ("gemini-3-pro-preview", "level", False, 65_536),
        ("gemini-3.5-flash", "level", False, 65_536),
        ("gpt-4o", "none", False, 16_384),
        ("gpt-5.1", "level", False, 128_000),
        ("o3", "level", False, 100_000),
        ("us.amazon.nova-pro-v1:0", "none", True, 10_000),
    ],
)
def test_families_say_how_a_model_is_told_to_think(model: str, thinking: str, prefill: bool, output: int) -> None:
    known = facts(ANYWHERE, model)
    assert (known.thinking, known.prefill, known.max_output) == (thinking, prefill, output)


def test_every_family_can_be_reached_by_some_name_of_its_own() -> None:
    dead = [f.names for f in FAMILIES if not any(family_of(name) is f for name in NAMES)]
    assert dead == []


#: A name for every family, in any order.
NAMES = """
gpt-5-search-api gpt-audio gpt-4o-2024-05-13 gpt-4o gpt-4.1 gpt-4-turbo gpt-4.5-preview gpt-4 gpt-3.5-turbo gpt-oss-20b
gpt-5-chat-latest gpt-5.3-codex-spark gpt-5.4-mini gpt-5.4 gpt-5 o1-mini o3-mini o3 claude-2.1 claude-3-opus-20240229
claude-3-5-haiku-latest claude-3-5-sonnet-latest claude-3-7-sonnet-latest claude-opus-4-5 claude-opus-4-1
claude-sonnet-4-5 claude-sonnet-4-0 claude-opus-4-6 claude-sonnet-5 claude-next gemini-2.5-flash-image gemini-1.5-pro
gemini-2.0-flash gemini-2.5-flash-lite gemini-2.5-pro gemini-3-flash-preview gemma-3-27b-it gemma-4-31b-it
nova-micro-v1:0 nova-2-lite-v1:0 nova-premier-v1:0 nova-pro-v1:0 voxtral-small-latest magistral-medium-latest
mistral-small-latest codestral-latest pixtral-12b deepseek-reasoner deepseek-chat llama-3.1-8b-instant llama-4-scout-17b
qwq-plus qwen3-coder-plus qwen3-max qwen2.5-72b-instruct kimi-k2-0905-preview glm-4.6 minimax-m2
grok-4-fast-non-reasoning grok-3-mini grok-3 grok-4 grok-4.3 sonar-reasoning-pro sonar command-a-reasoning-08-2025
command-a-vision-07-2025 command-r-plus-08-2024
""".split()

FILE = """
providers:
  openai: {api_key: k}
deployments:
  known: {provider: openai, model: gpt-5.1}
  told: {provider: openai, model: gpt-5.1, capabilities: [tools], max_output: 9, thinking: none, reasoning: off}
  odd: {provider: openai, model: nobody-knows-it}
"""


def test_a_deployment_is_as_the_catalogue_says_unless_the_configuration_says_otherwise() -> None:
    found = load_text(FILE, {}).deployments
    known, told, odd = found["known"], found["told"], found["odd"]
    assert known.capabilities == facts("https://api.openai.com/v1", "gpt-5.1").capabilities
    assert (known.max_output, known.thinking, known.reasoning, known.prefill) == (128_000, "level", True, False)
    assert told.capabilities == frozenset({"tools"})
    assert (told.max_output, told.thinking, told.reasoning) == (9, "none", False)
    assert (odd.capabilities, odd.max_output, odd.thinking) == (None, None, None)


def test_what_goes_on_from_a_beginning_does_so_only_where_its_maker_says_so() -> None:
    through = FILE.replace("gpt-5.1", "anthropic/claude-sonnet-4.5").replace("openai:", "openrouter:")
    world = load_text(through.replace("provider: openai", "provider: openrouter"), {})
    assert not world.deployments["known"].prefill
