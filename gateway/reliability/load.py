"""How busy and how quick a deployment is: what it bears at once, when its answers begin. Read next: budget.py.

Borrowed: peak-EWMA from Finagle and tower; the limit from Netflix's AIMDLimit. Only the time to the first content is
measured, since the rest of an answer takes as long as it is long.
"""

from __future__ import annotations

from math import ceil, exp, exp2, inf, log2
from typing import Final

from msgspec import Struct

__all__ = ["FirstTokenRules", "Load", "LoadRules"]

#: Buckets of the histogram: from 10 ms up in quarters of an octave, to about 9 minutes.
BUCKETS: Final = 64
SHORTEST_S: Final = 0.01
PER_OCTAVE: Final = 4
#: Samples, decayed, below which a percentile says nothing.
ENOUGH: Final = 20.0


class LoadRules(Struct, frozen=True):
    """How a limit is learnt and how fast a time to first content is forgotten.

    The limit starts at its maximum, so that it binds nothing until a drop has been seen: calls last from seconds to
    minutes, so that a healthy deployment has hundreds in flight, which a limit that grows from 20 would choke. A drop
    cuts it to ``shrink`` times what was in flight just then, once in ``shrink_every_s``, for the other drops of one
    overload say nothing new. After ``forget_s`` without a drop it starts anew, since what is little used cannot grow.
    ``peak_s`` and ``usual_s`` are the time constants of the peak and of the mean that it falls back to; ``keep_s``
    that of the histogram. ``unknown_s`` stands for the time of one that has calls in flight but no answer yet.
    """

    min_limit: int = 20
    max_limit: int = 1000
    start_limit: int = 1000
    shrink: float = 0.9
    shrink_every_s: float = 1.0
    forget_s: float = 300.0
    peak_s: float = 10.0
    usual_s: float = 300.0
    keep_s: float = 1800.0
    unknown_s: float = 10.0


class FirstTokenRules(Struct, frozen=True):
    """How many seconds a first content may take: ``times_p95`` times the usual, between ``floor_s`` and ``cap_s``.

    ``reasoning_s`` instead for models that think first; ``per_10k_input_s`` more for each 10,000 tokens of input, as a
    fraction. ``fixed_s`` is the operator's own figure: nothing else then matters. While too little is known the floor
    holds, since a silent provider must not cost a caller more than that.
    """

    floor_s: float = 10.0
    times_p95: float = 4.0
    cap_s: float = 30.0
    reasoning_s: float = 120.0
    per_10k_input_s: float = 2.0
    fixed_s: float | None = None


class Load:
    """The load of one deployment, as this process sees it. ``inflight`` counts calls that have begun and not ended.

    ``most`` is how many there may be at once, whatever is learnt.
    """

    def __init__(self, rules: LoadRules, now: float, first_token: FirstTokenRules | None = None) -> None:
        self.rules = rules
        self.first_token = first_token or FirstTokenRules()
        self.inflight = 0
        self.most = rules.max_limit
        self._limit = float(rules.start_limit)
        self._dropped_at = -inf
        self._times = Times(rules, now)

    def __repr__(self) -> str:
        p95 = self.p95()
        known = "" if p95 is None else f", 19 of 20 first contents within {p95:.3g} s"
        return f"{self.inflight} in flight of at most {self.limit}{known}"

    @property
    def limit(self) -> int:
        """How many calls may be in flight at once, as of the last change."""
        return min(int(self._limit), self.most)

    def room(self, now: float) -> bool:
        """Whether one more call may begin."""
        self._forget(now)
        return self.inflight < self.limit

    def began(self, now: float) -> None:
        self.inflight += 1

    def first(self, seconds: float, now: float) -> None:
        """The first content of a call came ``seconds`` after it had begun."""
        self._times.add(seconds, now)

    def ended(self, now: float, dropped: bool) -> None:
        """A call has ended. ``dropped``: rate-limited, overloaded or timed out, so that fewer at once may do better."""
        self._forget(now)
        if dropped:
            self._shrink(now)
        elif self.inflight * 2 >= self._limit:
            self._limit = min(self.rules.max_limit, self._limit + 1)
        self.inflight = max(0, self.inflight - 1)

    def cost(self, now: float) -> float:
        """What one more call costs, in seconds: the expected time to first content times the calls then in flight.

        A deployment of which nothing is known costs nothing until it has a call in flight, so that it is tried, once.
        """
        expected = self._times.expected(now)
        if expected is None:
            return self.rules.unknown_s * (self.inflight + 1) if self.inflight else 0.0
        return expected * (self.inflight + 1)

    def p95(self) -> float | None:
        """Seconds within which 19 of 20 first contents came, to the next quarter of an octave; None if too few came."""
        return self._times.quantile(0.95)

    def first_token_s(self, input_tokens: int, reasoning: bool) -> float:
        """How many seconds the first content of a call may take. See ``FirstTokenRules``."""
        rules = self.first_token
        if rules.fixed_s is not None:
            return rules.fixed_s
        more = rules.per_10k_input_s * input_tokens / 10_000
        if reasoning:
            return rules.reasoning_s + more
        return min(rules.cap_s, max(rules.floor_s, rules.times_p95 * (self.p95() or 0.0))) + more

    def _shrink(self, now: float) -> None:
        rules = self.rules
        if now - self._dropped_at < rules.shrink_every_s:
            return
        self._dropped_at = now
        self._limit = max(rules.min_limit, min(self._limit, self.inflight) * rules.shrink)

    def _forget(self, now: float) -> None:
        if self._dropped_at > -inf and now - self._dropped_at >= self.rules.forget_s:
            self._dropped_at = -inf
            self._limit = max(self._limit, float(self.rules.start_limit))


