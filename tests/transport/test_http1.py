"""What the default transport promises beyond the contract: mostly what httpx2 does not let us see.

Read next: test_contract.py.
"""

from __future__ import annotations

import asyncio
import gc
import re
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from gateway.errors import ConnectFailed, ProtocolViolation
from gateway.types import Endpoint, Timeouts
from gateway.upstream import http1
from gateway.upstream.answer import HIGH_WATER, Answer
from gateway.upstream.http1 import Http1
from tests.transport.asking import PATIENT, ask, pieces
from tests.transport.peer import Line, Says, echo, peer


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[Http1]:
    made = Http1()
    yield made
    await made.aclose()


async def test_a_small_request_goes_out_in_one_piece(transport: Http1) -> None:
    async def script(line: Line) -> None:
        line.heads.append(await line.reader.read(65536))
        await line.answer(b"ok")

    async with peer(script) as provider:
        assert await pieces(await ask(transport, provider.endpoint(target="/a"), b"body")) == b"ok"
    assert provider.lines[0].heads == [
        b"POST /a HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\nauthorization: Bearer k\r\n"
        b"accept-encoding: identity\r\ncontent-length: 4\r\n\r\nbody" % provider.port
    ]


async def test_an_answer_that_is_all_there_is_read_without_a_pause(transport: Http1) -> None:
    async with peer(echo) as provider:
        reading = pieces(await ask(transport, provider.endpoint(), b"all"))
        with pytest.raises(StopIteration) as ended:
            reading.send(None)
    assert ended.value.value == b"all"


async def test_garbage_is_recognised_at_once(transport: Http1) -> None:
    async with peer(Says(b"220 mail.example ESMTP")) as provider:
        with pytest.raises(ProtocolViolation, match=f"^http://127.0.0.1:{provider.port}: what came is not HTTP/1.1"):
            await ask(transport, provider.endpoint())


async def test_an_answer_before_the_request_was_taken_in_is_seen_and_ends_the_connection(transport: Http1) -> None:
    async def script(line: Line) -> None:
        await line.reader.read(10)
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await line.answer(b"too large", status="413 Too Large")
        await asyncio.sleep(0.02)
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await line.gone()

    async with peer(script) as provider:
        response = await ask(transport, provider.endpoint(), bytes(20_000_000))
        assert (response.status, await pieces(response)) == (413, b"too large")
        await provider.until(lambda: len(provider.closed) == 1)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"HTTP/1.1 200 ", b"fine "),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x=y;"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"yyyy"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
    ],
    ids=["interim", "headers", "reason", "extension", "trailer", "trailers"],
)
async def test_what_never_comes_to_an_end_is_a_protocol_violation(transport: Http1, start: bytes, more: bytes) -> None:
    async with peer(Says(start, *[more * 100] * 700)) as provider:
        with pytest.raises(ProtocolViolation, match=r"limit of|more than 256 headers"):
            await pieces(await ask(transport, provider.endpoint()))
        await provider.until(lambda: len(provider.closed) == 1)


async def test_a_line_that_is_too_long_is_refused_before_it_ends(transport: Http1) -> None:
    async with peer(Says(b"HTTP/1.1 200 OK\r\nx: ", b"v" * 9000, b"v" * 9000)) as provider:
        with pytest.raises(ProtocolViolation, match="line in the head of the answer is over the limit of 16384 B"):
            await ask(transport, provider.endpoint())


async def test_what_an_interim_head_says_of_its_body_is_not_said_of_the_answer(transport: Http1) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\n"
    async with peer(Says(interim, b"HTTP/1.1 200 OK\r\n\r\nto the end", stay=False)) as provider:
        assert await pieces(await ask(transport, provider.endpoint())) == b"to the end"


async def test_bytes_that_come_before_a_whole_answer_was_taken_end_the_connection(transport: Http1) -> None:
    async def script(line: Line) -> None:
        await line.answer(await line.request())
        await line.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")
        await line.gone()

    async with peer(script) as provider:
        for n in range(2):
            response = await ask(transport, provider.endpoint(), b"%d" % n)
            await asyncio.sleep(0.01)
            assert await pieces(response) == b"%d" % n
        assert len(provider.lines) == 2


