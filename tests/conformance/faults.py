"""What llmock is asked to do wrong, and in which ways the gateway meets it.

Read next: verdicts.py, which plays these and asks llmock what it thinks of its client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

__all__ = ["FAULTS", "LARGER", "SERVERS", "Fault", "Way"]

Way = Literal["alone", "another account", "another provider"]

#: Nothing else to turn to; and somewhere else. To llmock, requests of one path and body are tries of one call. Where a
#: refusal is about the key or the quota, what is turned to is another path: a call of its own, not a try of that one.
REFUSED: Final[tuple[Way, ...]] = ("alone", "another provider")
#: A broken stream may be made good by the same model under another account: one more try of the same call.
BROKEN: Final[tuple[Way, ...]] = ("alone", "another account")
ALONE: Final[tuple[Way, ...]] = ("alone",)

#: What each llmock is started with: quotas and windows are a server's, not a behaviour's.
SERVERS: Final[Mapping[str, tuple[str, ...]]] = {
    "plain": ("--stream-chunk-delay-ms", "10"),
    "requests": ("--rpm", "30"),
    "tokens": ("--tpm", "6000"),
    "window": ("--context-window", "200"),
}
#: The prompt that is too long for ``window``, in words.
LARGER: Final = 400


class Fault(Struct, frozen=True):
    """One thing that goes wrong.

    ``behaviors`` are llmock's, for the first provider only. ``allowed`` are findings that we stand by, and why.
    ``calls`` go out together, each with a prompt of its own; a client told to wait asks again when ``patient``.
    """

    name: str
    behaviors: tuple[Mapping[str, Any], ...] = ()
    ways: tuple[Way, ...] = REFUSED
    server: str = "plain"
    calls: int = 1
    patient: bool = False
    max_tokens: int | None = None
    words: int = 8
    tools: bool = False
    allowed: Mapping[str, str] = {}


def refusals() -> Iterator[Fault]:
    """Every status that its providers refuse with, once and for good."""
    for status in (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504, 529):
        for times, word in ((1, "once"), (None, "always")):
            yield Fault(f"{status} {word}", ({"type": "fail", "status": status, "times": times},))


def waits() -> Iterator[Fault]:
    for status in (429, 503):
        for seconds in (0.3, 2.5):
            behavior = {"type": "fail", "status": status, "retry_after": seconds}
            yield Fault(f"{status} with Retry-After {seconds} s", (behavior,))
        behavior = {"type": "fail", "status": status, "retry_after": 30}
        why = "a wait of 30 s is the client's to choose: it is told how long"
        yield Fault(f"{status} with Retry-After 30 s", (behavior,), allowed={"gave_up": why})
    twice = {"type": "fail", "status": 429, "retry_after": 0.5, "times": 2}
    yield Fault("429 twice with Retry-After 0.5 s", (twice,), patient=True)


def streams() -> Iterator[Fault]:
    """Each way to break a stream: before anything, after the role, after some words."""
    for kind in ("disconnect", "truncate", "malformed", "stall"):
        for after in (0, 1, 4):
            broken = {"type": "stream_fault", "kind": kind, "after_chunks": after, "stall_seconds": 8}
            yield Fault(f"{kind} after {after} chunks", (broken,), BROKEN)
    pause = {"type": "stream_fault", "kind": "stall", "after_chunks": 4, "stall_seconds": 0.4}
    yield Fault("a pause of 0.4 s after 4 chunks", (pause,), BROKEN)
    for seconds in (0.4, 8):
        yield Fault(f"first token after {seconds} s", ({"type": "slow_first_token", "seconds": seconds},), BROKEN)
        yield Fault(f"head after {seconds} s", ({"type": "delay", "seconds": seconds},), BROKEN)


def tools() -> Iterator[Fault]:
    for kind in ("malformed_arguments", "unknown_tool"):
        yield Fault(f"tool call with {kind}", ({"type": "tool_fault", "kind": kind},), BROKEN, tools=True)
    cut = {"type": "stream_fault", "kind": "truncate", "after_chunks": 2}
    yield Fault("truncate in a tool call", (cut,), BROKEN, tools=True)


def quotas() -> Iterator[Fault]:
    why = "the client is told how long to wait, and may"
    yield Fault(
        "30 requests a minute, 36 at once",
        ways=ALONE,
        server="requests",
        calls=36,
        patient=True,
        allowed={"gave_up": why},
    )
    yield Fault(
        "6,000 tokens a minute, 32 calls of 230 at once",
        ways=ALONE,
        server="tokens",
        calls=32,
        patient=True,
        max_tokens=200,
        allowed={"gave_up": why},
    )
    yield Fault("a prompt too long for the model", server="window", words=LARGER)


FAULTS: Final = (*refusals(), *waits(), *streams(), *tools(), *quotas())
