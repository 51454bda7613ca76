"""What a gateway leaves in Redis is what docs/operations.md says, and ends when it says so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from gateway.keys.form import mint
from tests.gateway import BODY, Running, against
from tests.redis_server import RedisServer

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
KEY, HASH = mint("one")
CONFIG = f"""
state: ${{REDIS}}
auth: on
organisations: {{acme: {{budget: {{usd: 9}}, limits: {{rpm: 1000}}}}}}
teams:
  a/b: {{organisation: acme, each_user: {{budget: {{usd: 1, per: hour}}, limits: {{tpm: 100k, concurrency: 3}}}}}}
keys: [{{id: one, team: a/b, secret_hash: {HASH}, budget: {{usd: 0.02, per: day, alert_at: [0.001]}}}}]
"""


def rows() -> dict[re.Pattern[str], str]:
    """For each key of the table: for how long it is kept."""
    table = PAGE.read_text().partition("### What is in it")[2].partition("\n## ")[0]
    found = {}
    for line in table.splitlines():
        if line.startswith("| `"):
            names, _, kept, *_ = line.strip("| ").split(" | ")
            for name in re.findall(r"`([^`]+)`", names):
                found[re.compile(re.sub(r"<[a-z]+>|…", ".+", name), re.DOTALL)] = kept
    return found


async def used(gateway: Running) -> None:
    await gateway.http.post(
        f"{gateway.admin}/admin/keys", json={"id": "made"}, headers={"content-type": "application/json"}
    )
    for user in ("ann", "gw:x/2026-11", "a\r\nb"):
        answer = await gateway.chat({**BODY, "user": user, "max_tokens": 9}, authorization=f"Bearer {KEY}")
        assert answer.status_code == 200, answer.text
    refused = await gateway.chat({**BODY, "max_tokens": 1_000_000}, authorization=f"Bearer {KEY}")
    assert refused.json()["error"]["code"] == "insufficient_quota"


async def test_whatever_is_in_redis_is_documented_and_ends_when_the_page_says_so(redis_server: RedisServer) -> None:
    documented, seen = rows(), set[str]()
    async with against(CONFIG, REDIS=redis_server.url) as (gateway, _):
        await asyncio.sleep(2.1)  # a Redis that is new grants nothing yet: that is its own time
        await used(gateway)
        async with asyncio.timeout(10):
            while not {"account", "usage", "first", "places", "decisions", "keys"} <= {
                name.split(":")[0] for name in seen
            }:
                await asyncio.sleep(0.1)
                for key in redis_server.ask("KEYS", "*"):  # type: ignore[attr-defined]
                    prefix, _, name = key.decode().partition(":")
                    for_ever = {kept[0] == "–" for one, kept in documented.items() if one.fullmatch(name)}
                    assert (prefix, for_ever) == ("gw", {redis_server.ask("TTL", key) == -1}), name
                    seen.add(name)
    assert not [name for name in seen if HASH in name or KEY in name]
