"""What a provider reads from and writes to its cache, from its answer to the bill. Read next: ../gateway/money.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.config.load import load_text
from gateway.data.catalogue import SOURCE, facts
from gateway.money import cost
from gateway.providers.protocol import Answer
from gateway.providers.registry import protocol_of
from gateway.types import Price, Tier, Usage
from tests import make
from tests.gateway import Running, serving

ANTHROPIC: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
    },
}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**ANTHROPIC, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 50},
    },
    {"type": "message_stop"},
]
SAID = Usage(2310, 50, cached_input=2000, cache_write=300, cache_write_1h=100, reasoning=20)
#: At Haiku's prices: 10 x 1 + 2000 x 0.1 + 200 x 1.25 + 100 x 2 + 50 x 5 micro-dollars.
MICROS = 10 + 200 + 250 + 200 + 250

GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {
        "promptTokenCount": 2310,
        "cachedContentTokenCount": 2000,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 20,
        "totalTokenCount": 2360,
    },
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {
        "inputTokens": 10,
        "outputTokens": 50,
        "totalTokens": 2360,
        "cacheReadInputTokens": 2000,
        "cacheWriteInputTokens": 300,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 100}, {"ttl": "5m", "inputTokens": 200}],
    },
}
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {
        "prompt_tokens": 2310,
        "completion_tokens": 50,
        "total_tokens": 2360,
        "prompt_tokens_details": {"cached_tokens": 2000},
        "completion_tokens_details": {"reasoning_tokens": 20},
    },
}


@pytest.mark.parametrize(
    ("kind", "base_url", "model", "body", "price", "usage", "micros"),
    [
        (
            "anthropic",
            "https://api.anthropic.com/v1",
            "claude-haiku-4-5",
            ANTHROPIC,
            Price(1_000_000, 5_000_000, 100_000, 1_250_000, 2_000_000, SOURCE),
            SAID,
            MICROS,
        ),
        (
            "bedrock",
            "https://bedrock-runtime.us-east-1.amazonaws.com",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            CONVERSE,
            # A region's own endpoint costs a tenth more.
            Price(1_100_000, 5_500_000, 110_000, 1_375_000, 2_200_000, SOURCE),
            Usage(2310, 50, cached_input=2000, cache_write=300, cache_write_1h=100),
            11 + 220 + 275 + 220 + 275,
        ),
        (
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
            "gemini-2.5-pro",
            GEMINI,
            Price(
                *(1_250_000, 10_000_000, 125_000, None, None, SOURCE),
                tiers=(Tier(200_000, Price(2_500_000, 15_000_000, 250_000, None, None, SOURCE)),),
            ),
            Usage(2310, 50, cached_input=2000, reasoning=20),
            # 310 x 1.25 + 2000 x 0.125 + 50 x 10 is 1137.5.
            1138,
        ),
        (
            "openai",
            "https://api.openai.com/v1",
            "gpt-4o-mini",
            CHAT,
            Price(150_000, 600_000, 75_000, None, None, SOURCE),
            Usage(2310, 50, cached_input=2000, reasoning=20),
            # 310 x 0.15 + 2000 x 0.075 + 50 x 0.6 is 226.5.
            227,
        ),
    ],
)
def test_an_answer_costs_what_its_provider_charges_for_each_kind_of_token(
    kind: str, base_url: str, model: str, body: dict[str, Any], price: Price, usage: Usage, micros: int
) -> None:
    answer = protocol_of(kind).parse(json.dumps(body).encode(), make.call(), make.deployment("d", model=model))
    assert isinstance(answer, Answer)
    assert facts(base_url, model).price == price
    assert (answer.usage, cost(price, answer.usage)) == (usage, micros)


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("content-length"))
    if json.loads(await reader.readexactly(int(length))).get("stream"):
        kind, data = "text/event-stream", b"".join([b"data: %s\n\n" % json.dumps(event).encode() for event in EVENTS])
    else:
        kind, data = "application/json", json.dumps(ANTHROPIC).encode()
    about = f"content-type: {kind}\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n"
    writer.write(f"HTTP/1.1 200 OK\r\n{about}".encode() + data)
    await writer.drain()
    writer.close()


@asynccontextmanager
async def claude() -> AsyncIterator[Running]:
    async with await asyncio.start_server(answering, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        text = (
            f"providers: {{up: {{kind: anthropic, base_url: '{url}', allow_private: true, api_key: sk-up}}}}\n"
            "deployments:\n"
            "  claude:\n"
            "    provider: up\n"
            "    model: claude-haiku-4-5\n"
            "    price: {input: 1, output: 5, cached_input: 0.1, cache_write: 1.25, cache_write_1h: 2}\n"
        )
        async with serving(load_text(text, {})) as gateway:
            yield gateway


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_header_the_record_and_the_metrics_say_the_same(path: str, stream: bool) -> None:
    body = {"model": "claude", "max_tokens": 99, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    async with claude() as gateway:
        answer = await gateway.http.post(f"{gateway.url}{path}", json=body)
        (record,) = await gateway.settled(1)
        metrics = (await gateway.http.get(f"{gateway.admin}/metrics")).text
    assert (record.usage, record.cost) == (SAID, MICROS)
    said = f'"cost_usd":"0.{MICROS:06d}"' in answer.text if stream else answer.headers["x-gateway-cost-usd"]
    assert said == (True if stream else f"0.{MICROS:06d}")
    counted = ("gateway_tokens_total{", "gateway_cost_usd_total{")
    assert {line for line in metrics.split("\n") if line.startswith(counted)} == {
        'gateway_tokens_total{target="claude",type="input"} 2310.0',
        'gateway_tokens_total{target="claude",type="output"} 50.0',
        'gateway_tokens_total{target="claude",type="cached_input"} 2000.0',
        'gateway_tokens_total{target="claude",type="cache_write"} 300.0',
        'gateway_tokens_total{target="claude",type="reasoning"} 20.0',
        'gateway_cost_usd_total{route="direct",target="claude"} 0.00091',
    }


async def test_a_client_of_chat_completions_sees_what_was_cached_and_written() -> None:
    async with claude() as gateway:
        body = (await gateway.chat({"model": "claude", "messages": [{"role": "user", "content": "Hi"}]})).json()
    assert body["usage"] == {
        "prompt_tokens": 2310,
        "completion_tokens": 50,
        "total_tokens": 2360,
        "prompt_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 300},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
