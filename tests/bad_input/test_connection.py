"""Clients that are slow, silent, impatient or gone, on a running gateway. Read next: test_protocol.py, without one."""

from __future__ import annotations

import asyncio

import msgspec

from gateway.testing.faults import Silence
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from tests.bad_input.rows import GOOD, JSON, LENGTH, MiB
from tests.bad_input.wire import chat, head, send, wire
from tests.gateway import BODY, against

QUICK = "server: {header_timeout: 200ms, body_timeout: 200ms}"
LATE = (408, "request_timeout")
CHUNKED = "Transfer-Encoding: chunked"


async def asked(provider: SimulatedProvider, n: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(provider.requests) < n:
            await asyncio.sleep(0.005)


async def test_a_connection_that_says_nothing_is_ended() -> None:
    async with against(QUICK) as (gateway, _), wire(gateway.url) as line:
        assert await line.ended(within=2)
        assert gateway.records() == []


async def test_a_head_that_stops_is_a_408() -> None:
    async with against(QUICK) as (gateway, _):
        for sent in (b"P", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-a", head(JSON)[:-1]):
            answered = await send(gateway.url, sent, within=2)
            assert (answered.status, answered.error["code"], answered.closed) == (*LATE, True)
        assert gateway.records() == []


async def test_a_head_that_drips_has_no_more_time_than_one_that_stops() -> None:
    async with against(QUICK) as (gateway, _), wire(gateway.url) as line:
        answering = asyncio.create_task(line.hear())
        for byte in head(JSON, LENGTH)[:100]:
            if answering.done():
                break
            await line.say(bytes([byte]))
            await asyncio.sleep(0.02)
        assert (await answering).status == 408


async def test_the_second_head_of_a_connection_has_its_time_too() -> None:
    async with against(QUICK) as (gateway, _), wire(gateway.url) as line:
        await line.say(chat(GOOD))
        assert (await line.hear()).status == 200
        await line.say(b"POST /v1")
        async with asyncio.timeout(2):
            assert (await line.hear()).status == 408


async def test_a_body_that_stops_is_a_408_and_a_record() -> None:
    chunk = b"%x\r\n%b\r\n" % (10, GOOD[:10])
    async with against(QUICK) as (gateway, provider):
        for length, part in (
            (LENGTH, b""),
            (LENGTH, GOOD[:10]),
            (CHUNKED, b""),
            (CHUNKED, chunk),
            (CHUNKED, chunk[:5]),
        ):
            answered = await send(gateway.url, head(JSON, length) + part, within=2)
            assert (answered.status, answered.error["code"], answered.closed) == (*LATE, True)
        records = await gateway.settled(5)
        assert [(r.status, r.error, r.outcome) for r in records] == [(*LATE, "client_error")] * 5
        assert not provider.requests


async def test_a_body_that_keeps_coming_is_waited_for() -> None:
    body = msgspec.json.encode({**BODY, "padding": "x" * 8192})
    async with against(QUICK) as (gateway, _), wire(gateway.url) as line:
        await line.say(head(JSON, f"Content-Length: {len(body)}"))
        for start in range(0, len(body), 2048):
            await asyncio.sleep(0.1)
            await line.say(body[start : start + 2048])
        assert (await line.hear()).status == 200


async def test_a_large_body_is_refused_by_its_head_and_a_client_that_sends_it_all_still_hears_so() -> None:
    async with against() as (gateway, _), wire(gateway.url) as line:
        await line.say(head(JSON, f"Content-Length: {12 * MiB}"))
        refused = await line.hear()
        assert (refused.status, refused.error["code"]) == (413, "payload_too_large")
        await line.say(b"x" * 12 * MiB + chat(GOOD))
        assert (await line.hear()).status == 200


# --- gone -------------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_in_its_body_is_a_record_and_nothing_else() -> None:
    async with against() as (gateway, provider):
        async with wire(gateway.url) as line:
            await line.say(head(JSON, LENGTH), GOOD[:10])
            await asyncio.sleep(0.02)
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.status) == ("cancelled", 499)
        assert not provider.requests


async def test_a_client_that_leaves_after_a_large_body_in_pieces_is_noticed() -> None:
    body = msgspec.json.encode({**BODY, "padding": "x" * 300_000})
    async with against() as (gateway, provider):
        provider.script("a", Script(fault=Silence()))
        async with wire(gateway.url) as line:
            await line.say(head(JSON, f"Content-Length: {len(body)}"), body[:-80_000], body[-80_000:])
            await asked(provider)
        await provider.requests[0].over(within=1)
        (record,) = await gateway.settled(1)
        assert record.outcome == "cancelled"


async def test_a_client_that_closes_its_side_after_the_request_counts_as_gone() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault=Silence()))
        async with wire(gateway.url) as line:
            await line.say(chat(GOOD))
            await asked(provider)
            line.writer.write_eof()
            assert await line.ended()
        (record,) = await gateway.settled(1)
        assert record.outcome == "cancelled"


