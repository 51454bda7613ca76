"""Closed exchanges for tests: everything has a default, a test names only what it is about."""

from __future__ import annotations

from typing import Any

from gateway.errors import Failure
from gateway.types import (
    Attempt,
    Decision,
    Exchange,
    Features,
    Plan,
    Reason,
    Signal,
    Try,
    Usage,
    Verdict,
)

USAGE = Usage(1200, 340, cached_input=1024, reasoning=64)
FAILED = Attempt(
    n=1,
    deployment="sonnet",
    provider="anthropic",
    model="claude-sonnet-4-5",
    started_s=0.000213,
    ended_s=0.401235,
    status=529,
    failure=Failure("overloaded", "Overloaded", status=529, type="overloaded_error"),
)
SERVED = Attempt(
    n=2,
    deployment="gpt",
    provider="azure-eu",
    model="gpt-4o",
    started_s=0.4013,
    ended_s=2.250123,
    part="fallback",
    first_s=0.812345,
    status=200,
    usage=USAGE,
    cost=5_210,
    provider_request_id="chatcmpl-B7xYkQ2vN0s8dEwz",
)
DECISION = Decision(
    route="agents",
    reason="cost_optimal",
    plan=Plan((Try("sonnet"), Try("gpt", "fallback"), Try("mini", "fallback")), 600.0),
    verdicts=(
        Verdict("sonnet", 8_100.123456789012),
        Verdict("gpt", 9_400.25),
        Verdict("mini", 11_000.5),
        Verdict("llama", None, Reason("below_floor", (0.55, 0.85))),
        Verdict("haiku", None, Reason("cooling", ("rate", 12.5))),
    ),
    strategy="cost",
    policy="3f9a1c77",
    seed=0xFEDC_BA98_7654_3210,
)


def exchange(**more: Any) -> Exchange:
    """A request that a second deployment served after the first one failed, of five that were looked at."""
    return Exchange(
        **{
            "id": "0196f3a1b2c34d5e8f90a1b2c3d4e5f6",
            "at": 1_763_712_000.123457,
            "operation": "chat",
            "caller": "team-a",
            "outcome": "fallback_ok",
            "status": 200,
            "total_s": 2.250235,
            "overhead_s": 0.000346,
            "model": "auto",
            "stream": True,
            "world": "a1b2c3d4e5f6",
            "tags": {"team": "search"},
            "features": Features(1190, 1024, 3, frozenset({"tools", "json"}), 0x1234_5678_9ABC_DEF0),
            "signals": (Signal("intent", "tool_use", 0.9, "rules"), Signal("difficulty", "hard", 0.6, "rules")),
            "snapshot_age_s": 0.051235,
            "decision": DECISION,
            "attempts": (FAILED, SERVED),
            "deployment": "gpt",
            "served_model": "gpt-4o-2024-11-20",
            "provider": "azure-eu",
            "ttft_s": 0.812457,
            "usage": USAGE,
            "cost": 5_210,
            "client": "openai-python/3.52.0",
            **more,
        }
    )


def plain(**more: Any) -> Exchange:
    """A request that its first deployment served."""
    return exchange(**{"outcome": "ok", "attempts": (SERVED,), **more})
