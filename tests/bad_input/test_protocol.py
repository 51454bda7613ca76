"""The client's side of HTTP by itself: whatever bytes come, it answers or ends, and never raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.protocol import LEAVE, ClientProtocol, Clients
from tests.bad_input.rows import GOOD, JSON, LENGTH
from tests.bad_input.wire import chat, head, wire


@asynccontextmanager
async def listening(app: Callable[..., Any], *, keep_alive_s: int = 5, **limits: float) -> AsyncIterator[str]:
    """An application behind the protocol alone; yields its URL."""
    config = uvicorn.Config(
        app, ws="none", lifespan="off", log_config=None, access_log=False, timeout_keep_alive=keep_alive_s
    )
    state = Clients()
    seconds = {"head_timeout_s": 5.0, **limits}
    server = await asyncio.get_running_loop().create_server(
        lambda: ClientProtocol(config, state, {}, **seconds), "127.0.0.1", 0
    )
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        await server.wait_closed()


async def say(send: Callable[..., Any], status: int, body: bytes, *, more: bool = False) -> None:
    head = [] if more else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def echo(scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """Answers with what came, or with nothing to a client that left."""
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            await say(send, 200, body)
            return


async def test_a_client_that_does_not_read_is_let_go() -> None:
    gone = asyncio.Event()

    async def flood(scope: dict[str, Any], receive: object, send: Callable[..., Any]) -> None:
        scope[LEAVE] = gone.set
        await say(send, 200, b"", more=True)
        while not gone.is_set():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    async with listening(flood, idle_write_s=0.1) as url, wire(url) as line:
        line.reader.set_exception(ConnectionError("this client does not read"))
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await line.say(head(method="GET"))
        async with asyncio.timeout(3):
            await gone.wait()


async def test_the_rest_of_a_refused_body_does_not_keep_a_connection() -> None:
    async def refuse(scope: object, receive: object, send: Callable[..., Any]) -> None:
        await say(send, 413, b"too large")

    async with listening(refuse, keep_alive_s=0) as url, wire(url) as line:
        await line.say(head(JSON, "Content-Length: 1000000"))
        assert (await line.hear()).status == 413
        assert await line.ended()


async def test_stray_line_ends_between_requests_do_not_keep_a_connection() -> None:
    async with listening(echo, keep_alive_s=1) as url, wire(url) as line:
        await line.say(chat(GOOD))
        assert (await line.hear()).body == GOOD
        for _ in range(40):
            if line.reader.at_eof():
                break
            await line.say(b"\r\n")
            await asyncio.sleep(0.05)
        assert await line.ended(0.1)


async def test_what_a_refused_client_still_sends_is_taken_for_a_while() -> None:
    async with listening(echo) as url, wire(url) as line:
        await line.say(b"SSH-2.0\r\n\r\n", *[b"x" * 65536] * 50)
        assert (await line.hear()).status == 400
        assert await line.ended()


PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            chat(GOOD),
            head(JSON, LENGTH),
            head(JSON, "Transfer-Encoding: chunked"),
            head(method="GET", path="/healthz"),
            head("Connection: close", method="GET"),
            head("Connection: Upgrade", "Upgrade: h2c"),
            head("Expect: 100-continue", "Content-Length: 2"),
            head(version="1.0"),
            head(method="CONNECT", path="a:1"),
            head(method="OPTIONS", path="*"),
            head(method="HEAD", path="/\xff"),
            head(path="http://["),
            b"2\r\n{}\r\n",
            b"0\r\n\r\n",
            b"0\r\nx-trailer: 1\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n",
            b"\n",
            b"\0",
            b"x-a: 1\r\n",
            GOOD,
        ]
    ),
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({p % (len(data) + 1) for p in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


def test_whatever_bytes_come_the_gateway_answers_or_ends_and_never_raises() -> None:
    raised: list[dict[str, Any]] = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: raised.append(context))

        async def converse(parts: list[bytes]) -> bytes:
            async with listening(echo) as url, wire(url) as line:
                for part in parts:
                    line.writer.write(part)
                    await asyncio.sleep(0)
                async with asyncio.timeout(3):
                    try:
                        line.writer.write_eof()
                        return await line.reader.read()
                    except OSError:  # the gateway had ended it before everything was sent
                        return b""

        @given(st.lists(PIECES, min_size=1, max_size=5), st.lists(st.integers(0, 500), max_size=3))
        @settings(max_examples=300, deadline=None)
        def fuzz(pieces: list[bytes], places: list[int]) -> None:
            heard = runner.run(converse(cut(b"".join(pieces), places)))
            assert heard == b"" or heard.startswith(b"HTTP/1.1 ")
            assert b"HTTP/1.1 5" not in heard
            assert raised == []

        fuzz()