async def test_a_client_that_leaves_with_requests_waiting_cancels_the_one_that_is_served() -> None:
    async with against() as (gateway, provider):
        provider.script("a", Script(fault=Silence()))
        async with wire(gateway.url) as line:
            await line.say(chat(GOOD) + chat(GOOD))
            await asked(provider)
        await provider.requests[0].over(within=1)
        (record,) = await gateway.settled(1)
        assert record.outcome == "cancelled"
        assert len(provider.requests) == 1


# --- one connection, several requests ---------------------------------------------------------------------------


async def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    async with against() as (gateway, provider), wire(gateway.url) as line:
        provider.script("a", Script(text="first", pace=Pace(0.05, 0)))
        provider.script("b", Script(text="second"))
        bodies = [msgspec.json.encode({**BODY, "model": m}) for m in ("a", "b", "nobody", "a")]
        await line.say(b"".join(map(chat, bodies)))
        answers = [await line.hear() for _ in bodies]
        assert [a.headers.get("x-gateway-routed-model") for a in answers] == ["a", "b", None, "a"]
        assert [a.status for a in answers] == [200, 200, 404, 200]
        assert len(await gateway.settled(4)) == 4


async def test_what_follows_a_good_request_is_not_answered_in_its_place() -> None:
    async with against() as (gateway, provider), wire(gateway.url) as line:
        provider.script("a", Script(pace=Pace(0.05, 0)))
        await line.say(chat(GOOD) + b"SSH-2.0\r\n\r\n")
        answered = await line.hear()
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert await line.ended()


async def test_more_requests_than_may_wait_end_the_connection_after_the_answer_that_is_owed() -> None:
    async with against() as (gateway, provider), wire(gateway.url) as line:
        provider.script("a", Script(pace=Pace(0.05, 0)))
        await line.say(chat(GOOD) + head(method="GET", path="/healthz") * 100)
        assert (await line.hear()).status == 200
        assert await line.ended()


async def test_expect_is_told_to_continue_and_a_refusal_comes_before_the_body() -> None:
    async with against() as (gateway, _):
        async with wire(gateway.url) as line:
            await line.say(head(JSON, LENGTH, "Expect: 100-continue"))
            assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await line.say(GOOD)
            assert (await line.hear()).status == 200
        async with wire(gateway.url) as line:
            await line.say(head(JSON, f"Content-Length: {20 * MiB}", "Expect: 100-continue"))
            assert (await line.reader.readline())[9:12] == b"413"


async def test_http_1_0_is_answered_and_the_connection_ends() -> None:
    async with against() as (gateway, _), wire(gateway.url) as line:
        await line.say(head(JSON, LENGTH, host=None, version="1.0") + GOOD)
        answered = await line.hear()
        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert await line.ended()


async def test_the_health_is_told_to_head_without_a_body() -> None:
    async with against() as (gateway, _), wire(gateway.url) as line:
        for path in ("/healthz", "/readyz"):
            await line.say(head(method="HEAD", path=path) + head(method="GET", path=path))
            assert (await line.hear(method="HEAD")).status == 200
            assert (await line.hear()).body == b'{"status":"ok"}'


async def test_a_trailer_is_no_header() -> None:
    chunks = b"%x\r\n%b\r\n0\r\nx-gateway-tags: team=root\r\nauthorization: Bearer x\r\n\r\n" % (len(GOOD), GOOD)
    async with against() as (gateway, _):
        answered = await send(gateway.url, head(JSON, CHUNKED) + chunks)
        assert answered.status == 200
        (record,) = await gateway.settled(1)
        assert record.tags == {}
