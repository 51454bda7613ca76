"""Anthropic's dialect at a provider that speaks it: what goes through as it came, and who counts tokens.

Read next: test_messages.py, the same over another provider.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.api.messages import Messages
from gateway.cache.stale import key_of
from gateway.config.load import load_text
from gateway.providers.registry import ROWS, protocol_of
from gateway.types import Account, Caller, Deployment, Native
from tests import make
from tests.gateway import Running, serving

MESSAGE: dict[str, Any] = {
    "id": "msg_up",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 2, "brand_new": True},
}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    },
    {"type": "message_stop"},
]
STREAM = b"".join([f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in EVENTS])
UNSIGNED = {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": ""}]}
HI = {"role": "user", "content": "Hi"}
ASK: dict[str, Any] = {"model": "claude", "max_tokens": 50, "messages": [HI, UNSIGNED, HI], "brand_new": 1}

native = pytest.mark.skipif("anthropic" not in ROWS, reason="no provider speaks Anthropic's protocol yet")


class Upstream:
    """A provider that speaks Messages. ``seen`` has path, headers and body of each request; ``counts`` if it does."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.counts = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""):
            first, *lines = head.decode().strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.seen.append((first.split()[1], headers, body))
            status, kind, data = self._answer(first, body)
            lengths = f"content-type: {kind}\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n"
            writer.write(f"HTTP/1.1 {status} X\r\n{lengths}".encode() + data)
            await writer.drain()
            writer.close()
            return

    def _answer(self, first: str, body: dict[str, Any]) -> tuple[int, str, bytes]:
        if "count_tokens" in first:
            return (200, "application/json", b'{"input_tokens":77}') if self.counts else (500, "text/plain", b"no")
        if body.get("stream"):
            return 200, "text/event-stream", STREAM
        return 200, "application/json", json.dumps(MESSAGE).encode()


