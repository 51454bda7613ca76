"""What a provider refuses by its own rules: too much in a minute, and keys. Read next: test_server.py."""

from __future__ import annotations

import pytest

from gateway.testing.clock import Clock
from gateway.testing.faults import Drip, Torn
from gateway.testing.limits import RateLimits
from gateway.testing.script import Script
from tests.testing.asking import body, provider


async def test_what_goes_beyond_is_refused_and_every_answer_says_what_is_left() -> None:
    clock = Clock()
    limits = RateLimits(rpm=2, tpm=10_000, clock=clock)
    async with provider(Script(fault=limits)) as (_, client):
        answers = [await client.post("/chat/completions", json=body(max_tokens=5)) for _ in range(3)]
        clock.advance(30)
        answers.append(await client.post("/chat/completions", json=body(max_tokens=5)))
    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0", "0"]
    assert (answers[2].headers["retry-after-ms"], answers[2].headers["x-ratelimit-reset-requests"]) == (
        "30000",
        "1m0.000s",
    )
    assert (limits.asked, limits.refused, len(limits.taken_at)) == (4, 1, 3)


async def test_a_key_can_fail_whatever_its_model_does() -> None:
    async with provider() as (simulated, client):
        simulated.scripts.keys["sk-dead"] = "unauthorized"
        statuses = [
            (
                await client.post("/chat/completions", json=body(), headers={"authorization": f"Bearer {key}"})
            ).status_code
            for key in ("sk-dead", "sk-good")
        ]
    assert statuses == [401, 200]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_torn_body_that_ends_as_if_it_were_whole_is_a_part_of_it(stream: bool) -> None:
    scripts = Script(text="one two", times=1), Script(text="one two", fault=Torn(0.5, "end"))
    async with provider(*scripts) as (_, client):
        whole, torn = [(await client.post("/chat/completions", json=body(stream=stream))).content for _ in range(2)]
    assert len(torn) == len(whole) // 2


async def test_a_dripping_body_is_whole_in_the_end() -> None:
    async with provider(Script(text="one two", fault=Drip(0.0, 7))) as (_, client):
        answer = await client.post("/chat/completions", json=body())
    assert answer.json()["choices"][0]["message"]["content"] == "one two"
