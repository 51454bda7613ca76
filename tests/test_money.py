"""What an answer costs, to the micro-dollar."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider
from genai_prices.types import Usage as Theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.data.catalogue import price_of
from gateway.money import cost, most
from gateway.types import Price, Tier, Usage

NOW = datetime(2026, 11, 28, tzinfo=UTC)

PLAIN = Price(input=1_000_000, output=10_000_000)
WITH_CACHE = Price(input=1_000_000, output=10_000_000, cached_input=100_000, cache_write=300_000)
BY_HOUR = Price(input=1_000_000, output=0, cached_input=100_000, cache_write=1_250_000, cache_write_1h=2_000_000)


@pytest.mark.parametrize(
    ("price", "usage", "micros"),
    [
        (PLAIN, Usage(100, 10), 200),
        (PLAIN, Usage(100, 10, cached_input=80), 200),
        (PLAIN, Usage(100, 10, cached_input=80, cache_write=80), 200),
        (WITH_CACHE, Usage(100, 10, cached_input=80), 128),
        (WITH_CACHE, Usage(100, 10, cached_input=50, cache_write=50), 120),
        (WITH_CACHE, Usage(100, 10, cached_input=80, cache_write=80), 132),
        (WITH_CACHE, Usage(100, 10, cache_write=100, cache_write_1h=100), 130),
        (BY_HOUR, Usage(100, 10, cache_write=80, cache_write_1h=40), 20 + 50 + 80),
        (BY_HOUR, Usage(100, 10, cache_write=40, cache_write_1h=80), 60 + 80),
        (Price(input=1, output=0), Usage(1, 0), 1),
    ],
)
def test_a_token_is_charged_once_as_input_and_the_sum_is_rounded_up(price: Price, usage: Usage, micros: int) -> None:
    assert cost(price, usage) == micros


def test_an_unknown_price_or_usage_is_an_unknown_cost() -> None:
    assert (cost(None, Usage(1, 1)), cost(PLAIN, None)) == (None, None)


ALL = Price(
    input=1_000_000,
    output=10_000_000,
    cached_input=100_000,
    reasoning=3_000_000,
    audio_input=40_000_000,
    audio_output=80_000_000,
    cached_audio=2_500_000,
    image_output=30_000_000,
    request=5_000_000_000,
)
LONG = Price(
    input=1_000_000,
    output=10_000_000,
    tiers=(Tier(100, Price(2_000_000, 15_000_000)), Tier(1000, Price(4_000_000, 20_000_000))),
)


@pytest.mark.parametrize(
    ("price", "usage", "micros"),
    [
        (ALL, Usage(100, 10), 5000 + 100 + 100),
        (ALL, Usage(100, 10, reasoning=4, audio_output=3, image_output=2), 5000 + 100 + 10 + 12 + 240 + 60),
        (ALL, Usage(100, 0, audio_input=30), 5000 + 70 + 1200),
        (ALL, Usage(100, 0, cached_input=50, audio_input=30, cached_audio=20), 5000 + 40 + 3 + 400 + 50),
        (PLAIN, Usage(100, 10, reasoning=4, audio_input=30, cached_audio=20, audio_output=3, image_output=2), 200),
        # Cached sound has no price of its own: it costs what sound costs, and never what cached text does.
        (replace(ALL, cached_audio=None), Usage(100, 0, cached_input=50, audio_input=30, cached_audio=20), 6243),
        (replace(ALL, audio_input=None), Usage(100, 0, cached_input=50, audio_input=30, cached_audio=20), 5103),
        (LONG, Usage(100, 10), 200),
        (LONG, Usage(101, 10), 202 + 150),
        (LONG, Usage(1001, 10, cached_input=1000), 4004 + 200),
    ],
)
def test_each_kind_of_token_costs_what_it_is_charged_and_a_long_request_costs_more_for_all_of_it(
    price: Price, usage: Usage, micros: int
) -> None:
    assert cost(price, usage) == micros


# --- the same as the package that the prices come from ------------------------------------------------------------

#: Models of chat alone: others charge for pixels, seconds or searches, which no usage of ours counts.
MODELS = [
    (provider, model)
    for provider in providers
    for model in provider.models
    if model.get_prices(NOW).input_mtok is not None and model.get_prices(NOW).output_mtok is not None
]
COUNT = st.integers(0, 1_200_000)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """A usage whose parts are within their wholes and beside each other, but for cached sound."""
    text, cached, written, heard, again = draw(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT))
    made, thought, spoken, drawn = draw(st.tuples(COUNT, COUNT, COUNT, COUNT))
    return Usage(
        input=text + cached + written + heard + again,
        output=made + thought + spoken + drawn,
        cached_input=cached + again,
        cache_write=written,
        cache_write_1h=draw(st.integers(0, written)),
        reasoning=thought,
        audio_input=heard + again,
        cached_audio=again,
        audio_output=spoken,
        image_output=drawn,
    )


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(MODELS), usages())
def test_the_catalogues_own_reckoning_gives_the_same_sum(model: tuple[Provider, ModelInfo], usage: Usage) -> None:
    provider, info = model
    price = price_of(info, NOW)
    theirs = info.calc_price(Theirs(**theirs_of(usage)), provider, genai_request_timestamp=NOW).total_price
    assert price is not None
    assert cost(price, usage) == ceil(theirs * 1_000_000)


def theirs_of(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cached_input,
        "cache_write_tokens": usage.cache_write,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_reasoning_tokens": usage.reasoning,
        "input_audio_tokens": usage.audio_input,
        "cache_audio_read_tokens": usage.cached_audio,
        "output_audio_tokens": usage.audio_output,
        "output_image_tokens": usage.image_output,
    }


def test_the_catalogue_has_models_of_every_kind_of_price() -> None:
    prices = [price for _, info in MODELS if (price := price_of(info, NOW)) is not None]
    named = {name for price in prices for name in Price.__struct_fields__ if getattr(price, name) not in (None, (), 0)}
    assert named == set(Price.__struct_fields__)


# --- the most -----------------------------------------------------------------------------------------------------

FIGURE = st.integers(0, 100_000_000)
MAYBE = st.none() | FIGURE


FIGURES = (
    *("cached_input", "cache_write", "cache_write_1h", "reasoning"),
    *("audio_input", "audio_output", "cached_audio", "image_output"),
)


@st.composite
def flat(draw: st.DrawFn) -> Price:
    figures = {name: draw(MAYBE) for name in FIGURES}
    return replace(Price(draw(FIGURE), draw(FIGURE), request=draw(FIGURE)), **figures)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    steps = sorted(draw(st.sets(COUNT, max_size=2)))
    return replace(draw(flat()), tiers=tuple(Tier(step, draw(flat())) for step in steps))


@st.composite
def doubled(draw: st.DrawFn) -> Usage:
    """A usage as some providers count: tokens that were read from the cache count as written to it as well."""
    usage = draw(usages())
    return replace(usage, cache_write=draw(st.integers(usage.cache_write, usage.cache_write + usage.cached_input)))


@given(prices(), usages() | doubled(), COUNT, COUNT)
def test_nothing_within_a_bound_costs_more_than_its_most(price: Price, usage: Usage, input: int, output: int) -> None:
    bound = Usage(
        usage.input + input, usage.output + output, audio_input=usage.audio_input, audio_output=usage.audio_output
    )
    real = cost(price, usage)
    assert real is not None
    assert real <= most(price, bound)


def test_the_most_is_what_the_dearest_kind_of_token_costs() -> None:
    assert most(PLAIN, Usage(100, 10)) == 200
    assert most(BY_HOUR, Usage(100, 10)) == 210
    assert most(ALL, Usage(100, 10)) == 5000 + 100 + 300
    assert most(ALL, Usage(100, 10, audio_input=20, audio_output=10)) == 5000 + 80 + 800 + 800
    assert most(LONG, Usage(100, 10)) == 200
    assert most(LONG, Usage(1001, 10)) == 4204
