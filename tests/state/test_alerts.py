"""A webhook is told once of each share of a budget that has been spent. Read next: ../../gateway/alerts.py."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest

from gateway.alerts import Alerts
from gateway.budgets.account import Account
from gateway.budgets.period import span_of
from gateway.errors import Unavailable
from gateway.state.memory import Memory
from gateway.state.over_redis import Redis
from gateway.types import Money, Secret
from tests.redis_server import RedisServer

NOON = 1_795_867_200.0  # 2026-11-28T12:00:00Z


class Hook:
    """What came in, head and body; ``statuses`` are what it answers with, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.url = ""
        self.got: list[tuple[bytes, bytes]] = []
        self._statuses = list(statuses)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        self.got.append((head, await reader.readexactly(length)))
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        writer.close()


@asynccontextmanager
async def hook(*statuses: int) -> AsyncIterator[Hook]:
    one = Hook(*statuses)
    server = await asyncio.start_server(one.take, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks/secret-token"
    async with server:
        yield one


def account(settled: int, **more: Any) -> Account:
    of = {"name": "team:a/2026-11", "scope": "team:a", "limit": 1_000_000, "span": span_of("month", NOON), **more}
    return Account(settled=settled, alert_at=(0.5, 0.8, 1.0), **of)


def alerts(
    state: Any, money: Money, *accounts: Account, said: list[tuple[str, dict[str, Any]]] | None = None
) -> Alerts:
    log: list[tuple[str, dict[str, Any]]] = [] if said is None else said
    by_name = {one.name: one for one in accounts}
    return Alerts(state, money, by_name, wall=lambda: NOON, say=lambda event, **fields: log.append((event, fields)))


async def test_each_share_is_told_once_and_signed() -> None:
    async with hook(200) as one:
        money = Money(webhook=Secret(one.url), webhook_secret=Secret("shared"))
        spent = account(850_000)
        watch = alerts(Memory(), money, spent)
        await watch.look()
        await watch.look()
        await watch.stop()
        bodies = sorted((msgspec.json.decode(body) for _, body in one.got), key=lambda body: body["threshold"])
        assert [body["threshold"] for body in bodies] == [0.5, 0.8]
        assert bodies[1] == {
            "event": "budget.alert",
            "text": "80% of the budget of team a for 2026-11 is spent: 0.850000 of 1.000000 USD",
            "scope": "team:a",
            "period": "2026-11",
            "threshold": 0.8,
            "spent_usd": "0.850000",
            "limit_usd": "1.000000",
            "ends_at": 1_796_083_200.0,
            "at": NOON,
        }
        for head, body in one.got:
            signature = hmac.new(b"shared", body, hashlib.sha256).hexdigest().encode()
            assert b"x-signalbox-signature: sha256=" + signature in head.lower()


async def test_a_refusal_is_all_of_a_budget_where_most_is_spent_but_not_for_one_request_that_wants_too_much() -> None:
    async with hook(200) as one:
        spent = account(60_000)
        watch = alerts(Memory(), Money(webhook=Secret(one.url)), spent)
        spent.exhausted = True
        await watch.look()
        await watch.stop()
        assert one.got == []
        spent.settled, spent.alert_at = 850_000, (1.0,)
        await watch.look()
        await watch.stop()
        said = msgspec.json.decode(one.got[0][1])
        nearly = "Requests are refused, for the budget of team a for 2026-11 is nearly spent: 0.850000 of 1.000000 USD"
        assert (said["threshold"], said["text"]) == (1.0, nearly)


async def test_a_budget_that_was_raised_is_told_of_anew() -> None:
    async with hook(200) as one:
        spent = account(600_000)
        watch = alerts(Memory(), Money(webhook=Secret(one.url)), spent)
        for spent.limit, spent.settled in ((1_000_000, 600_000), (2_000_000, 600_000), (2_000_000, 1_200_000)):
            await watch.look()
        await watch.stop()
        told = {(body["threshold"], body["limit_usd"]) for _, raw in one.got for body in [msgspec.json.decode(raw)]}
        assert told == {(0.5, "1.000000"), (0.5, "2.000000")}


async def test_of_two_replicas_one_tells(redis_server: RedisServer) -> None:
    async with hook(200) as one:
        states = [Redis(redis_server.url), Redis(redis_server.url)]
        money = Money(webhook=Secret(one.url))
        watches = [alerts(state, money, account(600_000)) for state in states]
        await asyncio.gather(*(watch.look() for watch in watches))
        await asyncio.gather(*(watch.stop() for watch in watches))
        assert len(one.got) == 1
        for state in states:
            await state.aclose()


async def test_many_alerts_at_once_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Client(httpx2.AsyncClient):
        def __init__(self, **options: Any) -> None:
            made.append(threading.current_thread() is threading.main_thread())
            super().__init__(**options)

    monkeypatch.setattr(httpx2, "AsyncClient", Client)
    async with hook(200) as one:
        spent = [account(600_000, name=f"user:team/a/{n}/2026-11") for n in range(20)]
        watch = alerts(Memory(), Money(webhook=Secret(one.url)), *spent)
        await watch.look()
        await watch.stop()
        assert (len(one.got), made) == (20, [False])


async def test_a_state_that_does_not_answer_is_asked_once_in_each_look() -> None:
    class Gone(Memory):
        asked = 0

        async def first(self, name: str, keep_s: int) -> bool:
            self.asked += 1
            raise Unavailable("Redis is gone.")

    state = Gone()
    watch = alerts(state, Money(), *[account(900_000, name=f"team:{n}/2026-11") for n in range(3)])
    for _ in range(2):
        await watch.look()
    assert state.asked == 2


async def test_a_webhook_that_fails_is_told_again_and_its_address_is_in_no_log() -> None:
    said: list[tuple[str, dict[str, Any]]] = []
    async with hook(500, 200) as one:
        watch = alerts(Memory(), Money(webhook=Secret(one.url)), account(600_000), said=said)
        await watch.look()
        await watch.stop()
        assert len(one.got) == 2
    assert said == [("budget.alert", {"level": "warning", "scope": "team:a", "period": "2026-11", "threshold": 0.5})]
    assert "secret-token" not in repr((said, watch))
