"""What models cost and hold, from the genai-prices package, and what they can do: dated, sourced, offline.

Read next: families.py, for what they can do; ../config/draft.py, which lets the configuration override all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Final

from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider, TieredPrices
from msgspec import Struct
from msgspec.structs import replace

from gateway.data.families import Thinking, family_of, picture_of
from gateway.types import Price, Tier

__all__ = ["SOURCE", "Facts", "facts", "micros_per_million", "price_of"]

SOURCE: Final = f"genai-prices {version('genai-prices')}"


class Facts(Struct, frozen=True):
    """What the catalogue knows of a model; None where it knows nothing. The rest is as in Deployment and Family."""

    price: Price | None = None
    context_window: int | None = None
    reasoning: bool = False
    max_output: int | None = None
    capabilities: frozenset[str] | None = None
    thinking: Thinking | None = None
    prefill: bool = False
    image_tokens: int | None = None


#: Our figures, and what the package calls them. Those of other things than chat are left out.
FIGURES: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
    "cached_audio": "cache_audio_read_mtok",
    "image_output": "output_image_mtok",
}

#: Names of models that think before they answer, as their makers call them. To take one for another costs patience.
REASONING: Final = re.compile(
    r"(?:^|[/:._-])(?:o[134]|gpt-5|gpt-oss|qwq|r1|magistral|grok-4|deepseek-reasoner|k2-thinking)(?![a-z0-9])"
    r"|think|reason"
)


def facts(base_url: str, model: str, at: datetime | None = None) -> Facts:
    """What a model costs at the provider of that address, at a time (now by default), what it holds and can do.

    What holds of the model wherever it is served is known by its name alone.
    """
    info, family = _find(base_url, model), family_of(model)
    price = price_of(info, at or datetime.now(UTC)) if info is not None else None
    window = info.context_window if info is not None else None
    if family is None:
        reasons = bool(REASONING.search(model.lower())) and "non-reasoning" not in model
        return Facts(price, window, reasons, image_tokens=picture_of(model))
    return Facts(
        price,
        window or family.window,
        family.reasons,
        family.output,
        family.can,
        family.thinking,
        family.prefill,
        picture_of(model),
    )


def micros_per_million(usd: Decimal | float) -> int:
    """USD per million tokens as integer micro-dollars per million tokens."""
    return round(Decimal(str(usd)) * 1_000_000)


@cache
def _at(base_url: str) -> tuple[Provider, ...]:
    return tuple(provider for provider in providers if re.match(provider.api_pattern, base_url))


def _find(base_url: str, model: str) -> ModelInfo | None:
    found: Iterator[ModelInfo | None] = (
        provider.find_model(model, all_providers=providers) for provider in _at(base_url)
    )
    return next((info for info in found if info is not None), None)


def price_of(info: ModelInfo, at: datetime) -> Price | None:
    """All figures that chat has a use for, and the tiers of the package's own reckoning (``TieredPrices``).

    There each figure has steps of its own, and one that is passed holds for all such tokens of the request.
    """
    prices = info.get_prices(at)
    figures = {ours: value for ours, theirs in FIGURES.items() if (value := getattr(prices, theirs)) is not None}
    if "input" not in figures or "output" not in figures:
        return None
    steps = {tier.start for value in figures.values() if isinstance(value, TieredPrices) for tier in value.tiers}
    request = prices.requests_kcount
    fee = _micros(request, 0) * 1000 if request is not None else 0
    tiers = tuple(Tier(step, _whole(figures, fee, step + 1)) for step in sorted(steps))
    return replace(_whole(figures, fee, 0), tiers=tiers)


def _whole(figures: Mapping[str, Decimal | TieredPrices], fee: int, input: int) -> Price:
    """The price of requests with so much input."""
    micros = {name: _micros(value, input) for name, value in figures.items()}
    return replace(Price(0, 0, source=SOURCE, request=fee), **micros)


def _micros(usd: Decimal | TieredPrices, input: int) -> int:
    if not isinstance(usd, TieredPrices):
        return micros_per_million(usd)
    passed = [tier.price for tier in usd.tiers if input > tier.start]
    return micros_per_million(passed[-1] if passed else usd.base)
