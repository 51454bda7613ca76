"""What an answer cost, in integer micro-dollars. Read next: types.py, Price and Usage."""

from __future__ import annotations

from gateway.types import Price, Usage

__all__ = ["cost", "usd"]

_MILLION = 1_000_000


def cost(price: Price | None, usage: Usage | None) -> int | None:
    """Micro-dollars for this usage at this price, rounded up; None when either is unknown.

    Cached and cache-written tokens are part of ``usage.input`` and leave the input price for their own where they
    have one, and those written for an hour that of the others. Some providers count the same tokens as both: they are
    charged for both, but never for input as well.
    """
    if price is None or usage is None:
        return None
    cached = 0 if price.cached_input is None else usage.cached_input
    written = 0 if price.cache_write is None else usage.cache_write
    longer = 0 if price.cache_write_1h is None else min(written, usage.cache_write_1h)
    total = (
        max(0, usage.input - cached - written) * price.input
        + cached * (price.cached_input or 0)
        + (written - longer) * (price.cache_write or 0)
        + longer * (price.cache_write_1h or 0)
        + usage.output * price.output
    )
    return -(-total // _MILLION)


def usd(micros: int) -> str:
    """Micro-dollars as dollars in plain decimals: 1234 is ``0.001234``."""
    return f"{micros // _MILLION}.{micros % _MILLION:06d}"
