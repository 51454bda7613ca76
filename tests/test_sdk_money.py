"""What SDKs make of budgets and limits with the retries that they have by default. Read next: ../docs/api.md."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

import anthropic
import httpx2
import openai
import pytest

from gateway.keys.form import mint
from gateway.testing.script import Pace, Script
from tests.gateway import Running, against

CREDENTIAL, HASH = mint("team")
ASK: dict[str, Any] = {"model": "a", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello!"}]}


class Counted:
    """Both SDKs with their default retries, and how often they asked."""

    def __init__(self, gateway: Running) -> None:
        self.sent = 0
        self._http = httpx2.AsyncClient(event_hooks={"request": [self._count]}, trust_env=False, verify=False)
        self.openai = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=CREDENTIAL, http_client=self._http)
        self.anthropic = anthropic.AsyncAnthropic(base_url=gateway.url, api_key=CREDENTIAL, http_client=self._http)
        assert (self.openai.max_retries, self.anthropic.max_retries) == (2, 2)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def _count(self, request: httpx2.Request) -> None:
        self.sent += 1


def key(more: str, folder: Path) -> str:
    return f"keys: [{{id: team, secret_hash: {HASH}, {more}}}]\nbudgets: {{ledger: {folder / 'ledger'}}}\n"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_spent_budget_is_a_rate_limit_error_that_is_not_tried_again(stream: bool, tmp_path: Path) -> None:
    async with (
        against(key("budget: {usd: 0.00001, per: total}", tmp_path)) as (gateway, _),
        Counted(gateway) as clients,
    ):
        with pytest.raises(openai.RateLimitError, match=r"The budget of key team has 0\.000010 USD left") as refused:
            await clients.openai.chat.completions.create(**ASK, stream=stream)
        assert (refused.value.code, refused.value.type, clients.sent) == ("insufficient_quota", "insufficient_quota", 1)
        with pytest.raises(anthropic.RateLimitError, match=r"The budget of key team has 0\.000010 USD left"):
            await clients.anthropic.messages.create(**ASK, stream=stream)
        assert clients.sent == 2


async def test_a_reached_limit_is_tried_again_when_told_and_then_answered(tmp_path: Path) -> None:
    async with against(key("limits: {concurrency: 1}", tmp_path)) as (gateway, provider), Counted(gateway) as clients:
        provider.script("a", Script(text="First.", pace=Pace(0.2, 0), times=1), Script(text="Second."))
        first = asyncio.create_task(clients.openai.chat.completions.create(**ASK))
        async with asyncio.timeout(5):
            while not provider.asked("a"):
                await asyncio.sleep(0.005)
        second = await clients.openai.chat.completions.with_raw_response.create(**ASK)
        assert (second.parse().choices[0].message.content, clients.sent) == ("Second.", 3)
        assert second.headers["ratelimit-policy"] == '"key-concurrency";q=1;qu="concurrent-requests"'
        assert (await first).choices[0].message.content == "First."