@pytest.mark.parametrize("given", ["a connection", "a place"])
async def test_who_leaves_just_when_it_is_his_turn_passes_it_on(transport: Http1, given: str) -> None:
    async with peer(echo) as provider:
        endpoint = provider.endpoint(cap=1)
        holder = await ask(transport, endpoint)
        first, second = (asyncio.create_task(ask(transport, endpoint, word)) for word in (b"first", b"second"))
        await asyncio.sleep(0.01)
        if given == "a connection":
            await pieces(holder)
        else:
            holder.close()
        first.cancel()
        assert await pieces(await second) == b"second"
        assert await pieces(await ask(transport, endpoint, b"third")) == b"third"
        assert first.cancelled()
        assert len(provider.lines) == (1 if given == "a connection" else 2)


async def test_a_trailer_is_not_a_header_of_this_answer_nor_of_the_next(transport: Http1) -> None:
    first = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-evil: 1\r\n\r\n"

    async def script(line: Line) -> None:
        await line.request()
        await line.say(first)
        await echo(line)

    async with peer(script) as provider:
        for body, header in ((b"a", (b"transfer-encoding", b"chunked")), (b"b", (b"content-length", b"1"))):
            response = await ask(transport, provider.endpoint(), b"b")
            assert (await pieces(response), response.headers) == (body, [header])
        assert len(provider.lines) == 1


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip", b"identity"])
async def test_a_transfer_coding_other_than_chunked_is_refused(transport: Http1, coding: bytes) -> None:
    async with peer(Says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: %b\r\n\r\n0\r\n\r\n" % coding)) as provider:
        with pytest.raises(ProtocolViolation):
            await ask(transport, provider.endpoint())


async def test_the_connection_used_last_is_used_next(transport: Http1) -> None:
    async with peer(echo) as provider:
        answers = [await ask(transport, provider.endpoint(), b"%d" % n) for n in range(3)]
        for answer in answers:
            await pieces(answer)
        for _ in range(5):
            await pieces(await ask(transport, provider.endpoint()))
        assert [len(line.heads) for line in provider.lines] == [1, 1, 6]


async def test_an_idle_connection_is_closed_by_the_clock() -> None:
    transport = Http1(idle_s=0.05)
    async with peer(echo) as provider:
        old, new = [await ask(transport, provider.endpoint()) for _ in range(2)]
        await pieces(old)
        await asyncio.sleep(0.03)
        await pieces(new)
        await provider.until(lambda: len(provider.closed) == 2)
        assert provider.closed == provider.lines
        assert repr(transport) == f"<Http1: <Pool of {provider.endpoint().origin}: 0 open, 0 idle, 0 waiting>>"
    await transport.aclose()


async def test_what_is_unread_stays_near_the_high_water_mark(transport: Http1) -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n" + bytes(30_000_000)
    async with peer(Says(raw)) as provider:
        response = await ask(transport, provider.endpoint())
        await asyncio.sleep(0.05)
        unread = int(re.findall(r"(\d+) B unread", repr(response))[0])
        assert HIGH_WATER < unread <= 2 * HIGH_WATER + 65536
        assert await pieces(response) == bytes(30_000_000)


async def test_a_body_in_tiny_chunks_takes_little_more_memory_than_its_bytes(transport: Http1) -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"2\r\nxy\r\n" * 200_000
    async with peer(Says(raw, b"0\r\n\r\n")) as provider:
        response = await ask(transport, provider.endpoint())
        tracemalloc.start()
        try:
            assert await pieces(response) == b"xy" * 200_000
            assert tracemalloc.get_traced_memory()[1] < 12_000_000
        finally:
            tracemalloc.stop()


async def test_an_answer_leaves_nothing_for_the_cycle_collector(transport: Http1) -> None:
    async with peer(echo) as provider:
        endpoint = provider.endpoint()
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                response = await ask(transport, endpoint)
                await pieces(response)
                response.close()
            del response
            assert [o for o in gc.get_objects() if isinstance(o, Answer)] == []
        finally:
            gc.enable()


async def test_heads_are_kept_for_as_many_endpoints_as_there_is_room(
    transport: Http1, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, "KEPT_HEADS", 2)
    async with peer(echo) as provider:
        endpoints = [provider.endpoint(target=f"/{n}") for n in range(4)]
        for endpoint in endpoints * 2:
            await pieces(await ask(transport, endpoint))
        targets = [head.split()[1] for head in provider.lines[0].heads]
    assert targets == [b"/0", b"/1", b"/2", b"/3"] * 2
    assert list(transport._prepared) == endpoints[2:]


@pytest.mark.parametrize("target", ["v1/chat", "/a b", "/a\r\nx: y", "/ä"])
async def test_a_target_that_cannot_be_sent_is_refused(transport: Http1, target: str) -> None:
    with pytest.raises(ValueError, match="is not a path that can be sent"):
        await ask(transport, Endpoint("http", "localhost", 1, "POST", target))


async def test_closing_lets_nobody_wait(transport: Http1) -> None:
    async with peer(Says()) as provider:
        endpoint = provider.endpoint(cap=1)
        asking = [asyncio.create_task(ask(transport, endpoint)) for _ in range(3)]
        await provider.until(lambda: bool(provider.lines and provider.lines[0].heads))
        await transport.aclose()
        ends = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(end) for end in ends] == [ConnectFailed] * 3
        await provider.until(lambda: len(provider.closed) == 1)


