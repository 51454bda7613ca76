"""Clients that come at a steady rate, whatever becomes of those before them, and what each of them got.

Read next: fleet.py, what they ask. An answer is read as OpenAI's SDKs read it (gateway/testing/wall/reading.py), but
over bare sockets: then leaving is a closed connection, and a connection that breaks is not taken for an error.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import httptools
from msgspec import Struct

from gateway.testing.wall.reading import Events, Reading

__all__ = ["Ended", "Heard", "Load", "ask"]

Ended = Literal["whole", "error", "cut", "lost", "left"]
#: The longest that a client waits for the end of an answer, in seconds.
PATIENCE_S = 30.0


class Heard(Struct, frozen=True):
    """One request as its client knows it, the ``n``-th. Times are monotonic seconds, durations seconds.

    ``whole`` is exactly the right answer; ``error`` one that is clear; ``cut`` another that an SDK would take for a
    good one; ``lost`` neither; ``left`` when the client did not wait. ``why`` says more of all but the first.
    """

    n: int
    ended: Ended
    why: str
    port: int
    status: int | None
    asked_at: float
    total_s: float
    first_s: float | None
    headers: dict[str, str]


class Load:
    """Requests at ``rate`` a second to these ports in turn, a share of them streams, a share of clients leaving.

    ``heard`` holds those that have ended, ``asked`` counts all. Every request says in its tags which it is.
    """

    def __init__(
        self,
        ports: Sequence[int],
        rate: float,
        *,
        model: str = "auto",
        streams: float = 1 / 3,
        leaving: float = 0.0,
        seed: int = 7,
    ) -> None:
        self.heard: list[Heard] = []
        self.asked = 0
        self.began_at = time.monotonic()
        self.rate = rate
        self._ports = ports
        self._model = model
        self._streams, self._leaving = streams, leaving
        self._dice = random.Random(seed)
        self._enough = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Load:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *what: object) -> None:
        """No more; and wait for those under way."""
        assert self._running is not None
        self._enough.set()
        await self._running
        while self._under_way:
            await asyncio.wait(self._under_way)

    def between(self, began: float, ended: float = float("inf")) -> list[Heard]:
        """Those that were asked in that time and have ended."""
        return [heard for heard in self.heard if began <= heard.asked_at < ended]

    def seen(self) -> Counter[Ended]:
        """How they ended."""
        return Counter(heard.ended for heard in self.heard)

    def worse(self, *than: Ended) -> str:
        """How the others ended: for each way the first words of why, and when the first was, in seconds."""
        others = [one for one in self.heard if one.ended not in than]
        first = {f"{one.ended}: {one.why}": one.asked_at - self.began_at for one in reversed(others)}
        counted = Counter(f"{one.ended}: {one.why}" for one in others)
        return "; ".join(f"{n} {said} (from {first[said]:.1f} s)" for said, n in counted.most_common(8)) or "none"

    async def _run(self) -> None:
        began = self.began_at = time.monotonic()
        while not self._enough.is_set():
            await asyncio.sleep(began + self.asked / self.rate - time.monotonic())
            task = asyncio.create_task(self._one(self.asked))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            self.asked += 1

    async def _one(self, n: int) -> None:
        dice = self._dice
        leaves_after_s = dice.uniform(0.0, 0.3) if dice.random() < self._leaving else None
        stream = dice.random() < self._streams
        port = self._ports[n % len(self._ports)]
        self.heard.append(await ask(port, n, model=self._model, stream=stream, leaves_after_s=leaves_after_s))


async def ask(port: int, n: int, *, model: str = "auto", stream: bool, leaves_after_s: float | None = None) -> Heard:
    """One request, to its end or until the client leaves."""
    loop = asyncio.get_running_loop()
    asked_at = time.monotonic()
    try:
        transport, talk = await loop.create_connection(lambda: Talk(stream), "127.0.0.1", port)
    except OSError as error:
        return Heard(n, "lost", f"no connection: {error}", port, None, asked_at, time.monotonic() - asked_at, None, {})
    transport.write(request(n, model, stream))
    limit_s = PATIENCE_S if leaves_after_s is None else leaves_after_s
    await asyncio.wait({talk.over}, timeout=limit_s)
    ended, why = talk.ending()
    if not talk.over.done():
        ended, why = ("left", "") if leaves_after_s is not None else ("lost", f"no end within {limit_s:g} s: {why}")
    transport.abort()
    first_s = None if talk.first_at is None else talk.first_at - asked_at
    status = talk.reading.status
    return Heard(n, ended, why, port, status, asked_at, time.monotonic() - asked_at, first_s, talk.headers)


def request(n: int, model: str, stream: bool) -> bytes:
    """Its bytes."""
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello!"}]}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n"
        f"x-gateway-tags: n={n}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Talk(asyncio.Protocol):
    """One answer while it comes. ``over`` is done when it has ended, or its connection has."""

    def __init__(self, stream: bool) -> None:
        self.reading = Reading()
        self.headers: dict[str, str] = {}
        self.first_at: float | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._parser = httptools.HttpResponseParser(self)
        self._events = Events()
        self._body: list[bytes] = []
        self._complete = self._done = False

    def ending(self) -> tuple[Ended, str]:
        """How it ended, as far as it has come."""
        reading = self.reading
        if reading.error is not None:
            return "error", reading.error
        if not self._complete:
            return "lost", f"the connection ended early: {reading.missing or 'all but the end was there'}"
        if reading.missing is not None:
            return "cut", reading.missing
        return ("whole", "") if self._done or not self._stream else ("cut", "no [DONE]")

    # asyncio calls these

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    # httptools calls these

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.reading.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self.reading.status != 200 or not self._stream:
            self._body.append(body)
            return
        self._read(self._events.feed(body))
        if self.first_at is None and self.reading.started:
            self.first_at = time.monotonic()

    def on_message_complete(self) -> None:
        self._complete, body = True, b"".join(self._body)
        if self.reading.status != 200:
            # What is no error in OpenAI's envelope tells a client nothing: it stays a cut answer.
            if b'"error"' in body:
                self.reading.refusal(self.reading.status or 0, body)
        elif not self._stream:
            self.reading.body(body)
        self._end()

    def _read(self, events: Iterable[bytes]) -> None:
        for event in events:
            if self.reading.event(event):
                self._done = self._done or event.startswith(b"[DONE]")

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
