"""Limits of several replicas on one real Redis, which may be gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.errors import RateLimited
from gateway.limits.limiter import Limiter, Need, Ticket
from gateway.state.over_redis import Redis
from gateway.types import Caller, Limits, Scope
from tests.redis_server import RedisServer, redis_server

__all__ = ["redis_server"]


class Gateway:
    """A replica and its limiter."""

    def __init__(self, server: RedisServer, command_s: float) -> None:
        self.state = Redis(server.url, command_s=command_s)
        self.limiter = Limiter(self.state, clock=time.monotonic)
        self.refusals: list[RateLimited] = []

    async def let_in(self, who: Caller) -> Ticket | None:
        try:
            return await self.limiter.enter(self.limiter.gates(who), Need(1, 1), time.monotonic())
        except RateLimited as refused:
            self.refusals.append(refused)
            return None

    async def sync(self) -> None:
        await self.state.sync(time.monotonic())


@asynccontextmanager
async def fleet(server: RedisServer, size: int, command_s: float = 2.0) -> AsyncIterator[list[Gateway]]:
    """So many replicas that have met."""
    gateways = [Gateway(server, command_s) for _ in range(size)]
    for _ in range(2):
        for gateway in gateways:
            await gateway.sync()
    try:
        yield gateways
    finally:
        for gateway in gateways:
            await gateway.state.aclose()


def key(**limits: int) -> Caller:
    return Caller("k", scopes=(Scope("key:k", limits=Limits(**limits)),))


async def burst(gateways: Sequence[Gateway], who: Caller, times: int) -> list[Ticket]:
    """So many requests at each, all at the same time: those that are let in."""
    answers = await asyncio.gather(*(gateway.let_in(who) for _ in range(times) for gateway in gateways))
    return [ticket for ticket in answers if ticket is not None]


@pytest.mark.parametrize("rpm", [1, 10, 39])
async def test_four_replicas_let_in_as_many_as_the_limit_in_a_burst(redis_server: RedisServer, rpm: int) -> None:
    async with fleet(redis_server, 4) as gateways:
        assert len(await burst(gateways, key(rpm=rpm), 20)) == rpm
        for refusal in (refusal for gateway in gateways for refusal in gateway.refusals):
            assert refusal.retry_after_s == pytest.approx(60 / rpm, abs=0.5)


async def test_a_burst_passes_a_large_limit_by_a_tenth_at_most(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 4) as gateways:
        assert 400 <= len(await burst(gateways, key(rpm=400), 200)) <= 444


async def test_tokens_are_shared_too_and_all_scopes_are_drawn_on_or_none(redis_server: RedisServer) -> None:
    who = Caller("k", scopes=(Scope("team:t", limits=Limits(rpm=30)), Scope("key:k", limits=Limits(tpm=7))))
    async with fleet(redis_server, 3) as gateways:
        assert len(await burst(gateways, who, 10)) == 7
        for gateway in gateways:
            await gateway.sync()
        requests = gateways[0].limiter.standing(who)[0]
        assert requests.remaining == 23


async def test_no_more_are_served_at_once_than_may_be_and_places_come_back(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 4) as gateways:
        who = key(concurrency=6)
        for _ in range(3):
            tickets = await burst(gateways, who, 5)
            assert len(tickets) == 6
            for ticket in tickets:
                ticket.end(None, time.monotonic())
                ticket.end(None, time.monotonic())
            await asyncio.sleep(0.05)
        for gateway in gateways:
            assert gateway.state.places.used == 0


async def test_a_sequence_of_requests_over_all_replicas_keeps_its_one_place(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 3) as gateways:
        who = key(concurrency=1)
        for turn in range(60):
            ticket = await gateways[turn % 3].let_in(who)
            assert ticket is not None
            ticket.end(None, time.monotonic())


async def test_places_of_a_replica_that_crashed_are_free_when_it_counts_no_more(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        who = key(concurrency=3)
        assert len(await burst([one], who, 3)) == 3
        assert await burst([other], who, 3) == []
        redis_server.ask("ZADD", "gw:replicas", 1, one.state.replica)
        assert len(await burst([other], who, 5)) == 3


async def test_a_redis_that_forgets_everything_is_told_again_which_places_are_used(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        who = key(concurrency=3)
        tickets = await burst([one], who, 3)
        redis_server.ask("FLUSHALL")
        one.state.places._by["key:k"].told_at -= 10.0
        await one.sync()
        assert await burst([other], who, 3) == []
        for ticket in tickets:
            ticket.end(None, time.monotonic())


async def test_a_redis_that_is_frozen_is_waited_for_50_ms_and_each_has_its_part(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 4, command_s=0.05) as gateways:
        who = key(rpm=20, concurrency=8)
        redis_server.freeze()
        try:
            began = time.monotonic()
            tickets = await burst(gateways, who, 10)
            assert time.monotonic() - began < 0.3
            assert 4 <= len(tickets) <= 20
        finally:
            redis_server.thaw()
            for ticket in tickets:
                ticket.end(None, time.monotonic())
        assert all(gateway.state.places.used == 0 for gateway in gateways)


async def test_a_redis_that_is_gone_fails_no_request(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2, command_s=0.05) as gateways:
        redis_server.kill()
        who = key(rpm=40, tpm=1000, concurrency=10)
        assert 2 <= len(await burst(gateways, who, 30)) <= 10
        redis_server.start()


async def test_a_request_that_is_cancelled_while_it_waits_takes_nothing(redis_server: RedisServer) -> None:
    async with fleet(redis_server, 2) as (one, other):
        who = key(rpm=10, concurrency=2)
        for wait_s in (0.0, 0.0002, 0.0005, 0.001, 0.002):
            waiting = [asyncio.create_task(one.let_in(who)) for _ in range(8)]
            await asyncio.sleep(wait_s)
            for task in waiting:
                task.cancel()
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            for answer in answers:
                if isinstance(answer, Ticket):
                    answer.end(None, time.monotonic())
        await asyncio.sleep(0.05)
        assert one.state.places.used == 0
        tickets = await burst([other], key(concurrency=2), 4)
        assert len(tickets) == 2