async def test_a_connection_being_opened_when_the_transport_closes_is_closed_too(transport: Http1) -> None:
    async with peer(Says()) as provider:
        asking = asyncio.create_task(ask(transport, provider.endpoint()))
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(ConnectFailed):
            await asking


async def test_the_authorities_of_the_system_are_trusted_and_http1_is_agreed_on(
    transport: Http1,
    authority: trustme.CA,
    serving: Callable[[str], ssl.SSLContext],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = serving("localhost")
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with peer(echo, tls=context) as provider:
        response = await ask(transport, provider.endpoint(host="localhost"), b"trusted")
        assert await pieces(response) == b"trusted"
        agreed = provider.lines[0].writer.get_extra_info("ssl_object").selected_alpn_protocol()
    assert agreed == "http/1.1"


async def test_a_tls_stream_that_ends_with_a_word_is_whole(
    authority: trustme.CA, trusting: ssl.SSLContext, serving: Callable[[str], ssl.SSLContext]
) -> None:
    transport = Http1(ssl_context=trusting)
    async with peer(Says(b"HTTP/1.1 200 OK\r\n\r\nto the end", stay=False), tls=serving("localhost")) as provider:
        response = await ask(transport, provider.endpoint(host="localhost"))
        assert await pieces(response) == b"to the end"
    await transport.aclose()


async def test_no_secret_shows_itself(transport: Http1) -> None:
    async with peer(echo) as provider:
        response = await ask(transport, provider.endpoint(), b"secret")
        shown = f"{transport!r} {response!r}"
        await pieces(response)
    assert "Bearer" not in shown
    assert "secret" not in shown
    with pytest.raises(ConnectFailed) as caught:
        await ask(transport, provider.endpoint(), b"secret", Timeouts(connect=PATIENT.connect))
    assert "Bearer" not in repr(caught.value)


async def head_and_event(line: Line) -> None:
    await line.request()
    await line.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n")


async def test_a_body_whose_end_lags_keeps_its_connection_when_it_was_finished(transport: Http1) -> None:
    ended = asyncio.Event()

    async def script(line: Line) -> None:
        await head_and_event(line)
        await ended.wait()
        await line.say(b"0\r\n\r\n")
        await echo(line)

    async with peer(script) as provider:
        answer = await ask(transport, provider.endpoint())
        assert await answer.next(1.0) == b"event"
        answer.finish(5.0)
        ended.set()
        await provider.until(lambda: "1 idle" in repr(transport))
        assert await pieces(await ask(transport, provider.endpoint(), b"again")) == b"again"
        assert len(provider.lines) == 1


async def test_a_body_that_does_not_end_after_it_was_finished_loses_its_connection(transport: Http1) -> None:
    async def endless(line: Line) -> None:
        await head_and_event(line)
        while True:
            await line.say(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")

    async def silent(line: Line) -> None:
        await head_and_event(line)
        await line.gone()

    for script, within in ((endless, 60.0), (silent, 0.01)):
        async with peer(script) as provider:
            answer = await ask(transport, provider.endpoint())
            assert await answer.next(1.0)
            answer.finish(within)
            await provider.until(lambda: bool(provider.closed))
