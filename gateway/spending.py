"""What was spent, and what will be: usage and budgets for operators. Read next: api/spending.py, which they ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.budgets.account import Row
from gateway.budgets.forecast import Forecast, forecast
from gateway.budgets.scopes import each_user_of
from gateway.budgets.standing import Standing, account_of, budgeted, stands, templates
from gateway.config.callers import TOKENS
from gateway.keys.document import key_of
from gateway.state.verbs import State
from gateway.types import Caller, Scope, World
from gateway.usage.query import Query
from gateway.usage.summed import Answer, Summing
from gateway.usage.sums import DAY_S, NOBODY, OTHER, Dims, Page, Sums

__all__ = ["Outlook", "Spending"]

#: Days whose usage says at what pace budgets are spent, and who the end users are.
LOOK_BACK: Final = 28
#: End users of one answer, those that spent most lately.
MOST_USERS: Final = 1000
#: Accounts that are asked for at once.
ACCOUNTS: Final = 500


class Outlook(Struct, frozen=True):
    """A budget, how it stands, and what will become of it."""

    standing: Standing
    forecast: Forecast


class Spending:
    """Asks the shared state; ``wall`` is Unix time, ``world`` the configuration in use."""

    def __init__(self, state: State, wall: Callable[[], float], world: Callable[[], World]) -> None:
        self._state = state
        self._wall = wall
        self._world = world

    @property
    def today(self) -> int:
        """The UTC day, since 1970."""
        return int(self._wall() // DAY_S)

    async def usage(self, query: Query) -> Answer:
        """Raises Unavailable when the state does not answer, and BadRequest when there is too much to say."""
        summing = Summing(query)
        async for day, rows in self._used(query.first, query.last):
            summing.feed(day, rows)
        # To sort a hundred thousand rows takes a while, in which nobody else should wait.
        return await asyncio.to_thread(summing.answer)

    async def budgets(self) -> list[Outlook]:
        """All budgets of the configuration and of keys made at run time, and those of end users active lately.

        Raises Unavailable when the state does not answer.
        """
        wall, world = self._wall(), self._world()
        made = await self._made(world)
        scopes, each = budgeted(world, made), templates(world, made)
        if not scopes and not each:
            return []
        spent = _Spent(each)
        async for day, rows in self._used(self.today - LOOK_BACK, self.today):
            spent.feed(day, rows)
        scopes |= spent.users(MOST_USERS)
        present = await self._state.present()
        told = await self._rows([account_of(scope, wall) for scope in scopes.values()])
        standings = [stands(scope, wall, told, present) for scope in scopes.values()]
        return [Outlook(one, _foreseen(one, wall, spent.days(one.scope.name))) for one in standings]

    async def _made(self, world: World) -> Sequence[Caller]:
        """Who has a key that was made at run time."""
        documents = await self._state.keys()
        made = [document for id, document in documents.items() if id not in world.keys]
        # There may be thousands of them, each to be judged.
        return await asyncio.to_thread(lambda: [key_of(document, world.teams).caller for document in made])

    async def _used(self, first: int, last: int) -> AsyncIterator[Page]:
        async for page in self._state.used(range(first, last + 1)):
            yield page
            # Requests are served between two pieces.
            await asyncio.sleep(0)

    async def _rows(self, accounts: Sequence[str]) -> Mapping[str, Mapping[str, Row]]:
        rows: dict[str, Mapping[str, Row]] = {}
        for start in range(0, len(accounts), ACCOUNTS):
            rows.update(await self._state.rows(accounts[start : start + ACCOUNTS]))
        return rows


class _Spent:
    """What each scope spent by day, in micro-dollars. ``each`` are the scopes of end users whose names follow."""

    def __init__(self, each: Mapping[str, Scope]) -> None:
        self._each = each
        self._by: dict[str, dict[int, int]] = {}
        self._users: dict[str, Scope] = {}

    def feed(self, day: int, rows: Sequence[tuple[Dims, Sums]]) -> None:
        """Take some rows of a day."""
        for dims, sums in rows:
            for name in self._names(*dims[:4]):
                days = self._by.setdefault(name, {})
                days[day] = days.get(day, 0) + sums.cost

    def days(self, name: str) -> Mapping[int, int]:
        """What a scope spent."""
        return self._by.get(name, {})

    def users(self, most: int) -> dict[str, Scope]:
        """The end users with budgets of their own, those that spent most."""
        dearest = sorted(self._users, key=lambda name: (-sum(self._by[name].values()), name))
        return {name: self._users[name] for name in dearest[:most]}

    def _names(self, organisation: str, team: str, key: str, user: str) -> Iterator[str]:
        """The scopes that this is spent in. All with tokens of an issuer have one, whoever they are."""
        if key.startswith(TOKENS):
            key = key.rpartition(":")[0]
        yield f"organisation:{organisation}"
        yield f"team:{team}"
        yield f"key:{key}"
        if user not in (NOBODY, OTHER):
            for template in (each_user_of("team", team), each_user_of("key", key)):
                if (scope := self._each.get(template)) is not None:
                    self._users.setdefault(template + user, replace(scope, name=template + user))
                    yield template + user


def _foreseen(standing: Standing, wall: float, days: Mapping[int, int]) -> Forecast:
    """What has no beginning begins with what is known of it."""
    today = int(wall // DAY_S)
    begins_at = standing.span.begins_at
    if begins_at is None:
        begins_at = min(min(days, default=today) * DAY_S, wall)
    spent = standing.settled + standing.unaccounted
    return forecast(spent, standing.limit, begins_at, standing.span.ends_at, wall, days)
