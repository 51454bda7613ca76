"""What both transports promise (gateway/upstream/transport.py), shown over real sockets.

Read next: peer.py, the scripted provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.errors import ConnectFailed, Disconnected, ProtocolViolation, Timeout
from gateway.types import Endpoint, Timeouts, WireRequest
from gateway.upstream.http1 import Http1
from gateway.upstream.transport import Response, Transport
from tests.transport.peer import Line, echo, peer

QUICK = Timeouts(connect=2.0, first_byte=2.0, stall=2.0)


@pytest_asyncio.fixture(params=["http1"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made: Transport = Http1()
    yield made
    await made.aclose()


async def ask(transport: Transport, endpoint: Endpoint, body: bytes = b"{}", timeouts: Timeouts = QUICK) -> Response:
    return await transport.send(WireRequest(endpoint, body), timeouts)


async def pieces(response: Response) -> bytes:
    taken = [piece async for piece in stream(response)]
    assert all(taken)
    return b"".join(taken)


async def stream(response: Response) -> AsyncIterator[bytes]:
    while piece := await response.next(2.0):
        yield piece


async def test_an_answer_has_status_headers_and_the_whole_body(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.answer((await line.request())[::-1], status="418 Teapot", headers=b"X-Request-Id:  r1 \r\n")
        await line.gone()

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint(), b"abc")
        body = await response.read(2.0)
    assert (response.status, body) == (418, b"cba")
    assert list(response.headers) == [(b"x-request-id", b"r1"), (b"content-length", b"3")]


async def test_the_request_arrives_whole_with_its_own_headers_beside_those_of_the_endpoint(
    transport: Transport,
) -> None:
    async with peer(echo) as provider:
        request = WireRequest(provider.endpoint(target="/v1/a?b=%20c"), b"x" * 300_000, ((b"x-mine", b"1"),))
        response = await transport.send(request, QUICK)
        assert await response.read(2.0) == b"x" * 300_000
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
            assert await (response.read(2.0) if i % 2 else pieces(response)) == b"%d" % i
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
        assert await (await ask(transport, provider.endpoint(), b"again")).read(2.0) == b"again"
        assert len(provider.lines) == 1


async def test_a_stream_that_ends_in_the_middle_is_disconnected_after_what_came(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\none\r\n")

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint())
        assert await response.next(2.0) == b"one"
        with pytest.raises(Disconnected):
            await response.next(2.0)
        response.close()


async def test_nothing_listening_is_connect_failed(transport: Transport) -> None:
    async with peer(echo) as provider:
        endpoint = provider.endpoint()
    with pytest.raises(ConnectFailed, match=endpoint.origin):
        await ask(transport, endpoint)


async def test_no_head_in_time_is_a_timeout_of_the_first_byte(transport: Transport) -> None:
    async with peer(Line.gone) as provider:
        with pytest.raises(Timeout) as caught:
            await ask(transport, provider.endpoint(), timeouts=Timeouts(first_byte=0.05))
        assert caught.value.phase == "first_byte"
        await provider.until(lambda: len(provider.closed) == 1)


async def test_garbage_instead_of_http_is_a_protocol_violation(transport: Transport) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.say(b"220 mail.example ESMTP ready\r\n")
        await line.gone()

    async with peer(script) as provider:
        with pytest.raises(ProtocolViolation, match=provider.endpoint().origin):
            await ask(transport, provider.endpoint())
