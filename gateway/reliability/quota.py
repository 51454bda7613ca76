"""What may still be sent with one key to one model before the provider says no. Read next: meter.py, remaining.py.

Two witnesses are asked, and the stricter one is believed: the meters of what was configured (rpm, tpm), which a
fleet may share, and what the provider's own answers said, less what was sent since.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, Protocol

from msgspec import Struct

from gateway.reliability.failures import MEANING
from gateway.reliability.meter import LocalMeter, Lows, Meter
from gateway.reliability.remaining import Dimension, Remaining
from gateway.reliability.told import Told

__all__ = ["NEVER", "MakeMeter", "Need", "Quota", "Taken"]

#: The wait for what is larger than the limit itself.
NEVER: Final = inf
#: A request fits when it needs no more than this share of what is left: estimates err (overflow.at_remaining: 5%).
USABLE: Final = 0.95
#: Seconds of a limit that may be sent at once. Long enough that arrivals which come in clumps still use all of the
#: quota (with 3 s they left a tenth of it); short enough for providers who look at windows of 10 s, and that what a
#: provider with strict windows of a minute sees too much of after a pause is little: its headers say so in time.
BURST_S: Final = 10.0
#: The share of a bucket below which it is empty: sums of small numbers seldom come to nothing.
EMPTY: Final = 1e-9


class Need(Struct, frozen=True):
    """What one request takes of a quota. Estimated: the input, and the lesser of max_tokens and what is expected."""

    requests: int = 1
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @staticmethod
    def of(input_tokens: int, output_tokens: int) -> Need:
        """The need of one request with that many tokens in and out."""
        return Need(1, input_tokens + output_tokens, input_tokens, output_tokens)


class Taken(Struct, frozen=True, eq=False):
    """A request that was counted and has not come back: give it to ``settle``, once, and to ``note``.

    ``n`` numbers the draws of its quota; ``sent`` is all that had been sent up to it.
    """

    need: Need
    n: int
    at: float
    sent: Need


class MakeMeter(Protocol):
    """Makes the meter of a configured limit, the fleet's for instance."""

    def __call__(self, dimension: Dimension, rate: float, capacity: float) -> Meter:
        """``rate`` is what the limit allows in a second, ``capacity`` what at once."""
        ...


def local(dimension: Dimension, rate: float, capacity: float) -> Meter:
    return LocalMeter(rate, capacity)


class Limit:
    """A limit of so much a minute, configured or told: its meter, and what of it may still be given back.

    Draws up to number ``since`` were made before it was known: nothing of them is in its meter.
    """

    __slots__ = ("dimension", "lows", "meter", "per_minute", "since")

    def __init__(self, dimension: Dimension, per_minute: float, make: MakeMeter, *, since: int = 0) -> None:
        self.dimension: Dimension = dimension
        self.per_minute = per_minute
        self.since = since
        self.meter = make(dimension, per_minute / 60, per_minute * BURST_S / 60)
        self.lows = Lows()

    def __repr__(self) -> str:
        return f"{self.per_minute:.6g} {self.dimension.replace('_', ' ')} a minute"

    def free(self, now: float) -> float:
        return self.meter.capacity - self.meter.level(now)

    def draw(self, n: int, amount: float, now: float) -> None:
        if amount > 0:
            self.lows.seen(n, self.meter.level(now))
            self.meter.draw(amount, now)

    def give_back(self, n: int, amount: float, now: float) -> None:
        back = self.lows.still_there(n, amount, self.meter.level(now))
        if back > 0:
            self.lows.given_back(n, back)
            self.meter.draw(-back, now)

    def wait_s(self, amount: float, now: float, kept: float) -> float:
        """An empty bucket takes any amount up to the limit: what is more than its capacity drains before the next."""
        meter = self.meter
        level = meter.level(now)
        usable = meter.capacity * (1 - kept) - amount / USABLE
        if level <= usable:
            return 0.0
        if amount > self.per_minute:
            return NEVER
        over = level - max(0.0, usable)
        return over / meter.rate if over > EMPTY * meter.capacity else 0.0


