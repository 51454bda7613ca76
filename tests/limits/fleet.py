"""A fleet on a hand-wound clock: replicas with a limiter each over one store, which does what the scripts do.

Read next: test_machine.py, which lets anything happen to it; tests/state holds the scripts themselves to the same.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from gateway.limits.limiter import Limiter
from gateway.state.asking import ask_here
from gateway.state.buckets import Turn
from gateway.state.places import Row
from gateway.state.verbs import ALONE_S, Draw, State
from gateway.state.view import View

__all__ = ["Clock", "Replica", "Store", "at_once"]

PRESENT_S = 3.0
SHORT_S = 3.0
ERR = 1e-9

Result = TypeVar("Result")


class Clock:
    """Turned by hand, and by those who sleep. ``turned`` is called after each turn."""

    def __init__(self) -> None:
        self.now = 100.0
        self.turned: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.turn(seconds)

    def turn(self, seconds: float) -> None:
        self.now += seconds
        self.turned()


class Store:
    """What Redis keeps, and its four scripts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._buckets: dict[str, tuple[float, float, float]] = {}
        self._turns: dict[str, int] = {}
        self._places: dict[str, dict[str, tuple[int, int]]] = {}
        self._short: dict[str, float] = {}

    def present(self) -> set[str]:
        return {id for id, at in self._seen.items() if self._clock.now - at <= PRESENT_S}

    def meet(self, replica: str) -> int:
        self._seen[replica] = self._clock.now
        return len(self.present())

    def level(self, name: str) -> float:
        level, rate, at = self._buckets.get(name, (0.0, 0.0, 0.0))
        return max(0.0, level - rate * (self._clock.now - at))

    def draw(self, replica: str, turn: Turn) -> list[tuple[float, float]]:
        news = turn.number > self._turns.get(replica, 0)
        self._turns[replica] = max(turn.number, self._turns.get(replica, 0))
        for name, amount, rate, _ in turn.rows:
            if news and amount:
                self._buckets[name] = (max(0.0, self.level(name) + amount), rate, self._clock.now)
        return [(self.level(name), self._buckets.get(name, (0.0, 0.0))[1]) for name, *_ in turn.rows]

    def take(self, draws: Sequence[Draw], untold: Sequence[float]) -> bool:
        fits = all(
            self.level(d.name) + mine + d.amount <= d.capacity * (1 + ERR)
            for d, mine in zip(draws, untold, strict=True)
        )
        for d in draws if fits else ():
            self._buckets[d.name] = (self.level(d.name) + d.amount, d.rate, self._clock.now)
        return fits

    def hold(self, replica: str, number: int, rows: Sequence[Row]) -> list[tuple[int, int, bool]]:
        self.meet(replica)
        return [self._hold(replica, number, row) for row in rows]

    def _hold(self, replica: str, number: int, row: Row) -> tuple[int, int, bool]:
        present = self.present()
        all_of = self._places.setdefault(row.name, {})
        for id in [id for id in all_of if id not in present]:
            del all_of[id]
        others = sum(held for id, (_, held) in all_of.items() if id != replica)
        newest, mine = all_of.get(replica, (0, 0))
        if number > newest:
            mine = max(row.used, min(row.want, row.limit - others))
            all_of[replica] = (number, mine)
            if mine < row.need:
                self._short[row.name] = self._clock.now
        short = self._clock.now - self._short.get(row.name, -SHORT_S) < SHORT_S
        return mine, others, short


class Replica(View):
    """What Redis(View) is to the limiter. ``cut``: the store does not answer it."""

    def __init__(self, store: Store, clock: Clock, id: str) -> None:
        super().__init__()
        self.id = id
        self.cut = False
        self.heard = False
        self.limiter = Limiter(cast(State, self), clock=clock, sleep=clock.sleep)
        self._store = store
        self._clock = clock
        self._replicas = 1
        self._heard_at = self.synced_at = clock.now

    def alone(self, now: float) -> bool:
        return now - self._heard_at > ALONE_S

    def replicas(self) -> int:
        return self._replicas

    def sync(self) -> None:
        now, store = self._clock.now, self._store
        self.synced_at = now
        turn = self.buckets.take(now)
        if self.cut:
            return
        self._replicas, self.heard = store.meet(self.id), True
        self.places.among(self._replicas)
        self.buckets.refresh(turn, store.draw(self.id, turn))
        if now - self._heard_at > PRESENT_S:
            self.places.give_up()
        number, rows = self.places.take(now)
        self.places.granted(rows, store.hold(self.id, number, rows), now)
        self._heard_at = now

    async def ask(self, draws: Sequence[Draw], places: Sequence[str], now: float) -> bool | None:
        if self.cut:
            return None
        for name in places:
            self.places.want(name)
        number, rows = self.places.take(now, places)
        self.places.granted(rows, self._store.hold(self.id, number, rows), now)
        untold = [self.buckets.bucket(draw.name, now).untold for draw in draws]
        taken = self._store.take(draws, untold)
        for draw in draws:
            self.buckets.taken(draw.name, self._store.level(draw.name), draw.rate, draw.capacity, now)
        fits = taken and ask_here(self, (), places, now)
        if taken and not fits:
            for draw in draws:
                self.buckets.draw(draw.name, -draw.amount, draw.rate, draw.capacity)
        return fits

    def vacate(self, name: str) -> None:
        super().vacate(name)
        if self.places.urgent and not self.cut:
            number, rows = self.places.take(self._clock.now, ())
            self.places.granted(rows, self._store.hold(self.id, number, rows), self._clock.now)


def at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of something that waits for nothing but a hand-wound clock."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("it waits")
