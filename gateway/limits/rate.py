"""One limit of so much a minute, over the fleet. Read next: limiter.py, which asks all limits of a request.

A bucket of one minute's worth that drains all the time, as OpenAI's limits are: what a minute allows may come at once,
and then as it drains. This is GCRA said the other way round: level over rate is how far the arrival time lies ahead.
"""

from __future__ import annotations

from math import inf
from typing import Final

from gateway.reliability.meter import LocalMeter
from gateway.standing import Standing, Unit
from gateway.state.buckets import Bucket, Buckets
from gateway.state.verbs import ALONE_S, Draw

__all__ = ["ASK", "NEVER", "SLACK", "Rate"]

#: The wait for what is larger than the limit itself.
NEVER: Final = inf
#: Instead of a wait: the request may fit, but only the fleet can say.
ASK: Final = -1.0
#: The part of a limit that all replicas together may have drawn without the fleet knowing it yet.
SLACK: Final = 0.1
#: What a full bucket may hold more than its capacity, as a part of it: sums of small numbers err.
ERR: Final = 1e-9
WINDOW_S: Final = 60.0


class Rate:
    """``capacity`` a minute for one scope. ``name`` is that of its bucket; ``most`` is what a full one may hold.

    ``known`` is the bucket when it was last asked for.
    """

    __slots__ = ("_alone", "capacity", "known", "most", "name", "poured", "rate", "scope", "unit")

    def __init__(self, scope: str, unit: Unit, per_minute: int, name: str) -> None:
        self.scope = scope
        self.unit: Unit = unit
        self.name = name
        self.capacity = float(per_minute)
        self.rate = per_minute / WINDOW_S
        self.most = per_minute * (1 + ERR)
        self.poured = 0.0
        self._alone: LocalMeter | None = None
        self.known: Bucket | None = None

    def __repr__(self) -> str:
        return f"{self.capacity:.0f} {self.unit} a minute for {self.name}"

    def bucket(self, buckets: Buckets, now: float) -> Bucket:
        """Its bucket."""
        bucket = self.known
        if bucket is None or not bucket.kept:
            bucket = self.known = buckets.bucket(self.name, now)
            bucket.rate, bucket.capacity = self.rate, self.capacity
        bucket.touched_at = now
        return bucket

    def wait_s(self, level: float, untold: float, amount: float, replicas: int) -> float:
        """Seconds until so much fits: 0.0 when it does now, NEVER when it never will, ASK when only the fleet knows.

        The bucket holds ``level``, as far as is known here; the fleet may not know ``untold`` of it yet.
        """
        if level + amount > self.most:
            return (level + amount - self.capacity) / self.rate if amount <= self.most else NEVER
        if replicas == 1:
            return 0.0
        free = self.capacity - level + untold
        return 0.0 if (untold + amount) * replicas <= min(SLACK * self.capacity, free) else ASK

    def wait_unheard_s(self, level: float, untold: float, amount: float, replicas: int) -> float:
        """The same while the fleet does not answer: this replica's part of what was free when it last did."""
        if level + amount > self.most:
            return (level + amount - self.capacity) / self.rate if amount <= self.most else NEVER
        fits = untold <= 0 or (untold + amount) * replicas <= self.capacity - level + untold
        return 0.0 if fits else ALONE_S

    def wait_alone_s(self, level: float, untold: float, amount: float, replicas: int, now: float) -> float:
        """The same for one replica of so many that cannot ask: it has its part of the limit.

        An empty bucket takes any amount up to the limit, or there would be requests that never fit.
        """
        if amount > self.most:
            return NEVER
        meter = self._alone
        if meter is None:
            own = max(0.0, untold)
            level = own + max(0.0, level - own) / replicas
            meter = self._alone = LocalMeter(self.rate / replicas, self.capacity / replicas, level=level, at=now)
        over = meter.level(now) - max(0.0, meter.capacity - amount)
        return over / meter.rate if over > ERR * self.capacity else 0.0

    def not_alone(self) -> None:
        """The fleet answers again."""
        self._alone = None

    def pour(self, bucket: Bucket, amount: float, now: float) -> float:
        """Draw. What has been drawn in all: give it to ``settle``."""
        bucket.pour_at(amount, now)
        self.pour_alone(amount, now)
        return self.noted(amount)

    def pour_alone(self, amount: float, now: float) -> None:
        """Draw on this replica's part, where it has one."""
        if self._alone is not None:
            self._alone.draw(amount, now)

    def noted(self, amount: float) -> float:
        """As ``pour``, when the fleet has drawn already."""
        self.poured += amount
        return self.poured

    def settle(self, bucket: Bucket, amount: float, used: float, poured: float, now: float) -> None:
        """What was drawn used so much, once: more is drawn, less given back as far as it has not drained.

        What was drawn first drains first: of a draw as much is left as the bucket holds beyond what came after it.
        """
        if used > amount:
            self.pour(bucket, used - amount, now)
        elif used < amount:
            back = min(amount - used, bucket.at_level(now) - (self.poured - poured))
            if back > 0:
                bucket.pour_at(-back, now)
                self.pour_alone(-back, now)

    def draw(self, amount: float) -> Draw:
        """What to ask of the fleet."""
        return Draw(self.name, amount, self.rate, self.capacity)

    def standing(self, level: float) -> Standing:
        """What is left while the bucket holds so much."""
        remaining = int(min(self.capacity, max(0.0, self.most - level)))
        more = remaining + 1 - self.capacity + level if remaining < self.capacity else 0.0
        return Standing(self.scope, self.unit, int(self.capacity), remaining, level / self.rate, more / self.rate)
