"""What an answer cost, and the most that one can cost, in integer micro-dollars. Read next: types.py, Price."""

from __future__ import annotations

from gateway.types import Price, Usage

__all__ = ["cost", "most", "usd"]

_MILLION = 1_000_000


def cost(price: Price | None, usage: Usage | None) -> int | None:
    """Micro-dollars for this usage at this price, rounded up once; None when either is unknown.

    Every token is charged once, at the price of what it is. Some providers count the same tokens as read from a cache
    and as written to it: they are charged for both, but never for input as well.
    """
    if price is None or usage is None:
        return None
    if price.tiers:
        price = _at(price, usage.input)
    if usage.cached_input or usage.cache_write or usage.audio_input:
        given = _given(price, usage)
    else:
        given = usage.input * price.input
    if usage.reasoning or usage.audio_output or usage.image_output:
        made = _made(price, usage)
    else:
        made = usage.output * price.output
    return -(-(given + made + price.request) // _MILLION)


def most(price: Price, bound: Usage) -> int:
    """The most micro-dollars that a usage can cost of which no figure is above that of ``bound``.

    Any of its input may be cached or written to a cache, and any of its output reasoning or a picture; of sound there
    is at most what ``bound`` says. A provider may count a token both as cached and as written.
    """
    dearest = _most(price, bound)
    for tier in price.tiers:
        if bound.input > tier.above:
            dearest = max(dearest, _most(tier.price, bound))
    return -(-dearest // _MILLION)


def usd(micros: int) -> str:
    """Micro-dollars as dollars in plain decimals: 1234 is ``0.001234``."""
    return f"{micros // _MILLION}.{micros % _MILLION:06d}"


def _at(price: Price, input: int) -> Price:
    """The price of a request with so much input: that of the longest tier that it reaches holds for all of it."""
    for tier in reversed(price.tiers):
        if input > tier.above:
            return tier.price
    return price


def _given(price: Price, usage: Usage) -> int:
    """For the input, in millionths of a micro-dollar."""
    cached = 0 if price.cached_input is None else usage.cached_input
    written = 0 if price.cache_write is None else usage.cache_write
    longer = 0 if price.cache_write_1h is None else min(written, usage.cache_write_1h)
    heard = 0 if price.audio_input is None else usage.audio_input
    again = 0
    if usage.cached_audio:
        if price.cached_audio is not None:
            again = usage.cached_audio
            heard = max(0, heard - again)
        if price.cached_audio is not None or price.audio_input is not None:
            cached = max(0, cached - usage.cached_audio)
    return (
        max(0, usage.input - cached - written - heard - again) * price.input
        + cached * (price.cached_input or 0)
        + (written - longer) * (price.cache_write or 0)
        + longer * (price.cache_write_1h or 0)
        + heard * (price.audio_input or 0)
        + again * (price.cached_audio or 0)
    )


def _made(price: Price, usage: Usage) -> int:
    """For the output, in millionths of a micro-dollar."""
    thought = 0 if price.reasoning is None else usage.reasoning
    spoken = 0 if price.audio_output is None else usage.audio_output
    drawn = 0 if price.image_output is None else usage.image_output
    return (
        max(0, usage.output - thought - spoken - drawn) * price.output
        + thought * (price.reasoning or 0)
        + spoken * (price.audio_output or 0)
        + drawn * (price.image_output or 0)
    )


def _most(price: Price, bound: Usage) -> int:
    written = price.cache_write or 0
    if written and price.cache_write_1h is not None:
        written = max(written, price.cache_write_1h)
    given = max(price.input, (price.cached_input or 0) + written)
    made = max(price.output, price.reasoning or 0, price.image_output or 0)
    total = price.request + bound.input * given + bound.output * made
    if bound.audio_input:
        heard = max(price.audio_input or 0, price.cached_audio or 0) + written
        total += bound.audio_input * max(0, heard - given)
    if bound.audio_output:
        total += bound.audio_output * max(0, (price.audio_output or 0) - made)
    return total
