"""The decision record: one closed Exchange as one line of JSON, and back.

Read next: ../../docs/decision-record.md, which says what each member means.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.types import Attempt, Exchange

__all__ = ["SCHEMA", "UnreadableRecord", "decode", "encode"]

#: The version of the record's members. It changes when a member changes its meaning, not when one is added.
SCHEMA: Final = 1

_HEAD: Final = b'{"schema":%d,' % SCHEMA
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Exchange)


class UnreadableRecord(ValueError):
    """Bytes that are no decision record, or one of a schema that this version does not know."""


def encode(exchange: Exchange) -> bytes:
    """One JSON object without a newline: ``schema`` first, defaults left out, times in whole microseconds.

    Scores, seeds and money are exact, so that the decision in it can be replayed bit for bit.
    """
    return _HEAD + _encoder.encode(_rounded(exchange))[1:]


def decode(record: bytes) -> Exchange:
    """The Exchange that ``encode`` was given, times rounded. Members it does not know are passed over.

    Raises UnreadableRecord.
    """
    try:
        exchange = _decoder.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableRecord(f"not a decision record: {error} (in {len(record)} bytes)") from error
    if exchange.schema != SCHEMA:
        raise UnreadableRecord(
            f"a decision record of schema {exchange.schema}; this version reads {SCHEMA}: "
            "read it with the version of the gateway that wrote it"
        )
    return exchange


def _rounded(exchange: Exchange) -> Exchange:
    return replace(
        exchange,
        at=_micro(exchange.at),
        total_s=_micro(exchange.total_s),
        overhead_s=_micro(exchange.overhead_s),
        snapshot_age_s=_micro(exchange.snapshot_age_s),
        ttft_s=None if exchange.ttft_s is None else _micro(exchange.ttft_s),
        attempts=tuple([_rounded_attempt(attempt) for attempt in exchange.attempts]),
        schema=SCHEMA,
    )


def _rounded_attempt(attempt: Attempt) -> Attempt:
    return replace(
        attempt,
        started_s=_micro(attempt.started_s),
        ended_s=_micro(attempt.ended_s),
        first_s=None if attempt.first_s is None else _micro(attempt.first_s),
    )


def _micro(seconds: float) -> float:
    # A quarter of the price of round(seconds, 6), and exact enough: the nearest double prints as six decimals.
    # A zero goes back as it came, since msgspec knows a default by its identity.
    return int(seconds * 1e6 + 0.5) / 1e6 if seconds else seconds
