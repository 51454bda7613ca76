"""The decision record: one closed Exchange as one line of JSON, and back.

Read next: ../../docs/decision-record.md, which says what each member means.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.types import Exchange

__all__ = ["SCHEMA", "UnreadableRecord", "decode", "encode"]

#: The version of the record's members. It changes when a member changes its meaning, not when one is added.
SCHEMA: Final = 1

_HEAD: Final = b'{"schema":%d,' % SCHEMA
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decoder: Final = msgspec.json.Decoder(Exchange)


class UnreadableRecord(ValueError):
    """Bytes that are no decision record, or one of a schema that this version does not know."""


def encode(exchange: Exchange) -> bytes:
    """One JSON object without a newline: ``schema`` first, defaults left out.

    Scores, seeds and money are exact, so that the decision in it can be replayed bit for bit.
    """
    return _HEAD + _encoder.encode(exchange)[1:]


def decode(record: bytes) -> Exchange:
    """The Exchange that ``encode`` was given. Members it does not know are passed over.

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