class Quota:
    """What one key may still send to one model. ``rpm`` and ``tpm`` are the configured limits; None is no limit.

    Ask ``wait_s``, then ``take``; give what it gave to ``note`` with the answer's headers, and to ``settle`` at the
    end. ``make`` makes the meters: LocalMeter, or one that the fleet shares.
    """

    def __init__(
        self, name: str = "", *, rpm: int | None = None, tpm: int | None = None, make: MakeMeter = local
    ) -> None:
        self.name = name
        self._make = make
        configured: dict[Dimension, int | None] = {"requests": rpm, "tokens": tpm}
        self._configured = {dimension: float(limit) for dimension, limit in configured.items() if limit is not None}
        self._limits = {dimension: Limit(dimension, limit, make) for dimension, limit in self._configured.items()}
        self._told: dict[tuple[Dimension, str], Told] = {}
        self._in_flight: dict[int, Taken] = {}
        self._sent = Need(0)
        self._n = 0
        self._share = 1.0
        self._refused_until = -inf
        self._seen_at = 0.0

    def __repr__(self) -> str:
        now = self._seen_at
        limits = [f"{limit!r}, {max(0.0, limit.free(now)):.6g} of them now" for limit in self._limits.values()]
        said = [f"the provider said {told!r} left" for told in self._told.values()]
        refused = [f"refused for {self._refused_until - now:.1f} s more"] if self._refused_until > now else []
        known = "; ".join([*limits, *said, *refused]) or "no limit known"
        return f"quota{' of ' * bool(self.name)}{self.name}: {known}; {len(self._in_flight)} in flight"

    def wait_s(self, need: Need, now: float, kept: float = 0.0) -> float:
        """Seconds until the request probably fits: 0.0 when it does now, NEVER when it is larger than a limit.

        ``kept`` is the part of what may be sent at once that is to be left for others (see share.py).
        """
        self._seen_at = now
        waits = [self._refused_until - now, 0.0]
        for dimension, limit in self._limits.items():
            if amount := getattr(need, dimension):
                waits.append(limit.wait_s(amount, now, kept))
        for (dimension, _), told in self._told.items():
            if amount := getattr(need, dimension):
                usable = told.limit * (1 - kept * BURST_S / 60) - amount / USABLE
                waits.append(told.frees_in(usable, now) if amount <= told.limit else NEVER)
        return max(waits)

    def part(self, need: Need) -> float:
        """Minutes of the limit that it takes most of: what requests of few and of many tokens are compared by."""
        parts = [getattr(need, dimension) / limit.per_minute for dimension, limit in self._limits.items()]
        parts += [getattr(need, dimension) / told.limit for (dimension, _), told in self._told.items()]
        return float(max(parts, default=0.0))

    def take(self, need: Need, now: float) -> Taken:
        """Count a request that is about to be sent, whether it fits or not."""
        self._seen_at = now
        self._n += 1
        self._sent = added(self._sent, need)
        for dimension, limit in self._limits.items():
            limit.draw(self._n, getattr(need, dimension), now)
        for (dimension, _), told in self._told.items():
            if amount := getattr(need, dimension):
                told.draw(amount, now)
        taken = self._in_flight[self._n] = Taken(need, self._n, now, self._sent)
        return taken

    def settle(self, taken: Taken, used: Need | None, now: float) -> None:
        """What it really used takes the place of the estimate; None when it failed and the provider never counted it.

        Give ``taken.need`` when nothing is known. Settling twice changes nothing, nor does what another quota gave.
        """
        if self._in_flight.get(taken.n) is not taken:
            return
        self._seen_at = now
        used = Need(0) if used is None else used
        for dimension, limit in self._limits.items():
            self._correct(limit, taken, getattr(used, dimension), now)
        for (dimension, _), told in self._told.items():
            if told.n < taken.n:
                told.draw(getattr(used, dimension) - getattr(taken.need, dimension), now)
        self._landed(taken)

    def note(self, remaining: Sequence[Remaining], now: float, taken: Taken | None = None) -> None:
        """Believe what the headers of an answer said (see read_remaining).

        ``taken`` is the request they answer: what was sent after it was not in what they say. Without it, nothing
        that is in flight counts as in it. An answer to an earlier request than the one believed is old news.
        """
        self._seen_at = now
        n = self._n if taken is None else taken.n
        for said in remaining:
            key = (said.dimension, said.scope)
            known = self._told.get(key)
            most = said.limit if said.limit is not None else max(said.remaining, known.limit if known else 0)
            if most > 0 and (known is None or known.n <= n):
                told = self._told[key] = Told(said, n, most, self._uncounted(said.dimension, taken), now)
                if known is None or known.per_minute != told.per_minute:
                    self._learn(said.dimension)
                self._believe(said.dimension, told.limit - told.level(now), now)

    def refused(self, now: float, retry_after_s: float | None, taken: Taken | None = None) -> None:
        """The provider answered 429: nothing fits for as long as it asks, or a few seconds when it does not say.

        ``taken`` is the request that was refused; it needs no ``settle``. What was drawn for it stays drawn: there
        was less than the meters held to be free, and this is how they learn it.
        """
        self._seen_at = now
        wait = retry_after_s if retry_after_s is not None else MEANING["rate"].cool_s or 0.0
        self._refused_until = max(self._refused_until, now + wait)
        if taken is not None and self._in_flight.get(taken.n) is taken:
            self._landed(taken)

    def share(self, now: float) -> float:
        """What is left of the tightest limit, 0..1; of one that a meter keeps, what is left to be sent at once."""
        if self._refused_until > now:
            return 0.0
        left = [limit.free(now) / limit.meter.capacity for limit in self._limits.values()]
        left += [1.0 - told.level(now) / told.limit for told in self._told.values()]
        return max(0.0, min(left, default=1.0))

    def scale(self, share: float) -> None:
        """Count on this share of all limits: 1/replicas while the fleet cannot be asked, 1 again after."""
        self._share = share
        for limit in self._limits.values():
            limit.meter.scale(share)

    def _landed(self, taken: Taken) -> None:
        del self._in_flight[taken.n]
        if not self._in_flight:
            for limit in self._limits.values():
                limit.lows.clear()

    def _correct(self, limit: Limit, taken: Taken, used: int, now: float) -> None:
        """More than estimated is drawn as a draw of its own; less is given back as far as it has not drained."""
        estimated = getattr(taken.need, limit.dimension)
        if used > estimated:
            self._n += 1
            limit.draw(self._n, used - estimated, now)
        elif used < estimated and taken.n > limit.since:
            limit.give_back(taken.n, estimated - used, now)

    def _uncounted(self, dimension: Dimension, taken: Taken | None) -> float:
        """What was sent that an answer to ``taken`` cannot have counted."""
        if taken is None:
            return float(sum(getattr(other.need, dimension) for other in self._in_flight.values()))
        return float(getattr(self._sent, dimension) - getattr(taken.sent, dimension))

    def _learn(self, dimension: Dimension) -> None:
        """A limit that is told, and not configured as low, gets a meter: what one answer says is known to one
        replica, and a meter can be the fleet's."""
        told = [t.per_minute for t in self._told.values() if t.said.dimension == dimension and t.per_minute]
        per_minute = min([*told, self._configured.get(dimension, inf)])
        known = self._limits.get(dimension)
        if per_minute < inf and (known is None or known.per_minute != per_minute):
            self._limits[dimension] = Limit(dimension, per_minute, self._make, since=self._n)
            self._limits[dimension].meter.scale(self._share)

    def _believe(self, dimension: Dimension, free: float, now: float) -> None:
        """Pour away what the meter holds to be free and the provider does not: others use the account too."""
        limit = self._limits.get(dimension)
        if limit is None or free >= limit.meter.capacity:
            return
        excess = limit.free(now) - max(0.0, free)
        if excess > 0:
            self._n += 1
            limit.draw(self._n, excess, now)


def added(sent: Need, need: Need) -> Need:
    return Need(
        sent.requests + need.requests,
        sent.tokens + need.tokens,
        sent.input_tokens + need.input_tokens,
        sent.output_tokens + need.output_tokens,
    )
