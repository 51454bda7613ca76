"""Prices as the file and the catalogue give them together. Read next: ../test_money.py, what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import check, load_text
from gateway.data.catalogue import SOURCE, facts
from gateway.types import Price, Tier

ENVIRON = {"GEMINI_API_KEY": "x"}
PRO = Price(
    *(1_250_000, 10_000_000, 125_000, None, None, SOURCE),
    tiers=(Tier(200_000, Price(2_500_000, 15_000_000, 250_000, None, None, SOURCE)),),
)
OVER = f"config over {SOURCE}"


def price(written: str, model: str = "gemini-2.5-pro") -> Price | None:
    text = f"providers: {{gemini: {{}}}}\ndeployments:\n  d: {{provider: gemini, model: {model}, price: {written}}}\n"
    return load_text(text, ENVIRON).deployments["d"].price


def test_the_catalogue_knows_prices_of_long_requests() -> None:
    assert facts("https://generativelanguage.googleapis.com/v1beta", "gemini-2.5-pro").price == PRO


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{input: 1, output: 2}", Price(1_000_000, 2_000_000)),
        (
            "{input: 1, output: 2, reasoning: 3, audio_input: 4, audio_output: 5, cached_audio: 0.6, image_output: 7}",
            Price(
                *(1_000_000, 2_000_000),
                reasoning=3_000_000,
                audio_input=4_000_000,
                audio_output=5_000_000,
                cached_audio=600_000,
                image_output=7_000_000,
            ),
        ),
        (
            "{cached_input: 0.1}",
            Price(
                *(1_250_000, 10_000_000, 100_000, None, None, OVER),
                tiers=(Tier(200_000, Price(2_500_000, 15_000_000, 100_000, None, None, OVER)),),
            ),
        ),
        (
            "{output: 9, requests: 5}",
            Price(
                *(1_250_000, 9_000_000, 125_000, None, None, OVER),
                request=5_000_000_000,
                tiers=(Tier(200_000, Price(2_500_000, 9_000_000, 250_000, None, None, OVER, request=5_000_000_000)),),
            ),
        ),
        ("{tiers: []}", Price(1_250_000, 10_000_000, 125_000, None, None, OVER)),
        (
            "{input: 1, output: 2, requests: 1, tiers: [{above: 200k, input: 4}, {above: 32k, output: 3}]}",
            Price(
                *(1_000_000, 2_000_000),
                request=1_000_000_000,
                tiers=(
                    Tier(32_000, Price(1_000_000, 3_000_000, request=1_000_000_000)),
                    Tier(200_000, Price(4_000_000, 2_000_000, request=1_000_000_000)),
                ),
            ),
        ),
    ],
)
def test_a_price_is_whole_by_itself_or_over_the_catalogues(written: str, expected: Price) -> None:
    assert price(written) == expected


def test_an_empty_price_leaves_an_unknown_one_unknown() -> None:
    assert price("{}", model="nobody-knows-it") is None


@pytest.mark.parametrize(
    "whose",
    [
        "organisations: {o: {budget: {usd: 1}}}",
        "teams: {t: {each_user: {budget: {usd: 1}}}}",
        f"keys: [{{id: k, secret_hash: {'0' * 64}, each_user: {{budget: {{usd: 1}}}}}}]",
        "teams: {t: {}}\n"
        "identity: [{name: i, issuer: 'https://login.example/', audience: gw, team: t, budget: {usd: 1}}]",
    ],
)
def test_where_anybody_has_a_budget_a_price_that_is_missing_is_told(whose: str, tmp_path: Path) -> None:
    text = "providers: {sim: {kind: simulated}}\ndeployments: {a: {provider: sim, model: nobody-knows-it}}\n"
    file = tmp_path / "gateway.yaml"
    told = []
    for more in ("", whose):
        file.write_text(text + more)
        told.append(any("the price of 'a' is unknown" in str(problem) for problem in check(file, {})))
    assert told == [False, True]
