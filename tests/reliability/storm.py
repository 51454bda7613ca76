"""A quota storm on a hand-wound clock: replicas, the bucket they share, and a provider that enforces its limits.

Read next: test_quota_storm.py, which says what must come of it.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial
from itertools import count

from msgspec import Struct

from gateway.reliability.meter import Meter, SharedMeter
from gateway.reliability.quota import Need, Quota, Taken
from gateway.reliability.remaining import Dimension, read_remaining
from gateway.testing.limits import Limit, said

RPM, TPM = 60, 10_000
Headers = list[tuple[bytes, bytes]]


# --- the fleet --------------------------------------------------------------------------------------------------


class Bucket(Struct):
    """The store's leaky bucket."""

    level: float = 0.0
    at: float = 0.0

    def poured(self, amount: float, rate: float, now: float) -> None:
        """Drain it up to now, then pour."""
        self.level = max(0.0, max(0.0, self.level - (now - self.at) * rate) + amount)
        self.at = now


class Replica:
    """The buckets as one replica sees them: what the store held at the last sync, and what it has not sent."""

    def __init__(self, store: dict[str, Bucket]) -> None:
        self._store = store
        self._seen: dict[str, Bucket] = {}
        self._unsent: dict[str, float] = {}
        self._rates: dict[str, float] = {}

    def draw(self, name: str, amount: float, rate: float, capacity: float) -> None:
        """See Buckets.draw."""
        self._rates[name] = rate
        self._unsent[name] = self._unsent.get(name, 0.0) + amount

    def level(self, name: str, now: float) -> float:
        """See Buckets.level."""
        seen = self._seen.get(name, Bucket())
        drained = max(0.0, seen.level - (now - seen.at) * self._rates.get(name, 0.0))
        return max(0.0, drained + self._unsent.get(name, 0.0))

    def meter(self, dimension: Dimension, rate: float, capacity: float) -> Meter:
        """The fleet's meter of a limit (see MakeMeter)."""
        return SharedMeter(self, dimension, rate, capacity)

    def sync(self, now: float) -> None:
        """Send what was drawn, and look."""
        for name, rate in self._rates.items():
            bucket = self._store.setdefault(name, Bucket(at=now))
            bucket.poured(self._unsent.pop(name, 0.0), rate, now)
            self._seen[name] = Bucket(bucket.level, bucket.at)


# --- the provider -----------------------------------------------------------------------------------------------


class Provider:
    """Enforces requests and tokens a minute, and says what is left as OpenAI does."""

    def __init__(self, limit: Callable[[float], Limit], *, headers: bool = True) -> None:
        self._requests, self._tokens = limit(RPM), limit(TPM)
        self._headers = headers
        self.requests = self.tokens = self.asked = self.refused = 0

    def ask(self, tokens: int, now: float) -> tuple[int, Headers, float]:
        """The status, the headers, and the wait asked for."""
        self.asked += 1
        wait = max(self._requests.fits_in(1, now), self._tokens.fits_in(tokens, now))
        if self._requests.free(now) < 1 or self._tokens.free(now) < tokens:
            self.refused += 1
            return 429, self._said(now), wait
        self._requests.use(1, now)
        self._tokens.use(tokens, now)
        self.requests += 1
        self.tokens += tokens
        return 200, self._said(now), 0.0

    def _said(self, now: float) -> Headers:
        if not self._headers:
            return []
        limits = {"requests": (RPM, self._requests), "tokens": (TPM, self._tokens)}
        return [(name.encode(), value.encode()) for name, value in said(limits, now)]


# --- the storm --------------------------------------------------------------------------------------------------


class Result(Struct, frozen=True):
    """What came of it: shares of what was sent, and of what the provider allows in the time."""

    sent: int
    refused: float
    requests: float
    tokens: float

    @property
    def used(self) -> float:
        """The share used of whichever limit was the tighter."""
        return max(self.requests, self.tokens)


class Storm:
    """Requests come at random to replicas at random; what does not fit goes elsewhere and is not seen here."""

    def __init__(
        self,
        provider: Provider,
        *,
        replicas: int = 2,
        configured: bool = True,
        per_minute: float = 90,
        tokens: tuple[int, int] = (84, 250),
        minutes: float = 5,
        overestimate: float = 1.2,
        first_s: tuple[float, float] = (0.2, 1.5),
        seed: int = 1,
    ) -> None:
        self._dice = random.Random(seed)
        self._provider = provider
        self._store: dict[str, Bucket] = {}
        self._replicas = [Replica(self._store) for _ in range(replicas)]
        rpm, tpm = (RPM, TPM) if configured else (None, None)
        self._quotas = [Quota(rpm=rpm, tpm=tpm, make=replica.meter) for replica in self._replicas]
        self._per_second = per_minute / 60
        self._tokens = tokens
        self._minutes = minutes
        self._first_s = first_s
        self._overestimate = overestimate
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()

    def run(self) -> Result:
        """Five minutes, by default, in no time."""
        self._at(0.0, self._arrive)
        for i in range(len(self._replicas)):
            self._at(self._dice.uniform(0, 0.1), partial(self._sync, i))
        end = self._minutes * 60
        while self._events and self._events[0][0] < end:
            now, _, event = heapq.heappop(self._events)
            event(now)
        p = self._provider
        return Result(p.asked, p.refused / p.asked, p.requests / RPM / self._minutes, p.tokens / TPM / self._minutes)

    def _at(self, at: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), event))

    def _sync(self, i: int, now: float) -> None:
        self._replicas[i].sync(now)
        self._at(now + 0.1, partial(self._sync, i))

    def _arrive(self, now: float) -> None:
        quota = self._dice.choice(self._quotas)
        tokens = self._dice.randint(*self._tokens)
        need = Need.of(0, int(tokens * self._dice.uniform(1.0, 2 * self._overestimate - 1)))
        if quota.wait_s(need, now) == 0.0:
            taken = quota.take(need, now)
            self._at(now + self._dice.uniform(0.01, 0.05), partial(self._ask, quota, taken, tokens))
        self._at(now + self._dice.expovariate(self._per_second), self._arrive)

    def _ask(self, quota: Quota, taken: Taken, tokens: int, now: float) -> None:
        status, headers, wait = self._provider.ask(tokens, now)
        first = now + (0.02 if status == 429 else self._dice.uniform(*self._first_s))
        self._at(first, partial(self._answered, quota, taken, status, headers, wait))
        if status == 200:
            last = first + self._dice.uniform(0.5, 8)
            self._at(last, partial(quota.settle, taken, Need.of(0, tokens)))

    def _answered(self, quota: Quota, taken: Taken, status: int, headers: Headers, wait: float, now: float) -> None:
        quota.note(read_remaining(headers), now, taken)
        if status == 429:
            quota.refused(now, wait, taken)
