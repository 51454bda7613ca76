"""What an answer cost, in integer micro-dollars. Read next: types.py, Price and Usage."""

from __future__ import annotations

from gateway.types import Price, Usage

__all__ = ["cost", "usd"]

_MILLION = 1_000_000


def cost(price: Price | None, usage: Usage | None) -> int | None:
    """Micro-dollars for this usage at this price, rounded up; None when either is unknown.

    Cached and cache-written tokens are part of ``usage.input`` and leave the input price for their own where they
    have one.
    """
    if price is None or usage is None:
        return None
    cached, written = usage.cached_input, usage.cache_write
    total = (
        max(0, usage.input - cached - written) * price.input
        + cached * (price.input if price.cached_input is None else price.cached_input)
        + written * (price.input if price.cache_write is None else price.cache_write)
        + usage.output * price.output
    )
    return -(-total // _MILLION)


def usd(micros: int) -> str:
    """Micro-dollars as dollars in plain decimals: 1234 is ``0.001234``."""
    return f"{micros // _MILLION}.{micros % _MILLION:06d}"
