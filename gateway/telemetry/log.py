"""The log: one line of JSON for each request, and for what the gateway has to say of itself.

Read next: writer.py. The whole story of a request is in its decision record; a line here is its headline.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from gateway.telemetry.writer import Write, Writer
from gateway.types import Exchange

__all__ = ["Level", "Log", "scrubbed", "to_stderr"]

Level = Literal["debug", "info", "warning", "error"]

_RANK: Final = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_LEVEL_OF_OUTCOME: Final[dict[str, Level]] = {
    "ok": "info",
    "client_error": "info",
    "cancelled": "info",
    "fallback_ok": "warning",
    "degraded": "warning",
    "rate_limited": "warning",
    "budget": "warning",
    "shed": "warning",
    "upstream_error": "error",
    "timeout": "error",
    "gateway_error": "error",
}
# Shapes of keys, and the user part of an address. Secrets have their own type; this is for the words of others.
_SECRET: Final = re.compile(
    r"(\b(?:sk|rk|pk|gsk|xai|hf|pplx|nvapi|r8|gw|csk)[-_]|\b(?:AIza|AKIA)|(?i:\bbearer\s+|\bapi[-_]?key[\"'=:\s]+))"
    r"[A-Za-z0-9_\-.+/=]{16,}"
)
_USER: Final = re.compile(r"(?<=://)[^\s\"]*@")


class _Line(Struct, omit_defaults=True):
    """One request's headline."""

    time: str
    level: Level
    event: str
    id: str
    caller: str
    outcome: str
    status: int
    total_ms: float
    overhead_ms: float
    model: str | None = None
    route: str | None = None
    reason: str | None = None
    deployment: str | None = None
    stream: bool = False
    ttft_ms: float | None = None
    attempts: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_micros: int | None = None
    error: str | None = None
    message: str | None = None
    client: str | None = None


_encoder: Final = msgspec.json.Encoder(enc_hook=str)


class Log:
    """Writes lines of JSON, in a thread of its own, for a request when it is closed and for events when told.

    Lines below ``level`` are not written. ``dropped`` counts lines that could not be.
    """

    def __init__(self, write: Write, *, level: Level = "info", clock: Callable[[], float] = time.time) -> None:
        self._writer = Writer(write)
        self._least = _RANK[level]
        self._clock = clock

    def __call__(self, exchange: Exchange, record: bytes) -> None:
        """Write one request's line; its level follows its outcome."""
        level = _LEVEL_OF_OUTCOME.get(exchange.outcome, "error")
        if _RANK[level] >= self._least:
            self._writer.put(_encoder.encode(_headline(exchange, level)))

    def say(self, event: str, *, level: Level = "info", **fields: Any) -> None:
        """Write an event of the gateway's own. Values of other types than JSON's are written as ``str`` has them."""
        if _RANK[level] >= self._least:
            line = {"time": _at(self._clock()), "level": level, "event": event, **fields}
            self._writer.put(scrubbed(_encoder.encode(line).decode()).encode())

    @property
    def dropped(self) -> int:
        """Lines lost so far."""
        return self._writer.dropped

    def flush(self) -> None:
        """Write what is waiting. Blocks: not for the event loop."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is waiting, and stop."""
        self._writer.close()


def to_stderr(lines: Sequence[bytes]) -> int:
    """Write lines to standard error; answers with how many were lost, which happens when nobody reads any more."""
    data = b"".join([line + b"\n" for line in lines])
    written = 0
    try:
        while written < len(data):
            written += os.write(2, data[written:])
    except OSError:
        return data.count(b"\n", written)
    return 0


def scrubbed(text: str) -> str:
    """The text without what looks like a key or the password in an address."""
    return _USER.sub("…@", _SECRET.sub(r"\1…", text))


def _headline(exchange: Exchange, level: Level) -> _Line:
    usage, decision = exchange.usage, exchange.decision
    return _Line(
        time=_at(exchange.at),
        level=level,
        event="request",
        id=exchange.id,
        caller=exchange.caller,
        outcome=exchange.outcome,
        status=exchange.status,
        total_ms=_ms(exchange.total_s),
        overhead_ms=_ms(exchange.overhead_s),
        model=exchange.model,
        route=decision.route if decision is not None else None,
        reason=decision.reason if decision is not None else None,
        deployment=exchange.deployment,
        stream=exchange.stream,
        ttft_ms=None if exchange.ttft_s is None else _ms(exchange.ttft_s),
        attempts=len(exchange.attempts),
        input_tokens=usage.input if usage is not None else None,
        output_tokens=usage.output if usage is not None else None,
        cost_micros=exchange.cost,
        error=exchange.error,
        message=None if exchange.message is None else scrubbed(exchange.message),
        client=exchange.client,
    )


def _at(seconds: float) -> str:
    """RFC 3339 in UTC, to the microsecond."""
    whole, micros = divmod(int(seconds * 1e6 + 0.5), 1_000_000)
    return f"{_second(whole)}.{micros:06d}Z"


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    """The date and the second, which many lines share."""
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _ms(seconds: float) -> float:
    return int(seconds * 1e6 + 0.5) / 1e3