@asynccontextmanager
async def speaking() -> AsyncIterator[tuple[Running, Upstream]]:
    upstream = Upstream()
    async with await asyncio.start_server(upstream.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        text = (
            f"providers: {{up: {{kind: anthropic, base_url: '{url}', allow_private: true, api_key: sk-up}}}}\n"
            "deployments: {claude: {provider: up, model: claude-x}}\n"
        )
        async with serving(load_text(text, {})) as gateway:
            yield gateway, upstream


@native
async def test_all_of_it_goes_through_but_what_was_made_here() -> None:
    async with speaking() as (gateway, upstream):
        answer = await gateway.http.post(
            f"{gateway.url}/v1/messages", json=ASK, headers={"anthropic-beta": "b-1", "x-api-key": "k"}
        )
        (path, headers, body), (record,) = upstream.seen[0], await gateway.settled(1)
    assert answer.json() == MESSAGE
    assert (path, headers["anthropic-beta"], headers["x-api-key"]) == ("/v1/messages", "b-1", "sk-up")
    assert body == {**ASK, "model": "claude-x", "messages": [HI, HI]}
    assert (record.dialect, record.outcome, record.served_model) == ("anthropic", "ok", "claude-x")


@native
async def test_a_stream_goes_through_byte_for_byte_and_the_figures_follow() -> None:
    async with speaking() as (gateway, _):
        answer = await gateway.http.post(f"{gateway.url}/v1/messages", json={**ASK, "stream": True})
        (record,) = await gateway.settled(1)
    assert answer.content.startswith(STREAM + b": gateway {")
    assert answer.text.count("\n\n") == len(EVENTS) + 1
    assert record.usage is not None
    assert (record.usage.input, record.usage.output) == (5, 2)


@native
@pytest.mark.parametrize("counts", [True, False])
async def test_its_provider_counts_the_tokens_or_they_are_estimated(counts: bool) -> None:
    async with speaking() as (gateway, upstream):
        upstream.counts = counts
        asked = {"model": "claude", "messages": [HI, UNSIGNED]}
        answer = await gateway.http.post(f"{gateway.url}/v1/messages/count_tokens", json=asked)
        (path, _, body), (record,) = upstream.seen[0], await gateway.settled(1)
    assert (path, body) == ("/v1/messages/count_tokens", {"model": "claude-x", "messages": [HI]})
    assert (answer.json()["input_tokens"] == 77, "x-gateway-estimated" not in answer.headers) == (counts, counts)
    assert (record.operation, record.status, record.cost, len(record.attempts)) == ("count_tokens", 200, 0, 1)


def read_natively(data: bytes, size: int) -> tuple[bytes, bool, str | None]:
    """What goes out of a native stream that comes in pieces of this size; whether it is complete, or why not."""
    account = Account(name="up", kind="anthropic", base_url="https://example.test")
    feed = protocol_of("anthropic").feed(
        make.call(dialect="anthropic", native=Native({})), Deployment("d", account, "claude-x")
    )
    pieces = [feed.feed(data[at : at + size]) for at in range(0, len(data), size)]
    pieces.append(feed.close())
    failures = [piece.failure.kind for piece in pieces if piece.failure is not None]
    return b"".join([piece.data for piece in pieces]), any(piece.done for piece in pieces), next(iter(failures), None)


@native
@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_native_stream_goes_through_whichever_ends_its_lines_have(end: bytes, size: int) -> None:
    data = STREAM.replace(b"\n", end)
    assert read_natively(data, size) == (data, True, None)


@native
def test_a_last_event_without_its_blank_line_is_the_end_all_the_same() -> None:
    assert read_natively(STREAM[:-2], 4096) == (STREAM, True, None)
    assert read_natively(STREAM[:-9], 4096) == (STREAM[: STREAM.rindex(b"event:")], False, "truncated")


@native
def test_an_answer_that_is_no_stream_is_not_handed_to_a_client_of_streams() -> None:
    assert read_natively(json.dumps(MESSAGE).encode(), 4096) == (b"", False, "truncated")


@native
def test_a_document_in_an_event_is_not_too_large_and_costs_no_more_than_its_bytes() -> None:
    found = {"type": "content_block_start", "index": 1, "content_block": {"type": "web_fetch_tool_result", "x": ""}}
    large = b"data: %b\n\n" % json.dumps(found).replace('"x": ""', '"x": "' + "A" * 8_000_000 + '"').encode()
    at = STREAM.index(b"event: message_delta")
    data = STREAM[:at] + large + STREAM[at:]
    assert read_natively(data, 16_384) == (data, True, None)


async def test_what_could_not_go_out_at_once_is_told_once() -> None:
    sent: list[bytes] = []
    free = False

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    def push(data: bytes) -> bool:
        if free and data:
            sent.append(data)
        return free

    async def receive() -> dict[str, Any]:
        raise AssertionError("nobody reads")

    client = Messages({"headers": [], "gateway.push": push}, receive, send, id="1", received_at=0.0)
    chunk = {"index": 0, "delta": {"content": "x"}, "logprobs": None, "finish_reason": None}
    data = b"data: " + json.dumps({"model": "m", "choices": [chunk]}).encode() + b"\n\n"
    assert not client.push(data, "openai")
    await client.write(data, "openai")
    free = True
    assert client.push(data, "openai")
    text = b"".join(sent)
    assert (text.count(b"message_start\n"), text.count(b"content_block_start\n"), text.count(b"text_delta")) == (
        1,
        1,
        2,
    )


def test_an_answer_is_kept_for_what_the_client_said_in_its_own_words() -> None:
    one, same, other = (
        make.call(dialect="anthropic", native=Native({"messages": [], "display": display, "stream": stream}))
        for display, stream in (("a", True), ("a", False), ("b", True))
    )
    anybody = Caller("anonymous")
    assert key_of(one, anybody) == key_of(same, anybody) != key_of(other, anybody)