class Times:
    """Times to first content: their recent peak, their mean, and a histogram, each with its own memory.

    The peak jumps up at once and falls back to the mean, not to nothing as in Finagle: with a call a minute all peaks
    would be gone, and whoever had been asked last would look the slowest. The mean in turn is forgotten when no more
    calls come, so that what was slow once is tried again. Both histogram and mean decay forward: newer samples weigh
    more, instead of older ones less, which leaves most of the counts alone (Cormode et al. 2009).
    """

    def __init__(self, rules: LoadRules, now: float) -> None:
        self._rules = rules
        self._peak = 0.0
        self._sum = self._weight = 0.0
        self._at = now  # of peak, sum and weight
        self._counts = [0.0] * BUCKETS
        self._counted = 0.0
        self._from = now

    def add(self, seconds: float, now: float) -> None:
        elapsed = max(0.0, now - self._at)
        fade = exp(-elapsed / self._rules.usual_s)
        self._sum = self._sum * fade + seconds
        self._weight = self._weight * fade + 1.0
        self._peak = seconds + max(0.0, self._peak - seconds) * exp(-elapsed / self._rules.peak_s)
        self._at = max(now, self._at)
        self._count(seconds, self._at)

    def expected(self, now: float) -> float | None:
        """Seconds to the first content if one more call began; None when there never was one."""
        if not self._weight:
            return None
        elapsed = max(0.0, now - self._at)
        fade = exp(-elapsed / self._rules.usual_s)
        usual = self._sum * fade / max(1.0, self._weight * fade)
        if usual >= self._peak:
            return self._peak
        return usual + (self._peak - usual) * exp(-elapsed / self._rules.peak_s)

    def quantile(self, q: float) -> float | None:
        if self._counted < ENOUGH * exp(self._age(self._at)):
            return None
        left = q * self._counted
        for bucket, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                return upper_edge(bucket)
        return upper_edge(BUCKETS - 1)

    def _count(self, seconds: float, now: float) -> None:
        if self._age(now) > 20.0:
            self._rebase(now)
        weight = exp(self._age(now))
        octaves = log2(max(seconds, SHORTEST_S) / SHORTEST_S)
        self._counts[min(BUCKETS - 1, ceil(octaves * PER_OCTAVE))] += weight
        self._counted += weight

    def _age(self, now: float) -> float:
        """How long the histogram has been kept, in time constants: the logarithm of what a sample weighs now."""
        return (now - self._from) / self._rules.keep_s

    def _rebase(self, now: float) -> None:
        """Weights must not grow out of a float."""
        fade = exp(-self._age(now))
        self._counts = [count * fade for count in self._counts]
        self._counted *= fade
        self._from = now


def upper_edge(bucket: int) -> float:
    return SHORTEST_S * exp2(bucket / PER_OCTAVE)
