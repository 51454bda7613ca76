"""What was used, in Redis: each replica tells absolute sums of its own, nobody increments. Read next: scripts.py, TELL.

Under ``prefix``: ``usage:<day>`` is the set of those who told of that day, ``usage:<day>:<teller>`` the hash of one of
them, with a field for each combination of dimensions and its sums as value, both JSON arrays. The field with no name
is the number of the last turn: where it is lower than what was answered before, the store has lost something, and all
of the day is told again. So that this is noticed, a turn without sums follows for a while after the last ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf
from typing import Any, Final, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis as Client

from gateway.state.meeting import Feed, Pipe
from gateway.state.scripts import TELL
from gateway.usage.sums import DAY_S, Dims, Page, Sums, iso
from gateway.usage.tally import Day, Tally

__all__ = ["Telling"]

#: Sums are told so often, in seconds, and so many in one turn.
EVERY_S: Final = 1.0
TURN: Final = 500
#: For how long after the last sums it is looked whether they are still there, in seconds. What a failover may lose is
#: younger than that.
WATCHED_S: Final = 10.0
#: Days that are held here so that they can be told again.
HELD: Final = 2
#: Fields of a hash that are read in one step.
STEP: Final = 500

_dims: Final = msgspec.json.Decoder(Dims)
_sums: Final = msgspec.json.Decoder(Sums)
_encoder: Final = msgspec.json.Encoder()


class Told(Struct):
    """How far one day is told: ``number`` of the last turn, the last that was ``heard``, since when it is watched."""

    number: int = 0
    heard: int = 0
    watched_at: float | None = None


class Turn(Struct, frozen=True):
    """One turn as it was answered: its ``number``, whether it had ``sums``, the number of the ``last`` one there."""

    number: int
    sums: bool
    last: int


class Telling:
    """Renders what a tally has to say into scripts, and reads what all said. ``error`` is what Redis had against it."""

    def __init__(self, tally: Tally, prefix: str, replica: str, *, kept_days: int = 400) -> None:
        self.error: str | None = None
        self._tally = tally
        self._prefix = prefix
        self._replica = replica
        self._kept_s = kept_days * DAY_S
        self._told: dict[int, Told] = {}
        self._next_at = -inf

    def __repr__(self) -> str:
        return f"{self._tally!r}, {'to be told' if self.untold else 'told'}"

    @property
    def untold(self) -> bool:
        """Whether there is anything that Redis does not have."""
        return not all(day.settled for day in self._tally.days.values())

    def hasten(self) -> None:
        """Tell at the next sync what there is to tell."""
        self._next_at = -inf

    def render(self, pipe: Pipe, now: float) -> list[Feed]:
        """Add what is to be said; each of what is returned takes the answer to one script, in order."""
        if now < self._next_at:
            return []
        self._next_at = now + EVERY_S
        return [self._tell(pipe, now, n, day) for n, day in self._tally.days.items() if self._is_due(day)]

    def _is_due(self, day: Day) -> bool:
        told = self._told.get(day.serial)
        return not day.settled or (told is not None and told.watched_at is not None)

    def _tell(self, pipe: Pipe, now: float, n: int, day: Day) -> Feed:
        told = self._told.setdefault(day.serial, Told())
        told.number = number = told.number + 1
        sums = day.take(TURN)
        if day.untold:
            self.hasten()
        teller = self._teller(day)
        args = [_encoder.encode(part) for row in sums.items() for part in row]
        pipe.eval(TELL, 2, self._hash(n, teller), self._set(n), number, self._kept_s, teller, *args)

        def heard(answer: tuple[int, bytes]) -> None:
            last, error = answer
            self.error = error.decode() or None
            if error:
                self._next_at = now + EVERY_S
            else:
                day.told()
                self._heard(day, told, Turn(number, bool(sums), last), now)

        return heard

    def _heard(self, day: Day, told: Told, turn: Turn, now: float) -> None:
        lost = turn.last < told.heard
        told.heard = turn.number
        if lost:
            day.doubt()
            self.hasten()
        if lost or turn.sums:
            told.watched_at = now
        elif told.watched_at is not None and now - told.watched_at >= WATCHED_S:
            told.watched_at = None
        self._let_go()

    def _let_go(self) -> None:
        """Of old days only those that are told."""
        days = self._tally.days
        for n in sorted(days)[:-HELD]:
            if not self._is_due(days[n]):
                del days[n]
        held = {day.serial for day in days.values()}
        self._told = {serial: told for serial, told in self._told.items() if serial in held}

    # --- reading ------------------------------------------------------------------------------------------------

    async def read(self, client: Client, days: Sequence[int]) -> AsyncIterator[Page]:
        """What was used on these days, in pieces. What this replica holds is as of now. Raises what redis-py raises."""
        for n in days:
            own = self._tally.days.get(n)
            for rows in own.pages() if own is not None else ():
                yield n, rows
            for teller in sorted(await cast(Any, client.smembers(self._set(n)))):
                if own is None or teller.decode() != self._teller(own):
                    async for rows in self._of(client, self._hash(n, teller.decode())):
                        yield n, rows

    async def _of(self, client: Client, name: str) -> AsyncIterator[list[tuple[Dims, Sums]]]:
        # While a hash grows, its fields may come more than once.
        seen: set[bytes] = set()
        cursor: int | None = None
        while cursor != 0:
            cursor, fields = await cast(Any, client.hscan(name, cursor or 0, count=STEP))
            yield _rows({field: sums for field, sums in fields.items() if field not in seen})
            seen.update(fields)

    def _teller(self, day: Day) -> str:
        """A day that was let go of and came back begins with nothing, so it tells under a name of its own."""
        return f"{self._replica}.{day.serial}"

    def _hash(self, n: int, teller: str) -> str:
        return f"{self._set(n)}:{teller}"

    def _set(self, n: int) -> str:
        return f"{self._prefix}:usage:{iso(n)}"


def _rows(fields: Mapping[bytes, bytes]) -> list[tuple[Dims, Sums]]:
    rows = []
    for field, sums in fields.items():
        try:
            rows.append((_dims.decode(field), _sums.decode(sums)))
        except msgspec.DecodeError:
            continue  # the number of the turn, or what somebody else wrote there
    return rows
