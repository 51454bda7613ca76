"""Who may ask how much: every limit of a request taken together, or none. Read next: rate.py, one of them.

A request draws on the buckets of all its scopes and uses a place of each; when it ends it gives the places back, and
what it had drawn beyond what it used. What this replica may decide by itself it decides at once; for the rest it asks
the fleet, for 50 ms at most. While the fleet cannot be asked each replica has its part of every limit.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from math import ceil, inf
from typing import Final

from msgspec import Struct

from gateway.errors import RateLimited
from gateway.limits.rate import ASK, NEVER, Rate
from gateway.standing import Standing, Unit
from gateway.state.buckets import Bucket
from gateway.state.places import Place, part
from gateway.state.verbs import State
from gateway.types import Caller, Features, Limits, Usage

__all__ = ["Gate", "Limiter", "Need", "Ticket"]

#: How long a request waits for the fleet, in seconds, and how soon it asks again for a place that was not free.
ASK_S: Final = 0.05
AGAIN_S: Final = 0.01
#: When to come again for a place: nobody knows when one comes free.
PLACE_S: Final = 0.5
#: How late what the fleet says may be known here, in seconds: who came again sooner would be refused again.
LATE_S: Final = 0.002
#: The longest wait that an SDK is told to sit out, in seconds: they take no longer one.
SHORT_S: Final = 60.0
#: Scopes that are kept at a time: what is known of them is in the buckets and places.
MOST: Final = 20_000
#: The longest name that stands in a key of the store as it is.
LONGEST: Final = 120
#: Tokens that an answer is taken to have until some have been seen, and the weight of one answer in their mean.
OUTPUT: Final = 400.0
LEARNT: Final = 0.05
#: How many replicas there are as long as nobody knows: not one.
UNHEARD: Final = 2
WORDS: Final = {"requests": "requests a minute", "tokens": "tokens a minute", "concurrency": "requests at once"}


class Gate(Struct, eq=False):
    """What limits one scope: ``rates`` of requests and of tokens, and how many of its requests there may be at once."""

    scope: str
    limits: Limits
    place: str
    rates: tuple[Rate, ...]
    concurrency: int | None
    at: Place | None = None


#: One limit as a request finds it: its bucket, what of it is to be drawn, and how full it is before.
Row = tuple[Rate, Bucket, float, float]


class Need(Struct, frozen=True):
    """Tokens that a request is taken to use, in all and of input."""

    tokens: int
    input_tokens: int


NOTHING: Final = Need(0, 0)


class Ticket:
    """A request that was let in. ``end`` it exactly once, however it ends; more than once changes nothing."""

    __slots__ = ("_drawn", "_gates", "_limiter", "_rows", "_told")

    def __init__(self, limiter: Limiter, gates: Sequence[Gate], rows: Sequence[Row], drawn: Sequence[float]) -> None:
        self._limiter = limiter
        self._gates: Sequence[Gate] = gates
        self._drawn = drawn
        self._rows = rows
        self._told = gates

    def __repr__(self) -> str:
        return f"a request let in by {', '.join(gate.place for gate in self._gates) or 'nobody any more'}"

    def standing(self) -> tuple[Standing, ...]:
        """How the caller stood when it had been let in: of each unit the limit of which the least share is left."""
        return self._limiter._standing(self._told, [(rate, level + amount) for rate, _, amount, level in self._rows])

    def end(self, usage: Usage | None, now: float) -> None:
        """It used so many tokens, None of them where nobody was asked: it was a request all the same."""
        gates, self._gates = self._gates, ()
        if gates:
            self._limiter._end(gates, self._rows, self._drawn, usage, now)


class Limiter:
    """All limits that this replica has met. ``refused`` counts refusals, by kind of scope and what was limited."""

    def __init__(
        self,
        state: State,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.refused: dict[tuple[str, Unit], int] = {}
        self._state = state
        self._clock = clock
        self._sleep = sleep
        self._gates: dict[str, Gate] = {}
        self._output = OUTPUT
        self._was_alone = False

    def __repr__(self) -> str:
        return f"{len(self._gates)} scopes with limits, {self._state.places!r}"

    def gates(self, caller: Caller, user: str | None = None) -> Sequence[Gate]:
        """The limits of a caller and its end user; nothing where it has none."""
        if not caller.scopes and not caller.each_user:
            return ()
        found = [self._gate(s.name, s.limits) for s in caller.scopes if s.limits is not None]
        if user is not None:
            found += [self._gate(s.name + user, s.limits) for s in caller.each_user if s.limits is not None]
        return found

    def need(self, features: Features, *, counted: bool = True) -> Need:
        """What a request is taken to use; nothing where no tokens of it are counted."""
        if not counted:
            return NOTHING
        expected, most = int(2 * self._output), features.max_output
        output = expected if most is None else min(most, expected)
        return Need(features.input_tokens + output, features.input_tokens)

    async def enter(self, gates: Sequence[Gate], need: Need, now: float) -> Ticket:
        """Let a request in, by all of these gates. Raises RateLimited, and nothing is taken."""
        state = self._state
        if state.alone(now):
            self._was_alone = True
            return self._enter_unheard(gates, need, now)
        if self._was_alone:
            self._heard_again()
        rows: list[Row] = []
        wait = self._look(gates, need, now, rows)
        if wait == ASK:
            return await self._ask(gates, need, now)
        if wait:
            raise self._refuse(gates, need, now)
        return self._enter(gates, rows, now)

    def teller(self, caller: Caller, user: str | None = None) -> Callable[[], tuple[Standing, ...]] | None:
        """Tells ``standing`` when it is asked; None for a caller that is not limited."""
        return partial(self.standing, caller, user) if caller.scopes or caller.each_user else None

    def standing(self, caller: Caller, user: str | None = None) -> tuple[Standing, ...]:
        """How a caller stands now: of each unit the limit of which the least share is left."""
        gates = self.gates(caller, user)
        rows = self._rows(gates, NOTHING, self._clock())
        return self._standing(gates, [(rate, level) for rate, _, _, level in rows])

    # --- what is known here -------------------------------------------------------------------------------------

    def _look(self, gates: Sequence[Gate], need: Need, now: float, rows: list[Row]) -> float:
        """0.0: there is room, as far as this replica may say by itself. ASK, or a wait where there is none."""
        state = self._state
        buckets, places = state.buckets, state.places
        replicas = state.replicas() if state.heard else UNHEARD
        ask, tokens = False, need.tokens
        for gate in gates:
            for rate in gate.rates:
                # As rate.bucket and _amount do: there are up to eight of these in a request.
                bucket = rate.known
                if bucket is None or not bucket.kept:
                    bucket = rate.bucket(buckets, now)
                bucket.touched_at = now
                amount = 1.0 if rate.unit == "requests" else tokens if tokens <= rate.most else _amount(rate, need)
                level = bucket.at_level(now)
                rows.append((rate, bucket, amount, level))
                if amount and (replicas > 1 or level + amount > rate.most):
                    wait = rate.wait_s(level, bucket.untold, amount, replicas)
                    if wait > 0:
                        return wait
                    ask = ask or wait < 0
            if (most := gate.concurrency) is not None:
                place = gate.at
                if place is None or not place.kept:
                    place = gate.at = places.place(gate.place, most)
                place.used_at = now
                if place.used >= place.held:
                    if place.used >= most:
                        return PLACE_S
                    ask = True
        return ASK if ask else 0.0

    def _rows(self, gates: Sequence[Gate], need: Need, now: float) -> list[Row]:
        rows: list[Row] = []
        for gate in gates:
            for rate in gate.rates:
                bucket = rate.bucket(self._state.buckets, now)
                rows.append((rate, bucket, _amount(rate, need), bucket.at_level(now)))
        return rows

    def _enter(self, gates: Sequence[Gate], rows: Sequence[Row], now: float) -> Ticket:
        """Take everything: there is room."""
        drawn = []
        for rate, bucket, amount, level in rows:
            # As rate.pour does: there are up to eight of these in a request.
            bucket.level, bucket.at, bucket.new = level + amount, now, 0.0
            bucket.owed += amount
            rate.poured += amount
            drawn.append(rate.poured)
        if self._was_alone:
            for rate, _, amount, _ in rows:
                rate.pour_alone(amount, now)
        for gate in gates:
            if gate.at is not None:
                gate.at.used += 1
        return Ticket(self, gates, rows, drawn)

    # --- what the fleet is asked --------------------------------------------------------------------------------

    async def _ask(self, gates: Sequence[Gate], need: Need, now: float) -> Ticket:
        """Ask until the answer is known, or for as long as a request may wait."""
        draws = [rate.draw(amount) for gate in gates for rate in gate.rates if (amount := _amount(rate, need))]
        places = [gate.place for gate in gates if gate.concurrency is not None]
        self._state.count_awaited("limit" if draws else "concurrency")
        until_at = now + ASK_S
        while True:
            answer = await self._state.ask(draws, places, now)
            now = self._clock()
            if answer:
                after = self._rows(gates, need, now)
                rows = [(rate, bucket, amount, max(0.0, level - amount)) for rate, bucket, amount, level in after]
                return Ticket(self, gates, rows, [rate.noted(amount) for rate, _, amount, _ in rows])
            if answer is None:
                return self._enter_unheard(gates, need, now)
            if self._look(gates, need, now, []) > 0 or now + AGAIN_S >= until_at:
                raise self._refuse(gates, need, now)
            await self._sleep(AGAIN_S)
            now = self._clock()

    def _enter_unheard(self, gates: Sequence[Gate], need: Need, now: float) -> Ticket:
        """The fleet has not answered: this replica has its part of every limit."""
        if any(wait > 0 for *_, wait in self._waits(gates, need, now, heard=False)):
            raise self._refuse(gates, need, now, heard=False)
        return self._enter(gates, self._rows(gates, need, now), now)

    def _heard_again(self) -> None:
        self._was_alone = False
        for gate in self._gates.values():
            for rate in gate.rates:
                rate.not_alone()

    def _waits(
        self, gates: Sequence[Gate], need: Need, now: float, *, heard: bool
    ) -> Iterator[tuple[Gate, Unit, float]]:
        """Every limit of a request, and how long it keeps it."""
        state = self._state
        places, replicas, alone = state.places, state.replicas(), state.alone(now)
        for gate in gates:
            for rate, bucket, amount, level in self._rows([gate], need, now):
                untold = bucket.untold
                if not amount:
                    wait = 0.0
                elif heard:
                    wait = rate.wait_s(level, untold, amount, replicas)
                    wait = AGAIN_S if wait == ASK else wait + LATE_S if wait and replicas > 1 else wait
                elif alone:
                    wait = rate.wait_alone_s(level, untold, amount, replicas, now)
                else:
                    wait = rate.wait_unheard_s(level, untold, amount, replicas)
                yield gate, rate.unit, wait
            if (most := gate.concurrency) is not None:
                place = gate.at = places.place(gate.place, most)
                room = place.used < (place.held if heard else max(place.held, part(most, replicas)))
                yield gate, "concurrency", 0.0 if room else PLACE_S

    # --- the end ------------------------------------------------------------------------------------------------

    def _end(
        self, gates: Sequence[Gate], rows: Sequence[Row], drawn: Sequence[float], usage: Usage | None, now: float
    ) -> None:
        used = 0
        if usage is not None:
            used = usage.input + usage.output
            self._output += LEARNT * (usage.output - self._output)
        for (rate, _, amount, _), poured in zip(rows, drawn, strict=True):
            if rate.unit == "tokens" and used != amount:
                rate.settle(rate.bucket(self._state.buckets, now), amount, used, poured, now)
        for gate in gates:
            if gate.concurrency is not None:
                self._state.vacate(gate.place)

    # --- what is told -------------------------------------------------------------------------------------------

    def _refuse(self, gates: Sequence[Gate], need: Need, now: float, *, heard: bool = True) -> RateLimited:
        """The error that names the limit that keeps it longest."""
        gate, unit, wait = max(self._waits(gates, need, now, heard=heard), key=_wait)
        scope, limit = gate.scope, f"{_limit(gate, unit)} {WORDS[unit]}"
        self.refused[scope, unit] = self.refused.get((scope, unit), 0) + 1
        if wait == NEVER:
            tokens = f"about {need.input_tokens} tokens"
            said = f"The request has {tokens}, and the {scope}'s limit is {limit}: send less at once."
            error = RateLimited(said, param="messages")
            error.should_retry = False
            return error
        said = f"The {scope}'s limit of {limit} is reached; try again in {ceil(wait * 1000) / 1000:.3f} s."
        error = RateLimited(said, retry_after_s=wait)
        error.should_retry = wait <= SHORT_S
        return error

    def _standing(self, gates: Sequence[Gate], levels: Sequence[tuple[Rate, float]]) -> tuple[Standing, ...]:
        tightest: dict[Unit, tuple[float, Rate, float]] = {}
        for rate, level in levels:
            used = level / rate.capacity
            known = tightest.get(rate.unit)
            if known is None or used > known[0]:
                tightest[rate.unit] = used, rate, level
        told = [rate.standing(level) for _, rate, level in tightest.values()]
        busiest, least = None, inf
        for gate in gates:
            if (most := gate.concurrency) is not None and (left := most - self._state.places.known(gate.place)) < least:
                least, busiest = left, Standing(gate.scope, "concurrency", most, max(0, left))
        return tuple(told) if busiest is None else (*told, busiest)

    def _gate(self, name: str, limits: Limits) -> Gate:
        gate = self._gates.get(name)
        if gate is None or (gate.limits is not limits and gate.limits != limits):
            if len(self._gates) >= MOST:
                self._gates = {}
            gate = self._gates[name] = _make(name, limits)
        return gate


def _make(name: str, limits: Limits) -> Gate:
    scope = name.partition(":")[0]
    known = name if len(name) <= LONGEST else f"{scope}:#{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    asked: tuple[tuple[Unit, int | None], ...] = (("requests", limits.rpm), ("tokens", limits.tpm))
    rates = [Rate(scope, unit, limit, f"limit:{known}:{unit}") for unit, limit in asked if limit is not None]
    return Gate(scope, limits, known, tuple(rates), limits.concurrency)


def _amount(rate: Rate, need: Need) -> float:
    """What is drawn: the guess of what will be answered keeps nobody out for good."""
    if rate.unit == "requests":
        return 1.0
    return need.tokens if need.tokens <= rate.capacity else max(rate.capacity, need.input_tokens)


def _limit(gate: Gate, unit: Unit) -> int | None:
    return {"requests": gate.limits.rpm, "tokens": gate.limits.tpm, "concurrency": gate.concurrency}[unit]


def _wait(kept: tuple[Gate, Unit, float]) -> float:
    return kept[2]
