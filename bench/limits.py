"""What limits cost a request, in microseconds of CPU: ``python -m bench.limits``. Read next: docs/limits.md."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from gateway.api.limits import limits
from gateway.limits.limiter import Limiter
from gateway.state.memory import Memory
from gateway.types import Caller, Features, Limits, Scope, Usage

TIMES: Final = 3_000
#: The best of so many: the machine is shared.
ROUNDS: Final = 20
HIGH: Final = Limits(10**9, 10**12, 10**6)
NAMES: Final = ("organisation:o", "team:t", "key:k")
FEATURES: Final = Features(100, 100, 1, frozenset(), 1)
USED: Final = Usage(90, 80)


async def main() -> None:
    """Print a line for each kind of caller."""
    four = Caller(
        "four", scopes=tuple(Scope(name, limits=HIGH) for name in NAMES), each_user=(Scope("user:", None, HIGH),)
    )
    none = Caller("none")
    one = Caller("one", scopes=(Scope("key:one", limits=HIGH),))
    rates = Limits(HIGH.rpm, HIGH.tpm)
    four_rates = Caller(
        "rates", scopes=tuple(Scope(f"{n}-", None, rates) for n in NAMES), each_user=(Scope("user:-", None, rates),)
    )
    limiter = Limiter(Memory(), clock=time.monotonic)
    print(f"no limits                              {best(lambda: limiter.gates(none)):6.2f} µs")
    for name, caller in (
        ("one scope, three limits", one),
        ("four scopes, eight limits", four_rates),
        ("four scopes, twelve limits", four),
    ):
        through, heads = await let_in(limiter, caller), await told(limiter, caller)
        print(f"{name:28} let in, ended {through:6.2f} µs, headers {heads:6.2f} µs")


def best(do: Callable[[], object]) -> float:
    """Microseconds that something takes when nothing disturbs it."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(TIMES):
            do()
        took.append(time.perf_counter() - began)
    return min(took) / TIMES * 1e6


async def let_in(limiter: Limiter, caller: Caller) -> float:
    """Microseconds from the look at a caller's limits to the end of its request."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(TIMES):
            now = time.monotonic()
            ticket = await limiter.enter(limiter.gates(caller, "u"), limiter.need(FEATURES), now)
            ticket.end(USED, now)
        took.append(time.perf_counter() - began)
    return min(took) / TIMES * 1e6


async def told(limiter: Limiter, caller: Caller) -> float:
    """Microseconds that the headers of an answer take."""
    ticket = await limiter.enter(limiter.gates(caller, "u"), limiter.need(FEATURES), time.monotonic())
    return best(lambda: limits(ticket.standing(), "openai", 0.0))


if __name__ == "__main__":
    asyncio.run(main())
