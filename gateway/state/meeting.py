"""What one sync says and hears of the fleet's health. Read next: scripts.py, what Redis makes of it.

Under ``prefix``: ``replicas`` is a sorted set, ``cooling`` a hash, and so is each ``places:<name>``; ``lease:<name>``
and ``bucket:<name>`` are strings that expire, and so is ``drawn:<replica>``, the number of the last turn of draws.
Where there is nothing to say of leases, buckets or places, nothing is said: an idle replica sends two short scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import ceil
from time import monotonic
from typing import Any, Final, Protocol, cast

from redis.asyncio import Redis as Client

from gateway.state.buckets import Turn
from gateway.state.cooled import Said
from gateway.state.leases import Asked
from gateway.state.places import Row
from gateway.state.scripts import COOL, DRAW, HOLD, LEASE, MEET
from gateway.state.view import View
from gateway.types import Cooling

__all__ = ["PRESENT_MS", "Feed", "Meeting", "Pipe"]

#: For how long a replica that says nothing still counts as one, in milliseconds.
PRESENT_MS: Final = 3_000
#: For how long the end of a cooling is remembered, in milliseconds; a cooling that comes later than that is too late.
REMEMBERED_MS: Final = 600_000
#: The longest cooling or lease that is shared, in milliseconds: a year.
LONGEST_MS: Final = 365 * 86_400_000
#: For how long it is heard of that a replica was short of places, and are places kept that nobody tells of, in
#: milliseconds.
SHORT_MS: Final = 3_000
PLACES_MS: Final = 60_000

Argument = str | bytes | int | float
#: Takes what one script answered, as scripts.py describes it.
Feed = Callable[[Any], None]


class Pipe(Protocol):
    """Takes commands that go out together."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Argument) -> object:
        """Add a script."""
        ...


class Meeting:
    """Renders what a view has to say into scripts, and feeds it the answers."""

    def __init__(self, view: View, prefix: str, replica: str) -> None:
        self.replicas = 1
        self._view = view
        self._prefix = prefix
        self._replica = replica
        self._met_at: float | None = None

    @property
    def met(self) -> bool:
        """Whether this replica has ever been answered."""
        return self._met_at is not None

    def render(self, pipe: Pipe, now: float) -> list[Feed]:
        """Add what is to be said; each of what is returned takes the answer to one script, in order."""
        pipe.eval(MEET, 1, f"{self._prefix}:replicas", self._replica, PRESENT_MS)
        feeds: list[Feed] = [partial(self._met, now), self._cool(pipe, now)]
        asked = self._view.leases.take(now)
        if asked.let_go or asked.wanted:
            feeds.append(self._ask(pipe, now, asked))
        turn = self._view.buckets.take(now)
        if turn.rows:
            feeds.append(self._draw(pipe, turn))
        if self._met_at is not None and now - self._met_at > PRESENT_MS / 1000:
            self._view.places.give_up()
        number, rows = self._view.places.take(now)
        if rows:
            feeds.append(self.hold(pipe, number, rows, now))
        return feeds

    def hold(self, pipe: Pipe, number: int, rows: Sequence[Row], now: float) -> Feed:
        """Add what is to be said of these places."""
        keys = [f"{self._prefix}:places:{row.name}" for row in rows]
        args: list[Argument] = [self._replica, PRESENT_MS, SHORT_MS, PLACES_MS, number]
        for row in rows:
            args += (row.used, row.need, row.want, row.limit)
        pipe.eval(HOLD, 1 + len(keys), f"{self._prefix}:replicas", *keys, *args)

        def held(told: Sequence[int]) -> None:
            answers = list(zip(told[0::3], told[1::3], map(bool, told[2::3]), strict=True))
            self._view.places.granted(rows, answers, now)

        return held

    async def leave(self, client: Client) -> None:
        """This replica counts no more. Raises what redis-py raises."""
        await client.zrem(f"{self._prefix}:replicas", self._replica)

    async def present(self, client: Client) -> frozenset[str]:
        """The ids of the replicas that were heard of lately. Raises what redis-py raises."""
        seconds, micros = await client.time()
        since = seconds * 1000 + micros // 1000 - PRESENT_MS
        ids = cast(Sequence[bytes], await client.zrangebyscore(f"{self._prefix}:replicas", since, "+inf"))
        return frozenset(id.decode() for id in ids)

    def _met(self, now: float, replicas: int) -> None:
        self.replicas, self._met_at = max(1, replicas), now
        self._view.places.among(self.replicas)

    def _cool(self, pipe: Pipe, now: float) -> Feed:
        told = self._view.cooled.take(now)
        pipe.eval(COOL, 1, f"{self._prefix}:cooling", REMEMBERED_MS, *_told(told, now))
        return lambda left: self._cooled(now, told, left)

    def _cooled(self, now: float, told: Mapping[str, Said], left: Sequence[bytes | int]) -> None:
        fleet: dict[str, Cooling] = {}
        warmed = set()
        for name, remaining, kind in zip(_texts(left[0::3]), left[1::3], _texts(left[2::3]), strict=True):
            if int(remaining):
                fleet[name] = Cooling(now + int(remaining) / 1000, kind)
            else:
                warmed.add(name)
        self._view.cooled.refresh(now, fleet, warmed, told)

    def _ask(self, pipe: Pipe, now: float, asked: Asked) -> Feed:
        names = (*asked.let_go, *asked.wanted)
        ttls = (*(0 for _ in asked.let_go), *(_ms(ttl_s) for ttl_s in asked.wanted.values()))
        keys = (f"{self._prefix}:lease:{name}" for name in names)
        pipe.eval(LEASE, len(names), *keys, self._replica, *ttls)

        def granted(answers: Sequence[int]) -> None:
            had = {name for name, answer in zip(names, answers, strict=True) if answer}
            self._view.leases.granted(now, asked, had)

        return granted

    def _draw(self, pipe: Pipe, turn: Turn) -> Feed:
        keys = [f"{self._prefix}:bucket:{name}" for name, *_ in turn.rows]
        args = [number for _, *row in turn.rows for number in row]
        pipe.eval(DRAW, 1 + len(keys), f"{self._prefix}:drawn:{self._replica}", *keys, turn.number, *args)
        asked_at = monotonic()

        def drawn(told: Sequence[bytes]) -> None:
            numbers = [float(number) for number in told]
            levels = list(zip(numbers[0::2], numbers[1::2], strict=True))
            self._view.buckets.refresh(turn, levels, monotonic() - asked_at)

        return drawn


def _told(said: Mapping[str, Said], now: float) -> Iterator[Argument]:
    for name, one in said.items():
        age = round((now - one.at) * 1000) if one.at is not None else 0
        if one.warm:
            yield from (name, age, 0, "")
        if one.cooling is not None:
            yield from (name, age, _ms(one.cooling.until_at - now), one.cooling.kind)


def _ms(seconds: float) -> int:
    return max(1, ceil(min(seconds * 1000, LONGEST_MS)))


def _texts(answers: Sequence[bytes | int]) -> list[str]:
    return [answer.decode() if isinstance(answer, bytes) else str(answer) for answer in answers]
