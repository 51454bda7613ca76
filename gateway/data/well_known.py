"""A cheap and a strong model of the kinds of provider whose key people usually have. Read next: ../config/discover.py.

The qualities are priors by tier, so that a floor means something from the first request; they are not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["LOCAL", "QUALITY", "WELL_KNOWN", "Tier"]

Tier = Literal["cheap", "strong"]

QUALITY: Final[Mapping[Tier, Mapping[str, float]]] = MappingProxyType(
    {
        "cheap": {"default": 0.75, "code": 0.6, "agent_step": 0.6},
        "strong": {"default": 0.9, "code": 0.85, "agent_step": 0.85},
    }
)

#: Model names at the provider; every one has a price in the catalogue (checked November 2026).
WELL_KNOWN: Final[Mapping[str, tuple[tuple[str, Tier], ...]]] = MappingProxyType(
    {
        "openai": (("gpt-4o-mini", "cheap"), ("gpt-4.1", "strong")),
        "anthropic": (("claude-haiku-4-5", "cheap"), ("claude-sonnet-5", "strong")),
        "groq": (("openai/gpt-oss-20b", "cheap"), ("openai/gpt-oss-120b", "strong")),
        "mistral": (("mistral-small-latest", "cheap"), ("mistral-medium-latest", "strong")),
        "deepseek": (("deepseek-chat", "cheap"), ("deepseek-reasoner", "strong")),
        "xai": (("grok-4-fast-non-reasoning", "cheap"), ("grok-4.3", "strong")),
        "openrouter": (("openai/gpt-4o-mini", "cheap"), ("openai/gpt-4.1", "strong")),
        "together": (
            ("meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "cheap"),
            ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "strong"),
        ),
        "cerebras": (("gpt-oss-120b", "strong"),),
        "gemini": (("gemini-3.1-flash-lite", "cheap"), ("gemini-3.5-flash", "strong")),
        # Inference profiles, which any commercial region has.
        "bedrock": (
            ("global.amazon.nova-2-lite-v1:0", "cheap"),
            ("global.anthropic.claude-sonnet-4-6", "strong"),
        ),
    }
)

#: Kinds of server that people run beside the gateway, and where each listens unless told otherwise.
LOCAL: Final[Mapping[str, str]] = MappingProxyType(
    {"ollama": "http://127.0.0.1:11434/v1", "vllm": "http://127.0.0.1:8000/v1"}
)
