"""Given a plan and what has failed so far: what next? State without I/O. Read next: failures.py, the table it obeys.

upstream/run.py asks ``first`` once and ``failed`` after each failure, and carries out what it is told. Retry,
fallback and overflow are all tries of the one plan; nothing is ever started that the plan does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from gateway.dice import uniform
from gateway.errors import Failure
from gateway.reliability.failures import MEANING
from gateway.types import Deployment, Plan, Try

__all__ = ["Attempts", "Start", "Stop"]

_ACCOUNT_WIDE: Final = frozenset({"auth", "quota"})
_RATE_LIMITED: Final = frozenset({"rate"})


class Start(Struct, frozen=True):
    """Start this try, not before ``at`` (monotonic seconds). ``n`` counts from 1."""

    n: int
    deployment: str
    part: str
    at: float


class Stop(Struct, frozen=True):
    """Nothing is left to try. ``deadline`` says that time, not the plan, ran out."""

    deadline: bool = False


class Attempts:
    """One plan being carried out: the tries left, how many were started, and until when.

    ``until`` is the caller's own deadline in monotonic seconds, where there is one.
    """

    def __init__(
        self, plan: Plan, targets: Mapping[str, Deployment], seed: int, now: float, *, until: float | None = None
    ) -> None:
        self._left = list(plan.tries)
        self._backoff = plan.backoff
        self._targets = targets
        self._seed = seed
        self._started: list[str] = []
        self.deadline_at = now + plan.total_s if until is None else min(until, now + plan.total_s)

    def __repr__(self) -> str:
        left = ", ".join(t.deployment for t in self._left) or "none"
        return f"{len(self._started)} started ({', '.join(self._started) or 'none'}), left: {left}"

    def first(self, now: float) -> Start | Stop:
        """The first try of the plan."""
        return self._start(0, now) if self._left else Stop()

    def failed(self, failure: Failure, now: float) -> Start | Stop:
        """What follows the failure of the try that was started last."""
        last = self._started[-1]
        meaning = MEANING[failure.kind]
        if meaning.same_target == "never" or self._asks_too_much(failure):
            self._drop(lambda t: t.deployment == last)
        if failure.kind in _ACCOUNT_WIDE:
            self._drop_account_of(last)
        if meaning.other_target == "no":
            self._drop(lambda t: t.deployment != last)
        elif meaning.other_target == "larger_window":
            self._drop(lambda t: not self._is_larger(t.deployment, last))
        if not self._left:
            return Stop()
        index = self._after_rate(failure, last) if failure.kind in _RATE_LIMITED else 0
        return self._start(index, now + self._delay(self._left[index], failure))

    def _start(self, index: int, at: float) -> Start | Stop:
        if at >= self.deadline_at:
            return Stop(deadline=True)
        chosen = self._left.pop(index)
        self._started.append(chosen.deployment)
        part = "fallback" if chosen.deployment != self._started[0] else chosen.part
        return Start(len(self._started), chosen.deployment, part, at)

    def _after_rate(self, failure: Failure, last: str) -> int:
        """A rate limit: an equivalent deployment first, then a short wait that was asked for, then any other."""
        others = [i for i, t in enumerate(self._left) if t.deployment != last]
        model = self._targets[last].model
        same_model = [i for i in others if self._targets[self._left[i].deployment].model == model]
        if same_model:
            return same_model[0]
        waits = [i for i, t in enumerate(self._left) if t.deployment == last]
        if waits and failure.retry_after_s is not None:
            return waits[0]
        return others[0] if others else 0

    def _delay(self, chosen: Try, failure: Failure) -> float:
        """Nothing before a deployment's first try; else what it asked for, or a full-jitter exponential backoff."""
        before = self._started.count(chosen.deployment)
        if before == 0:
            return 0.0
        if chosen.deployment == self._started[-1] and failure.retry_after_s is not None:
            return failure.retry_after_s
        backoff = self._backoff
        base = backoff.base_rate_limited_s if failure.kind in _RATE_LIMITED else backoff.base_s
        return min(backoff.cap_s, base * 2.0 ** (before - 1)) * uniform(self._seed, len(self._started))

    def _asks_too_much(self, failure: Failure) -> bool:
        return failure.retry_after_s is not None and failure.retry_after_s > self._backoff.retry_after_max_s

    def _drop(self, unwanted: Callable[[Try], bool]) -> None:
        self._left = [t for t in self._left if not unwanted(t)]

    def _drop_account_of(self, name: str) -> None:
        """A refused key or an empty purse is the account's; with several keys another one may still do."""
        account = self._targets[name].account
        if len(account.keys) <= 1:
            self._drop(lambda t: self._targets[t.deployment].account is account)

    def _is_larger(self, name: str, than: str) -> bool:
        window, failed = self._targets[name].context_window, self._targets[than].context_window
        return window is not None and (failed is None or window > failed)
