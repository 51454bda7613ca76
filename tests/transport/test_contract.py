"""What both transports promise (gateway/upstream/transport.py), shown over real sockets on both event loops.

Read next: peer.py, the scripted provider; test_http1.py, what the default promises beyond this.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable

import pytest

from gateway.errors import ConnectFailed, Disconnected, ProtocolViolation, Timeout
from gateway.types import Endpoint, Timeouts, WireRequest
from gateway.upstream.http1 import Http1
from gateway.upstream.transport import Response, Take, Transport
from tests.transport.asking import PATIENT, ask, limits, pieces, stream
from tests.transport.conftest import Maker
from tests.transport.peer import Line, Peer, Says, echo, full_backlog, peer

Deviates = Callable[[str], None]
Serving = Callable[[str], ssl.SSLContext]


async def test_an_answer_has_status_headers_and_the_whole_body(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.answer((await line.request())[::-1], status="418 Teapot", headers=b"X-Request-Id:  r1 \r\n")
        await line.gone()

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint(), b"abc")
        body = await pieces(response)
    assert (response.status, body) == (418, b"cba")
    assert list(response.headers) == [(b"x-request-id", b"r1"), (b"content-length", b"3")]


async def test_the_request_arrives_whole_with_its_own_headers_beside_those_of_the_endpoint(
    transport: Transport,
) -> None:
    async with peer(echo) as provider:
        request = WireRequest(provider.endpoint(target="/v1/a?b=%20c"), b"x" * 300_000, ((b"x-mine", b"1"),))
        response = await transport.send(request, PATIENT)
        assert await pieces(response) == b"x" * 300_000
    first, *fields = provider.lines[0].heads[0].decode().lower().split("\r\n")
    assert first == "post /v1/a?b=%20c http/1.1"
    assert {
        f"host: 127.0.0.1:{provider.port}",
        "content-type: application/json",
        "authorization: bearer k",
        "accept-encoding: identity",
        "content-length: 300000",
        "x-mine: 1",
    } <= set(fields)


async def test_requests_one_after_the_other_share_a_connection(transport: Transport) -> None:
    async with peer(echo) as provider:
        for i in range(5):
            response = await ask(transport, provider.endpoint(), b"%d" % i)
            assert await pieces(response) == b"%d" % i
            response.close()
        assert len(provider.lines) == 1


async def test_a_chunked_stream_is_handed_out_as_it_comes(transport: Transport) -> None:
    taken = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"two", b"six"):
            await line.say(b"3\r\n%b\r\n" % word)
            await taken.wait()
            taken.clear()
        await line.say(b"0\r\n\r\n")
        await echo(line)

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        words = []
        async for piece in stream(response):
            words.append(piece)
            taken.set()
        assert words == [b"one", b"two", b"six"]
        assert await pieces(await ask(transport, provider.endpoint(), b"again")) == b"again"
        assert len(provider.lines) == 1


async def test_a_stream_that_ends_in_the_middle_is_disconnected_after_what_came(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\none\r\n")

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        assert await response.next(5.0) == b"one"
        with pytest.raises(Disconnected):
            await response.next(5.0)
        response.close()


async def test_nothing_listening_is_connect_failed(transport: Transport) -> None:
    async with peer(echo) as provider:
        endpoint = provider.endpoint()
    with pytest.raises(ConnectFailed, match=f"^{endpoint.origin}: not connected: connection refused$"):
        await ask(transport, endpoint)


async def test_no_head_in_time_is_a_timeout_of_the_first_byte(transport: Transport) -> None:
    async with peer(Line.gone) as provider:
        with pytest.raises(Timeout) as caught:
            await ask(transport, provider.endpoint(), timeouts=Timeouts(first_byte=0.05))
        assert caught.value.phase == "first_byte"
        await provider.until(lambda: len(provider.closed) == 1)


# --- bodies -----------------------------------------------------------------------------------------------------


async def test_a_body_that_the_end_of_the_connection_ends_is_whole(transport: Transport) -> None:
    async with peer(Says(b"HTTP/1.1 200 OK\r\n\r\nto the", b" end", stay=False)) as provider:
        assert await pieces(await ask(transport, provider.endpoint())) == b"to the end"
        assert await pieces(await ask(transport, provider.endpoint())) == b"to the end"
        assert len(provider.lines) == 2


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_statuses_without_a_body_end_with_their_head(transport: Transport, status: bytes) -> None:
    async with peer(Says(b"HTTP/1.1 %b\r\nx: y\r\n\r\n" % status)) as provider:
        response = await ask(transport, provider.endpoint())
        assert (response.status, await pieces(response)) == (int(status[:3]), b"")


async def test_a_redirect_is_an_answer_like_any_other(transport: Transport) -> None:
    async with peer(Says(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")) as provider:
        response = await ask(transport, provider.endpoint())
        assert (response.status, await pieces(response)) == (302, b"")
        assert len(provider.lines) == 1


async def test_interim_answers_are_passed_over(transport: Transport) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with peer(Says(interim, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")) as provider:
        response = await ask(transport, provider.endpoint())
        assert (response.status, list(response.headers)) == (200, [(b"content-length", b"2")])
        assert await pieces(response) == b"ok"


SMALL = {
    "length": b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 5\r\n\r\nhello",
    "chunked": b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nt: u\r\n\r\n",
}


@pytest.mark.parametrize("framing", SMALL)
async def test_it_does_not_matter_where_an_answer_is_split(transport: Transport, framing: str) -> None:
    raw = SMALL[framing]
    splits = [(raw[:i], raw[i:]) for i in range(1, len(raw))] + [tuple(bytes([byte]) for byte in raw)]
    left = iter(splits)

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.say(*next(left))

    async with peer(script) as provider:
        endpoint = provider.endpoint()
        for _ in splits:
            response = await ask(transport, endpoint)
            assert (b"a", b"b") in response.headers
            assert (b"t", b"u") not in response.headers
            assert await pieces(response) == b"hello"
        assert len(provider.lines) == 1


# --- one connection, one answer ---------------------------------------------------------------------------------


async def answer_in_some_way(line: Line, dice: random.Random) -> None:
    body = await line.request()
    if dice.random() < 0.5:
        cut = dice.randrange(len(body))
        await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body[:cut], body[cut:])
        return
    await line.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while body:
        size = dice.randrange(1, len(body) + 1)
        await line.say(b"%x\r\n%b\r\n" % (size, body[:size]))
        body = body[size:]
    await line.say(b"0\r\n\r\n")


async def take_in_some_way(transport: Transport, endpoint: Endpoint, body: bytes, dice: random.Random) -> None:
    response = await ask(transport, endpoint, body)
    for _ in range(dice.choice((0, 0, 1, 20))):
        await asyncio.sleep(0)
    way = dice.random()
    if way < 0.8:
        assert await pieces(response) == body
    elif way < 0.9:
        assert body.startswith(await response.next(5.0))
    response.close()


async def test_sixty_four_at_once_never_get_the_answer_of_another(transport: Transport) -> None:
    each = 50 if isinstance(transport, Http1) else 12

    async def script(line: Line) -> None:
        dice = random.Random(len(line.heads))
        while True:
            await answer_in_some_way(line, dice)

    async def worker(n: int, endpoint: Endpoint) -> None:
        dice = random.Random(n)
        for i in range(each):
            mark = b"%d/%d;" % (n, i)
            await take_in_some_way(transport, endpoint, mark * dice.choice((1, 5, 200, 6000)), dice)

    async with peer(script) as provider:
        endpoint = provider.endpoint()
        await asyncio.gather(*(worker(n, endpoint) for n in range(64)))
        assert sum(len(line.heads) for line in provider.lines) == 64 * each
        assert 64 <= len(provider.lines) < 64 * each / 2


async def test_a_connection_is_used_again_only_when_the_body_was_taken(transport: Transport) -> None:
    async with peer(echo) as provider:
        first = await ask(transport, provider.endpoint(), b"first")
        second = await ask(transport, provider.endpoint(), b"second")
        assert len(provider.lines) == 2
        assert (await pieces(first), await pieces(second)) == (b"first", b"second")
        third = await ask(transport, provider.endpoint(), b"third")
        assert len(provider.lines) == 2
        third.close()
        third.close()
        await provider.until(lambda: len(provider.closed) == 1)


async def test_an_answer_that_was_closed_early_is_never_whole(transport: Transport) -> None:
    async with peer(echo) as provider:
        response = await ask(transport, provider.endpoint(), b"body")
        response.close()
        with pytest.raises(Disconnected):
            await pieces(response)
        with pytest.raises(Disconnected):
            await response.next(5.0)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n", b"HTTP/1.0 200 OK\r\n"], ids=["close", "1.0"]
)
async def test_a_connection_that_the_peer_will_close_is_not_used_again(transport: Transport, head: bytes) -> None:
    async with peer(Says(head + b"content-length: 2\r\n\r\nok")) as provider:
        for n in (1, 2):
            assert await pieces(await ask(transport, provider.endpoint())) == b"ok"
            await provider.until(lambda n=n: len(provider.closed) == n)  # type: ignore[misc]
        assert len(provider.lines) == 2


async def test_a_half_closed_connection_gives_its_answer_and_is_not_used_again(transport: Transport) -> None:
    async def script(line: Line) -> None:
        body = await line.request()
        line.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        line.writer.write_eof()
        await line.gone()

    async with peer(script) as provider:
        for n in (1, 2):
            assert await pieces(await ask(transport, provider.endpoint(), b"%d" % n)) == b"%d" % n
        assert len(provider.lines) == 2


async def test_bytes_beyond_the_end_of_an_answer_end_the_connection(transport: Transport, deviates: Deviates) -> None:
    deviates("Bytes that a provider sends beyond the end of an answer, in one segment with it")
    forged = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"

    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + (forged if not len(line.heads) > 1 else b""))
        await echo(line)

    async with peer(script) as provider:
        assert await pieces(await ask(transport, provider.endpoint())) == b"ok"
        assert await pieces(await ask(transport, provider.endpoint())) == b"ok"
        assert len(provider.lines) == 2


async def test_bytes_on_an_idle_connection_are_nobodys_answer(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.answer(await line.request())
        await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
        await line.gone()

    async with peer(script) as provider:
        for n in range(3):
            assert await pieces(await ask(transport, provider.endpoint(), b"%d" % n)) == b"%d" % n
            await asyncio.sleep(0.01)
        assert len(provider.lines) == 3


async def test_idle_connections_that_the_peer_closed_are_not_used(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.answer(await line.request())

    async with peer(script) as provider:
        for n in range(3):
            assert await pieces(await ask(transport, provider.endpoint(), b"%d" % n)) == b"%d" % n
            await provider.until(lambda n=n: len(provider.closed) == n + 1)  # type: ignore[misc]
        assert len(provider.lines) == 3


# --- how many connections ---------------------------------------------------------------------------------------


async def test_no_more_connections_than_the_cap_and_nobody_is_forgotten(transport: Transport) -> None:
    async with peer(echo) as provider:
        endpoint = provider.endpoint(cap=3)

        async def one(n: int) -> bytes:
            return await pieces(await ask(transport, endpoint, b"%d" % n))

        assert await asyncio.gather(*map(one, range(40))) == [b"%d" % n for n in range(40)]
        assert len(provider.lines) == 3


async def test_waiting_for_a_connection_is_bounded_by_the_time_to_connect(transport: Transport) -> None:
    async with peer(echo) as provider:
        endpoint = provider.endpoint(cap=1)
        holder = await ask(transport, endpoint)
        with pytest.raises(Timeout) as caught:
            await ask(transport, endpoint, timeouts=Timeouts(connect=0.05))
        assert caught.value.phase == "connect"
        waiting = asyncio.create_task(ask(transport, endpoint, b"patient"))
        await asyncio.sleep(0.01)
        assert await pieces(holder) == b"{}"
        assert await pieces(await waiting) == b"patient"
        assert len(provider.lines) == 1


async def test_who_leaves_the_queue_takes_no_place_with_him(transport: Transport) -> None:
    async with peer(echo) as provider:
        endpoint = provider.endpoint(cap=1)
        holder = await ask(transport, endpoint)
        first, second = (asyncio.create_task(ask(transport, endpoint, word)) for word in (b"first", b"second"))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0)
        holder.close()
        assert await pieces(await second) == b"second"
        assert first.cancelled()


# --- what can go wrong ------------------------------------------------------------------------------------------


async def test_a_name_that_does_not_exist_is_connect_failed(transport: Transport) -> None:
    async with peer(echo) as provider:
        with pytest.raises(ConnectFailed, match=r"http://nowhere\.invalid:\d+: its name was not found"):
            await ask(transport, provider.endpoint(host="nowhere.invalid"))


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_hanging_up_without_an_answer_is_connect_failed(transport: Transport, how: str) -> None:
    async def script(line: Line) -> None:
        await line.request()
        if how == "reset":
            line.reset()

    async with peer(script) as provider:
        with pytest.raises(ConnectFailed, match=provider.endpoint().origin):
            await ask(transport, provider.endpoint())


async def test_a_used_connection_that_dies_before_it_answers_is_connect_failed(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.answer(await line.request())
        await line.request()

    async with peer(script) as provider:
        assert await pieces(await ask(transport, provider.endpoint())) == b"{}"
        with pytest.raises(ConnectFailed):
            await ask(transport, provider.endpoint())
        assert len(provider.lines) == 1


async def test_the_end_within_a_head_is_disconnected(transport: Transport, deviates: Deviates) -> None:
    deviates("A connection that ends within the head of an answer is ConnectFailed")
    async with peer(Says(b"HTTP/1.1 200 OK\r\ncontent-le", stay=False)) as provider:
        with pytest.raises(Disconnected):
            await ask(transport, provider.endpoint())


@pytest.mark.parametrize("framing", [b"content-length: 9", b"transfer-encoding: chunked"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_the_end_within_a_body_is_disconnected(transport: Transport, framing: bytes, how: str) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n3\r\nabc\r\n" % framing)
        if how == "reset":
            line.reset()

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        with pytest.raises(Disconnected):
            await pieces(response)
        response.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    ],
    ids=["ssh", "status", "colon", "negative", "two lengths", "tls"],
)
async def test_what_is_not_http_is_a_protocol_violation(transport: Transport, garbage: bytes) -> None:
    async with peer(Says(garbage)) as provider:
        with pytest.raises(ProtocolViolation):
            await ask(transport, provider.endpoint())
        await provider.until(lambda: len(provider.closed) == 1)


async def test_a_broken_chunk_is_a_protocol_violation(transport: Transport) -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
    async with peer(Says(raw, b"zz\r\nnot a size\r\n")) as provider:
        response = await ask(transport, provider.endpoint())
        with pytest.raises(ProtocolViolation):
            await pieces(response)
        await provider.until(lambda: len(provider.closed) == 1)


async def test_an_encoded_body_is_refused_by_name(transport: Transport) -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b"
    async with peer(Says(raw)) as provider:
        with pytest.raises(ProtocolViolation, match="gzip"):
            await ask(transport, provider.endpoint())
        await provider.until(lambda: len(provider.closed) == 1)


async def test_switching_protocols_is_a_protocol_violation(transport: Transport) -> None:
    raw = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    async with peer(Says(raw)) as provider:
        with pytest.raises(ProtocolViolation):
            await ask(transport, provider.endpoint())


@pytest.mark.parametrize(
    "fields",
    [
        b"x: %b\r\n" % (b"v" * 17_000),
        b"x: %b\r\n" % (b"v" * 15_000) * 5,
        b"x: y\r\n" * 300,
        b"x: %b" % (b"v" * 200_000),
    ],
    ids=["line", "head", "count", "endless"],
)
async def test_a_head_over_the_limits_is_a_protocol_violation(transport: Transport, fields: bytes) -> None:
    async with peer(Says(b"HTTP/1.1 200 OK\r\n", fields, b"\r\n\r\n")) as provider:
        with pytest.raises(ProtocolViolation):
            await ask(transport, provider.endpoint())
        await provider.until(lambda: len(provider.closed) == 1)


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
async def test_a_body_over_the_limit_is_a_protocol_violation(make: Maker, framing: str) -> None:
    raw = {
        "length": b"content-length: 1001\r\n\r\n" + bytes(1001),
        "chunked": b"transfer-encoding: chunked\r\n\r\n" + b"64\r\n%b\r\n" % bytes(100) * 11 + b"0\r\n\r\n",
        "eof": b"\r\n" + bytes(1001),
    }[framing]
    transport = make(limits=limits(body=1000))
    async with peer(Says(b"HTTP/1.1 200 OK\r\n" + raw)) as provider:
        with pytest.raises(ProtocolViolation, match="1000 B"):
            await pieces(await ask(transport, provider.endpoint()))
        await provider.until(lambda: len(provider.closed) == 1)


async def test_a_body_of_just_the_limit_is_whole(make: Maker) -> None:
    transport = make(limits=limits(body=1000))
    async with peer(echo) as provider:
        assert await pieces(await ask(transport, provider.endpoint(), bytes(1000))) == bytes(1000)


@pytest.mark.parametrize("field", [(b"x", b"a\r\nevil: b"), (b"x\n", b"a"), (b"x", b"a\0"), (b"x", b"\x1b[2J")])
async def test_a_header_that_would_begin_another_is_never_sent(
    transport: Transport, field: tuple[bytes, bytes]
) -> None:
    async with peer(echo) as provider:
        with pytest.raises(ValueError, match="cannot be sent"):
            await transport.send(WireRequest(provider.endpoint(), b"", (field,)), PATIENT)
        assert provider.lines == []


# --- time -------------------------------------------------------------------------------------------------------


async def test_not_connected_in_time_is_a_timeout_of_connecting(transport: Transport) -> None:
    with full_backlog() as (host, port), pytest.raises(Timeout) as caught:
        await ask(transport, Endpoint("http", host, port, "POST", "/"), timeouts=Timeouts(connect=0.05))
    assert caught.value.phase == "connect"


async def test_a_head_in_drips_does_not_stretch_the_time_for_it(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\n")
        while True:
            await line.say(b"x: y\r\n")
            await asyncio.sleep(0.02)

    async with peer(script) as provider:
        with pytest.raises(Timeout) as caught:
            await ask(transport, provider.endpoint(), timeouts=Timeouts(first_byte=0.1))
        assert caught.value.phase == "first_byte"


async def test_a_body_that_stops_is_a_timeout_of_stalling(transport: Transport) -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"
    async with peer(Says(raw)) as provider:
        response = await ask(transport, provider.endpoint())
        assert await response.next(5.0) == b"abc"
        with pytest.raises(Timeout) as caught:
            await response.next(0.05)
        assert caught.value.phase == "stall"
        await provider.until(lambda: len(provider.closed) == 1)


async def test_a_slow_body_that_never_stalls_is_read(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.06)
            await line.say(b"x")
        await line.gone()

    async with peer(script) as provider:
        assert await pieces(await ask(transport, provider.endpoint()), 0.4) == b"x" * 8


async def test_a_stream_flows_to_whoever_takes_it_until_he_has_had_enough(transport: Transport) -> None:
    taken = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"two", b"six", b"ten"):
            await line.say(b"3\r\n%b\r\n" % word)
            await taken.wait()
            taken.clear()
        await line.say(b"0\r\n\r\n")
        await line.gone()

    words: list[bytes] = []

    def take(data: bytes) -> bool:
        words.append(data)
        taken.set()
        return data != b"six"

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        await response.flow(take, 5.0, 60.0)
        assert words == [b"one", b"two", b"six"]
        assert await response.next(5.0) == b"ten"
        taken.set()
        await response.flow(take, 5.0, 60.0)
        assert (words, await response.next(5.0)) == ([b"one", b"two", b"six"], b"")


def into(words: list[bytes]) -> Take:
    def take(data: bytes) -> bool:
        words.append(data)
        return True

    return take


async def flow_to_the_end(response: Response, words: list[bytes], stall_s: float) -> None:
    """What there is to say of the end may be said at once, or when it is asked for."""
    await response.flow(into(words), stall_s, 60.0)
    await response.next(stall_s)


async def test_what_breaks_off_while_it_flows_is_told_after_all_that_came(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\none\r\n")

    words: list[bytes] = []
    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        with pytest.raises(Disconnected):
            await flow_to_the_end(response, words, 5.0)
        assert words == [b"one"]


async def test_silence_in_a_stream_that_flows_is_a_timeout_of_stalling(transport: Transport) -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"
    words: list[bytes] = []
    async with peer(Says(raw)) as provider:
        response = await ask(transport, provider.endpoint())
        with pytest.raises(Timeout) as caught:
            await flow_to_the_end(response, words, 0.05)
        assert (caught.value.phase, words) == ("stall", [b"abc"])


async def test_a_slow_stream_flows_as_long_as_it_may_in_all(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: 800\r\n\r\n")
        for _ in range(100):
            await asyncio.sleep(0.02)
            await line.say(b"x")

    words: list[bytes] = []
    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        await asyncio.wait_for(response.flow(into(words), 0.3, 0.6), 5.0)
        assert 1 < len(words) < 60
        assert await response.next(5.0)
        response.close()


async def test_a_defect_of_whoever_takes_is_raised_to_whoever_waits(transport: Transport) -> None:
    def take(data: bytes) -> bool:
        raise LookupError("mine")

    async with peer(Says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")) as provider:
        response = await ask(transport, provider.endpoint())
        with pytest.raises(LookupError):
            await response.flow(take, 5.0, 60.0)
        response.close()


# --- leaving ----------------------------------------------------------------------------------------------------


async def leave(task: asyncio.Task[object], provider: Peer) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await provider.until(lambda: len(provider.closed) == 1, within=1.0)


async def test_leaving_while_tls_is_agreed_on_closes_the_connection(make: Maker) -> None:
    async with peer(Line.gone) as provider:
        provider.scheme = "https"
        task = asyncio.create_task(ask(make(), provider.endpoint()))
        await provider.until(lambda: len(provider.lines) == 1)
        await leave(task, provider)


async def test_leaving_before_the_head_closes_the_connection(transport: Transport) -> None:
    async with peer(Says()) as provider:
        task = asyncio.create_task(ask(transport, provider.endpoint()))
        await provider.until(lambda: bool(provider.lines and provider.lines[0].heads))
        await leave(task, provider)


async def test_leaving_within_the_body_closes_the_connection(transport: Transport) -> None:
    async with peer(Says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")) as provider:
        response = await ask(transport, provider.endpoint())
        task = asyncio.create_task(pieces(response))
        await asyncio.sleep(0.01)
        await leave(task, provider)
        response.close()


async def test_leaving_at_any_moment_takes_no_place_with_it(transport: Transport) -> None:
    async with peer(echo) as provider:
        endpoint = provider.endpoint(cap=1)
        for ticks in range(40):
            task = asyncio.create_task(ask(transport, endpoint))
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result().close()
            if ticks % 2:
                assert await pieces(await ask(transport, endpoint, b"next")) == b"next"
        await provider.until(lambda: len(provider.lines) - len(provider.closed) <= 1)


async def test_closing_in_the_middle_of_a_stream_tells_the_provider(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await line.say(b"1\r\nx\r\n")

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        assert await response.next(5.0)
        response.close()
        await provider.until(lambda: len(provider.closed) == 1, within=1.0)


async def test_closing_the_transport_closes_every_connection(transport: Transport) -> None:
    async with peer(echo) as provider:
        idle, busy = [await ask(transport, provider.endpoint(), b"%d" % n) for n in range(2)]
        await pieces(idle)
        await transport.aclose()
        await provider.until(lambda: len(provider.closed) == 2)
        busy.close()


# --- slow readers -----------------------------------------------------------------------------------------------


async def test_a_slow_reader_stops_the_sender(transport: Transport) -> None:
    piece, count, written = bytes(65536), 800, 0

    async def script(line: Line) -> None:
        nonlocal written
        await line.request()
        line.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(piece) * count))
        for _ in range(count):
            line.writer.write(piece)
            await line.writer.drain()
            written += len(piece)
        await line.gone()

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.1)
        assert written < len(piece) * count / 2
        assert sum([len(piece) async for piece in stream(response)]) == len(piece) * count


# --- TLS and addresses ------------------------------------------------------------------------------------------


async def test_https_carries_json_and_streams_on_one_connection(
    make: Maker, trusting: ssl.SSLContext, serving: Serving
) -> None:
    transport = make(tls=trusting)
    async with peer(echo, tls=serving("localhost")) as provider:
        endpoint = provider.endpoint(host="localhost")
        assert await pieces(await ask(transport, endpoint, bytes(500_000))) == bytes(500_000)
        assert await pieces(await ask(transport, endpoint, bytes(500_000))) == bytes(500_000)
        assert len(provider.lines) == 1


async def test_a_certificate_for_another_host_is_connect_failed(
    make: Maker, trusting: ssl.SSLContext, serving: Serving
) -> None:
    async with peer(echo, tls=serving("other.example")) as provider:
        with pytest.raises(ConnectFailed, match="its certificate was refused: Hostname mismatch"):
            await ask(make(tls=trusting), provider.endpoint(host="localhost"))


async def test_a_certificate_of_an_unknown_authority_is_connect_failed(make: Maker, serving: Serving) -> None:
    async with peer(echo, tls=serving("localhost")) as provider:
        with pytest.raises(ConnectFailed, match="its certificate was refused"):
            await ask(make(), provider.endpoint(host="localhost"))


async def test_tls_where_there_is_none_is_connect_failed(make: Maker) -> None:
    async def script(line: Line) -> None:
        await line.reader.read(100)
        await line.say(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    async with peer(script) as provider:
        provider.scheme = "https"
        with pytest.raises(ConnectFailed, match="TLS failed"):
            await ask(make(), provider.endpoint())


async def test_a_tls_stream_cut_without_a_word_is_not_taken_for_its_end(
    make: Maker, trusting: ssl.SSLContext, serving: Serving, deviates: Deviates
) -> None:
    deviates("An answer that only the end of the connection ends counts as complete over TLS too")

    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\n\r\nhalf of")
        line.writer.transport.abort()

    async with peer(script, tls=serving("localhost")) as provider:
        response = await ask(make(tls=trusting), provider.endpoint(host="localhost"))
        with pytest.raises(Disconnected):
            await pieces(response)


async def test_leaving_a_tls_connection_closes_it(make: Maker, trusting: ssl.SSLContext, serving: Serving) -> None:
    async with peer(Says(), tls=serving("localhost")) as provider:
        task = asyncio.create_task(ask(make(tls=trusting), provider.endpoint(host="localhost")))
        await provider.until(lambda: bool(provider.lines and provider.lines[0].heads))
        await leave(task, provider)


async def test_an_ipv6_address_is_reached_and_named_in_brackets(transport: Transport) -> None:
    try:
        async with peer(echo, host="::1") as provider:
            assert await pieces(await ask(transport, provider.endpoint(), b"six")) == b"six"
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    assert b"\r\nhost: [::1]:%d\r\n" % provider.port in provider.lines[0].heads[0].lower()
