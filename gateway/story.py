"""A request's record while it is being written. Closed exactly once, it becomes the Exchange that every sink reads.

Read next: pipeline.py, which opens and closes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

from gateway.errors import Failure, GatewayError, OverBudget, UpstreamFailed
from gateway.money import cost
from gateway.standing import Standing
from gateway.types import Attempt, Call, Caller, Decision, Deployment, Exchange, Features, Signal, Usage, World

__all__ = ["Story", "micros"]

ANONYMOUS: Final = Caller("anonymous")

_OUTCOME_OF_STATUS: Final = {429: "rate_limited", 499: "cancelled", 503: "shed", 504: "timeout"}


def micros(seconds: float) -> float:
    """Seconds rounded to whole microseconds, so that a record is short and says no more than a clock knows."""
    # A quarter of the price of round(seconds, 6), and exact enough: the nearest double prints as six decimals.
    # A zero goes back as it came, since msgspec knows a default by its identity.
    return int(seconds * 1e6 + 0.5) / 1e6 if seconds else seconds


class Story(Struct, eq=False):
    """What is known so far. Times are monotonic seconds; ``at`` is Unix time.

    ``tries`` have been started, ``attempts`` have ended, in this order. ``answered_at`` is when the answer came from
    the provider (a stream: its first content), ``delivered_at`` when it went out.
    ``stale_s`` is how old the answer is that was kept and handed out instead of ``error``; ``passed_over`` says that
    something that was to be tried had come to be left alone; ``estimated`` that nobody counted the tokens.
    ``reference`` is the deployment that the saving is reckoned against.
    ``standing`` tells how the caller stands with its limits; None where it has none.
    """

    id: str
    at: float
    received_at: float
    world: World
    client: str | None = None
    retry: int = 0
    caller: Caller = ANONYMOUS
    priority: Literal["interactive", "batch"] = "interactive"
    call: Call | None = None
    features: Features | None = None
    signals: tuple[Signal, ...] = ()
    snapshot_age_s: float = 0.0
    decision: Decision | None = None
    tries: int = 0
    attempts: list[Attempt] = []
    serving: Deployment | None = None
    served_model: str | None = None
    usage: Usage | None = None
    tried_at: float | None = None
    answered_at: float | None = None
    delivered_at: float | None = None
    status: int = 0
    error: GatewayError | None = None
    broken: Failure | None = None
    cancelled: bool = False
    stale_s: float | None = None
    passed_over: bool = False
    estimated: bool = False
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reference: Deployment | None = None
    standing: Callable[[], tuple[Standing, ...]] | None = None

    def cost(self) -> int | None:
        """Micro-dollars of all attempts so far; None as soon as one that was charged has no known price."""
        total = 0
        for attempt in self.attempts:
            if attempt.usage is not None:
                if attempt.cost is None:
                    return None
                total += attempt.cost
        return total

    def baseline(self) -> int | None:
        """Micro-dollars that the answer would have cost at the reference; None for none, or one that was kept."""
        if self.reference is None or self.delivered_at is None or self.stale_s is not None:
            return None
        return cost(self.reference.price, self.usage)

    def overhead_s(self, now: float) -> float:
        """Seconds spent in the gateway itself: up to the first try, and from the provider's answer to ours."""
        if self.tried_at is None:
            return now - self.received_at
        before = self.tried_at - self.received_at
        return before if self.answered_at is None else before + (self.delivered_at or now) - self.answered_at

    def reason(self) -> str:
        """The routing reason: the decision's, unless another deployment than the first one serves."""
        if self.decision is None:
            return "default"
        for attempt in self.attempts:
            if attempt.failure is not None and self.serving is not None and attempt.deployment != self.serving.name:
                return f"fallback:{attempt.failure.kind}"
        tries = self.decision.plan.tries
        elsewhere = self.serving is not None and bool(tries) and self.serving.name != tries[0].deployment
        return "overflow" if self.passed_over and elsewhere else self.decision.reason

    def outcome(self) -> str:
        """How it ended, one of OUTCOMES."""
        if self.cancelled:
            return "cancelled"
        if self.broken is not None:
            return "timeout" if self.broken.kind in ("stall", "silent") else "upstream_error"
        if self.stale_s is not None:
            return "degraded"
        if self.error is None:
            return "fallback_ok" if any(a.failure is not None for a in self.attempts) else "ok"
        if isinstance(self.error, OverBudget):
            return "budget"
        if isinstance(self.error, UpstreamFailed) and self.status >= 500 and self.status != 504:
            return "upstream_error"
        if self.status in _OUTCOME_OF_STATUS:
            return _OUTCOME_OF_STATUS[self.status]
        return "client_error" if self.status < 500 else "gateway_error"

    def close(self, now: float) -> Exchange:
        """The whole story as of now."""
        call, serving = self.call, self.serving
        first = self.delivered_at
        said = self.error.message if self.error is not None else self.broken.message if self.broken else None
        return Exchange(
            id=self.id,
            at=micros(self.at),
            operation=call.operation if call is not None else "chat",
            caller=self.caller.id,
            outcome=self.outcome(),
            status=self.status,
            total_s=micros(now - self.received_at),
            overhead_s=micros(self.overhead_s(now)),
            model=call.model if call is not None else None,
            stream=call.stream if call is not None else False,
            world=self.world.version,
            tags=call.tags if call is not None else {},
            features=self.features,
            signals=self.signals,
            snapshot_age_s=micros(self.snapshot_age_s),
            decision=self.decision,
            attempts=tuple(sorted(self.attempts, key=_nth)) if len(self.attempts) > 1 else tuple(self.attempts),
            deployment=serving.name if serving is not None else None,
            served_model=self.served_model,
            provider=serving.account.name if serving is not None else None,
            ttft_s=micros(first - self.received_at) if first is not None else None,
            usage=self.usage,
            cost=self.cost(),
            error=self.error.code if self.error is not None else self.broken.kind if self.broken else None,
            message=said,
            simulated=serving.simulated if serving is not None else False,
            client=self.client,
            retry=self.retry,
            dialect=call.dialect if call is not None else "openai",
            dropped=self.dropped,
            organisation=self.caller.organisation,
            team=self.caller.team,
            user=call.user if call is not None else None,
            warnings=self.warnings,
            baseline=self.baseline(),
        )


def _nth(attempt: Attempt) -> int:
    return attempt.n
