"""The faults of the wall, each under the name of a model, and what is asked of whatever stands before it.

Read next: checks.py, the demands; server.py, which plays them. s01 to s16 are the catalogue of Failover Bench,
methodology v0.1; x01 to x15 are ours, for the failure classes that it leaves out. All times are in full timing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from gateway.testing.faults import (
    Cut,
    Fault,
    InBandError,
    InvalidEvent,
    NoEnd,
    NoFinish,
    Pings,
    Refuse,
    Silence,
    SlowFirstToken,
    Stall,
)
from gateway.testing.script import Pace, Script
from gateway.testing.wall.checks import (
    Alive,
    AtLeast,
    AtMost,
    Check,
    Ends,
    Exactly,
    Gap,
    NamesFallback,
    NoHammering,
    NoLargeEvent,
    NoPrefillMasking,
    NoResend,
    NotBlamed,
    NotFollowed,
    Recovers,
    Serves,
    Usage,
)
from gateway.testing.wall.seen import Profile

__all__ = ["ELSEWHERE", "FALLBACKS", "PROFILES", "SCENARIOS", "TEXT", "TOOL", "Scenario", "Series"]

PROFILES: Final[Mapping[str, Profile]] = {"fast": Profile("fast", 5), "full": Profile("full", 1)}

#: What every healthy model says: sixty words, in as many tokens.
TEXT: Final = (
    "A signal box does not make the trains run. It decides which of them may pass, holds the others where they are, "
    "and never sets a route that it cannot prove to be clear. When a wire breaks, every arm falls to danger, because "
    "a train that waits too long does far less harm than one let through by mistake."
)
#: What healthy models are asked to call where a scenario is about tools.
TOOL: Final[Mapping[str, Any]] = {
    "name": "set_route",
    "description": "Set the route of one train through the station.",
    "parameters": {
        "type": "object",
        "properties": {"train": {"type": "string"}, "platform": {"type": "string"}, "signal": {"type": "string"}},
        "required": ["train", "platform", "signal"],
    },
}
PACE: Final = Pace(0.015, 0.015)
HEALTHY: Final = Script(text=TEXT, pace=PACE)
#: The path of the address that x14 points to; the wall fills in its port.
ELSEWHERE: Final = "/elsewhere/chat/completions"

#: The models that answer well: the one that shows whether anything is alive, and those to fall back to.
FALLBACKS: Final[Mapping[str, Script]] = {
    "healthy": HEALTHY,
    "fb-ok": HEALTHY,
    "fb-no-prefill": Script(text=TEXT, pace=PACE, fault="prefill_refused"),
    "fb-tools": Script(pace=PACE),
}


class Series(Struct, frozen=True):
    """Not one call but ``calls``, one every ``every_s`` seconds."""

    calls: int
    every_s: float


class Scenario(Struct, frozen=True):
    """One fault, and what is wanted of it.

    ``scripts`` is what the model of this name does before it is healthy. ``limit_s`` is when a call that has not
    ended counts as hanging. ``wanted`` is the ending that passes: the whole ``answer``, a clear ``error``, or either.
    """

    id: str
    what: str
    scripts: tuple[Script, ...]
    limit_s: float
    required: tuple[Check, ...] = ()
    advisory: tuple[Check, ...] = ()
    wanted: Literal["answer", "error", "either"] = "answer"
    fallback: str = "fb-ok"
    tool: Mapping[str, Any] | None = None
    series: Series | None = None


def always(fault: Fault | str, **more: Any) -> tuple[Script, ...]:
    return (Script(text=TEXT, pace=PACE, fault=fault, **more),)


def once(fault: Fault | str) -> tuple[Script, ...]:
    return always(fault, times=1)


FAILOVER_BENCH: Final = (
    Scenario(
        "s01",
        "429 with Retry-After: 2, once",
        once("rate_limited"),
        20,
        required=(NoHammering(2, 1.5), Ends(20)),
        advisory=(AtLeast(2), Gap(1.8)),
    ),
    Scenario(
        "s02", "429 without Retry-After", always("rate_limited_bare"), 40, required=(NoHammering(4, 3), AtMost(6))
    ),
    Scenario("s03", "500, once", once("server_error"), 20, advisory=(AtLeast(2),)),
    Scenario("s04", "503", always("overloaded"), 40, required=(AtMost(6),)),
    Scenario("s05", "reset before the head, once", once("reset"), 20),
    Scenario("s06", "silence for 120 s", always(Silence(120)), 130, required=(Ends(100),), advisory=(AtMost(1),)),
    Scenario("s07", "first token after 20 s", always(SlowFirstToken(20)), 60, advisory=(Ends(15),)),
    Scenario("s08", "cut after 40 tokens", always(Cut(40)), 40),
    Scenario("s09", "silent after 20 tokens for 30 s", always(Stall(20, 30)), 70, required=(Ends(45), Alive())),
    Scenario("s10", "tenth event is not JSON", always(InvalidEvent(8)), 30, required=(Alive(),)),
    Scenario("s11", "no [DONE]", always("no_done"), 30, required=(Ends(8),), advisory=(Usage(),)),
    Scenario("s12", "400 context_length_exceeded", always("context"), 20, required=(NoResend(),)),
    Scenario("s13", "400 content_policy_violation", always("filter"), 20, required=(Exactly(1),), wanted="error"),
    Scenario(
        "s14",
        "cut after 40, fallback refuses prefill",
        always(Cut(40)),
        40,
        required=(NoPrefillMasking(),),
        fallback="fb-no-prefill",
    ),
    Scenario(
        "s15",
        "503 for 60 s, a call every 4 s",
        always("overloaded", lasts_s=60),
        30,
        required=(Serves(60), Recovers(30, outage_s=60)),
        series=Series(20, 4),
    ),
    Scenario(
        "s16",
        "503; who answered?",
        always("overloaded"),
        40,
        required=(NamesFallback(), AtMost(6)),
        advisory=(Usage(),),
    ),
)
OURS: Final = (
    Scenario("x01", "bytes that are not HTTP", always("not_http"), 20, required=(AtMost(3), Alive())),
    Scenario("x02", "401", always("unauthorized"), 20, required=(AtMost(1), NotBlamed())),
    Scenario("x03", "429 insufficient_quota", always("insufficient_quota"), 20, required=(AtMost(1),)),
    Scenario("x04", "529 with a page of HTML", always("site_overloaded"), 40, required=(AtMost(6),)),
    Scenario("x05", "role, then an error in the stream", always(InBandError()), 40, required=(AtMost(6),)),
    Scenario("x06", "error in the stream after 40 tokens", always(InBandError(40)), 40, required=(AtMost(6),)),
    Scenario("x07", "role, then silence", always(Stall(0, 120)), 130, required=(Ends(100),), advisory=(AtMost(1),)),
    Scenario(
        "x08", "nothing but pings for 120 s", always(Pings(0, 120)), 130, required=(Ends(100),), advisory=(AtMost(1),)
    ),
    Scenario("x09", "only pings after 20 tokens", always(Pings(20, 120)), 130, required=(Ends(45), Alive())),
    Scenario(
        "x10",
        "an event of 2 MiB",
        always("oversized_event"),
        40,
        required=(Alive(),),
        advisory=(NoLargeEvent(1024 * 1024),),
    ),
    Scenario("x11", "gzip that nobody asked for", always("wrong_encoding"), 20, required=(AtMost(3),)),
    Scenario("x12", "[DONE] after 40 tokens, no finish", always(NoFinish(40)), 40),
    Scenario(
        "x13",
        "cut in the arguments of a tool call",
        (Script(pace=PACE, fault=Cut(2)),),
        40,
        wanted="either",
        fallback="fb-tools",
        tool=TOOL,
    ),
    Scenario(
        "x14",
        "redirect to another host",
        always(Refuse(307, headers=(("location", "http://localhost:{port}" + ELSEWHERE),))),
        20,
        required=(NotFollowed(), AtMost(3)),
    ),
    Scenario("x15", "all said, but never ended", always(NoEnd(120)), 60, required=(Ends(15),), advisory=(Usage(),)),
)
SCENARIOS: Final[Mapping[str, Scenario]] = {scenario.id: scenario for scenario in (*FAILOVER_BENCH, *OURS)}
