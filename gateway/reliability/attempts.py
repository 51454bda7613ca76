"""Given a plan and what has failed so far: what next? State without I/O. Read next: failures.py, the table it obeys.

upstream/run.py asks ``first`` once and then tells what became of each try; it carries out what it is told. Retry,
another key, fallback, overflow, hedge and rescue are all tries of the one plan: nothing is ever started that the plan
does not hold, and nothing after a Stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.dice import uniform
from gateway.errors import Failure, FailureKind
from gateway.reliability.failures import MEANING, cooling_s
from gateway.types import Deployment, Plan, Role, Try

__all__ = ["Attempts", "Start", "Stop"]

#: What is the account's: another key may still do, then the same model elsewhere.
_OF_ACCOUNT: Final[frozenset[FailureKind]] = frozenset({"rate", "quota", "auth"})
_ACCOUNT_WIDE: Final[frozenset[FailureKind]] = frozenset({"auth", "quota"})
#: What may be an outage: it is then that of all endpoints that the same company operates.
_OUTAGE: Final[frozenset[FailureKind]] = frozenset({"connect", "overloaded", "silent", "truncated", "stall", "garbage"})


class Start(Struct, frozen=True):
    """Start this try, not before ``at`` (monotonic seconds). ``n`` counts from 1."""

    n: int
    deployment: str
    part: Role
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
        self._began_at = now
        self._started: list[str] = []
        self._last = ""  # whose end is spoken of: what was started last, unless two were under way
        self._down: set[str] = set()
        self.deadline_at = now + plan.total_s if until is None else min(until, now + plan.total_s)

    def __repr__(self) -> str:
        left = ", ".join(t.deployment for t in self._left) or "none"
        return f"{len(self._started)} started ({', '.join(self._started) or 'none'}), left: {left}"

    # --- what next ----------------------------------------------------------------------------------------------

    def first(self, now: float) -> Start | Stop:
        """The first try of the plan."""
        if self._left and not self._left[0].wait_s and now < self.deadline_at:
            return self._take(0, now)
        return self._start(self._others(()), now, None)

    def failed(
        self,
        failure: Failure,
        now: float,
        *,
        deployment: str | None = None,
        other_key: bool = False,
        may_retry: Callable[[], bool] = lambda: True,
    ) -> Start | Stop:
        """What follows the failure of the try that was started last, or of the one at ``deployment`` beside it.

        ``other_key``: the account has another key that can be used. ``may_retry``: the same deployment may be asked
        again at all; its budget of retries says so, and is asked only when it would be.
        """
        last = self._last = deployment or self._last
        if failure.kind in _OF_ACCOUNT and other_key:
            keys = [i for i, t in enumerate(self._left) if t.deployment == last and t.part == "key"]
            if keys:
                return self._start(keys, now, None)
        self.lost(failure, last)
        preferred = self._preferred(failure, last)
        if preferred and self._left[preferred[0]].deployment == last and not may_retry():
            self._drop(lambda t: t.deployment == last)
            preferred = self._preferred(failure, last)
        return self._start(preferred, now, failure)

    def skipped(self, now: float) -> Start | Stop:
        """The try that was started last may not begin: what it asks is left alone by now. It does not count."""
        self.withdrawn()
        return self._start(self._others(()), now, None)

    def hedge(self, now: float) -> Start | Stop:
        """A second try beside the one that was started last, at another deployment."""
        last = self._last
        others = [i for i in self._others(()) if self._left[i].deployment != last]
        free = [i for i in others if self._at(self._left[i], now, None) <= now < self.deadline_at]
        return self._take(free[0], now, "hedge") if free else Stop()

    def withdrawn(self) -> None:
        """As ``skipped``, where nothing is to be started instead."""
        last = self._started.pop()
        self._last = self._started[-1] if self._started else ""
        self._drop(lambda t: t.deployment == last)

    def lost(self, failure: Failure, deployment: str) -> None:
        """A try has failed while another one goes on: what that rules out. Nothing is started."""
        meaning = MEANING[failure.kind]
        if meaning.same_target == "never" or self._asks_too_much(failure):
            self._drop(lambda t: t.deployment == deployment)
        if failure.kind in _ACCOUNT_WIDE:
            account = self._targets[deployment].account
            self._drop(lambda t: self._targets[t.deployment].account is account)
        if failure.kind in _OUTAGE:
            self._down.add(_operator(self._targets[deployment]))
        if meaning.other_target == "no":
            self._drop(lambda t: t.deployment != deployment)
        elif meaning.other_target == "larger_window":
            self._drop(lambda t: not self._is_larger(t.deployment, deployment))

    def resume(
        self, failure: Failure, now: float, able: Callable[[str], bool], *, deployment: str | None = None
    ) -> Start | Stop:
        """What follows a break after content went out: only who is ``able`` to go on, and who broke off last of all."""
        last = self._last = deployment or self._last
        self._drop(lambda t: not able(t.deployment))
        if MEANING[failure.kind].other_target != "no":
            self.lost(failure, last)
        others = self._others(self._down)
        same = [i for i in others if self._left[i].deployment == last]
        return self._start([*(i for i in others if i not in same), *same], now, failure)

    def otherwise(self, now: float) -> Start | Stop:
        """The deployment started last will not go on from a beginning: the same again, in another way, else others."""
        same = [i for i in self._others(()) if self._left[i].deployment == self._last]
        return self._start([*same, *self._others(())], now, None)

    # --- which, and when ----------------------------------------------------------------------------------------

    def _preferred(self, failure: Failure, last: str) -> Sequence[int]:
        """The tries left, the best first, after this failure."""
        if failure.kind not in _OF_ACCOUNT:
            again = self._left and self._left[0].deployment == last and self._left[0].part != "key"
            others = self._others(self._down)
            return [0, *(i for i in others if i)] if again else others
        same = [i for i in self._others(()) if self._left[i].deployment == last]
        others = [i for i in self._others(()) if i not in same]
        model = self._targets[last].model
        twins = [i for i in others if self._targets[self._left[i].deployment].model == model]
        waits = same if failure.retry_after_s is not None else []
        return [*twins, *waits, *others, *same]

    def _others(self, down: set[str] | tuple[()]) -> list[int]:
        """All tries left but those with another key, in the plan's order; those of operators that are down last."""
        usual = [i for i, t in enumerate(self._left) if t.part != "key"]
        return (
            sorted(usual, key=lambda i: _operator(self._targets[self._left[i].deployment]) in down) if down else usual
        )

    def _start(self, preferred: Sequence[int], now: float, failure: Failure | None) -> Start | Stop:
        late = False
        for index in preferred:
            at = self._at(self._left[index], now, failure)
            if at < self.deadline_at:
                return self._take(index, at)
            late = True
        self._left.clear()
        return Stop(deadline=late)

    def _take(self, index: int, at: float, role: Role | None = None) -> Start:
        chosen = self._left.pop(index)
        role = role or self._role(chosen)
        self._started.append(chosen.deployment)
        self._last = chosen.deployment
        return Start(len(self._started), chosen.deployment, role, at)

    def _role(self, chosen: Try) -> Role:
        """What a try turns out to be for: plans are not always carried out in their order."""
        if not self._started:
            return chosen.part
        if chosen.deployment != self._last:
            return "fallback"
        return "key" if chosen.part == "key" else "retry"

    def _at(self, chosen: Try, now: float, failure: Failure | None) -> float:
        """When: at once for a deployment's first try; else after what it asked for, or a full-jitter backoff."""
        earliest = max(now, self._began_at + chosen.wait_s)
        before = self._started.count(chosen.deployment)
        if before == 0 or failure is None:
            return earliest
        if chosen.deployment == self._last and failure.retry_after_s is not None:
            return max(earliest, now + failure.retry_after_s)
        backoff = self._backoff
        limited = failure.kind == "rate"
        base = backoff.base_rate_limited_s if limited else backoff.base_s
        wait = min(backoff.cap_s, base * 2.0 ** (before - 1)) * uniform(self._seed, len(self._started))
        # Its key is left alone for a while: not to be asked before.
        rest = (cooling_s(failure) or 0.0) if limited and chosen.deployment == self._last else 0.0
        return max(earliest, now + rest + wait)

    def _asks_too_much(self, failure: Failure) -> bool:
        return failure.retry_after_s is not None and failure.retry_after_s > self._backoff.retry_after_max_s

    def _drop(self, unwanted: Callable[[Try], bool]) -> None:
        self._left = [t for t in self._left if not unwanted(t)]

    def _is_larger(self, name: str, than: str) -> bool:
        window, failed = self._targets[name].context_window, self._targets[than].context_window
        return window is not None and (failed is None or window > failed)


def _operator(deployment: Deployment) -> str:
    """Who operates the endpoint, as far as is known: an outage of theirs is one of all they operate."""
    return deployment.account.company or deployment.account.name
