"""What a deployment costs: as the catalogue says, with what the operator says. Read next: ../data/catalogue.py."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.config.schema import FiguresEntry, PriceEntry
from gateway.data.catalogue import micros_per_million
from gateway.types import Price, Tier

__all__ = ["price_of"]


def price_of(entry: PriceEntry, known: Price | None) -> Price | None:
    """The operator's price, or the catalogue's as far as the operator leaves it; None where neither has a whole one."""
    given = _given(entry)
    if "input" in given and "output" in given:
        price = replace(Price(0, 0), **given)
    elif known is not None:
        price = replace(_over(known, given), tiers=tuple(Tier(t.above, _over(t.price, given)) for t in known.tiers))
    else:
        return None
    if entry.requests is not None:
        price = _fee(price, micros_per_million(entry.requests) * 1000)
    if entry.tiers is not None:
        flat = replace(price, tiers=())
        tiers = sorted(entry.tiers, key=lambda tier: tier.above)
        price = replace(flat, tiers=tuple(Tier(tier.above, replace(flat, **_given(tier))) for tier in tiers))
    return price


def _given(entry: FiguresEntry) -> dict[str, int]:
    return {name: micros_per_million(usd) for name, usd in entry.given().items()}


def _over(price: Price, given: dict[str, int]) -> Price:
    return replace(price, source=f"config over {price.source}", **given)


def _fee(price: Price, micros: int) -> Price:
    tiers = tuple(Tier(tier.above, replace(tier.price, request=micros)) for tier in price.tiers)
    return replace(price, request=micros, tiers=tiers)
