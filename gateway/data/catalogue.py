"""What models cost and hold, from the genai-prices package, and what they can do: dated, sourced, offline.

Read next: families.py, for what they can do; ../config/draft.py, which lets the configuration override all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Final

from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider, TieredPrices
from msgspec import Struct

from gateway.data.families import Thinking, family_of
from gateway.types import Price

__all__ = ["SOURCE", "Facts", "facts", "micros_per_million"]

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


#: Names of models that think before they answer, as their makers call them. To take one for another costs patience.
REASONING: Final = re.compile(
    r"(?:^|[/:._-])(?:o[134]|gpt-5|gpt-oss|qwq|r1|magistral|grok-4|deepseek-reasoner|k2-thinking)(?![a-z0-9])"
    r"|think|reason"
)


def facts(base_url: str, model: str, at: datetime | None = None) -> Facts:
    """What a model costs at the provider of that address, at a time (now by default), what it holds and can do.

    Where a price rises with the length of the input it is the price of short inputs. What holds of the model wherever
    it is served is known by its name alone.
    """
    info, family = _find(base_url, model), family_of(model)
    price = _price(info, at or datetime.now(UTC)) if info is not None else None
    window = info.context_window if info is not None else None
    if family is None:
        return Facts(price, window, bool(REASONING.search(model.lower())) and "non-reasoning" not in model)
    return Facts(
        price,
        window or family.window,
        family.reasons,
        family.output,
        family.can,
        family.thinking,
        family.prefill,
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


def _price(info: ModelInfo, at: datetime) -> Price | None:
    prices = info.get_prices(at)
    given, made = _micros(prices.input_mtok), _micros(prices.output_mtok)
    if given is None or made is None:
        return None
    return Price(
        given,
        made,
        _micros(prices.cache_read_mtok),
        _micros(prices.cache_write_mtok),
        _micros(prices.cache_write_1h_mtok),
        SOURCE,
    )


def _micros(usd: Decimal | TieredPrices | None) -> int | None:
    if usd is None:
        return None
    return micros_per_million(usd.base if isinstance(usd, TieredPrices) else usd)
