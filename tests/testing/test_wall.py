"""The wall's models on real sockets, asked by hand: each fails as its catalogue says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from gateway.testing.wall.scenarios import FALLBACKS, PROFILES, SCENARIOS, TEXT
from gateway.testing.wall.seen import Profile
from gateway.testing.wall.server import Wall, at_pace
from tests.testing.asking import body, events

#: So fast that a minute of the catalogue takes a tenth of a second.
HASTE = Profile("haste", 600)


@asynccontextmanager
async def wall(profile: Profile = HASTE) -> AsyncIterator[tuple[Wall, httpx2.AsyncClient]]:
    async with (
        Wall(profile) as running,
        httpx2.AsyncClient(base_url=running.url, trust_env=False, timeout=10) as client,
    ):
        yield running, client


async def streamed(client: httpx2.AsyncClient, model: str, **more: Any) -> tuple[list[Any], str]:
    """What comes of a stream, and how it ends."""
    got, ended = await raw(client, model, **more)
    return (events(got), ended) if got.startswith("data") else ([json.loads(got)], ended)


async def raw(client: httpx2.AsyncClient, model: str, **more: Any) -> tuple[str, str]:
    """The text of a stream, and how it ends: with a status, or an exception."""
    got = b""
    asked = body(model=model, stream=True, stream_options={"include_usage": True}, **more)
    try:
        async with client.stream("POST", "/chat/completions", json=asked) as response:
            async for piece in response.aiter_raw():
                got += piece
    except httpx2.TransportError as error:
        return got.decode(), type(error).__name__
    return got.decode(), str(response.status_code)


def said(events: list[Any]) -> str:
    chunks = [event for event in events if event != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def finished(events: list[Any]) -> list[str]:
    chunks = [event for event in events if event != "[DONE]"]
    return [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]


def test_there_are_sixteen_scenarios_of_the_catalogue_and_fifteen_of_our_own() -> None:
    assert list(SCENARIOS) == [f"s{n:02}" for n in range(1, 17)] + [f"x{n:02}" for n in range(1, 16)]
    assert {scenario.fallback for scenario in SCENARIOS.values()} < set(FALLBACKS)
    assert len(TEXT.split()) == 60


def test_a_profile_divides_every_duration_and_nothing_else() -> None:
    (script,) = SCENARIOS["s09"].scripts
    fast = at_pace(script, PROFILES["fast"])
    assert (fast.pace.token_s, fast.fault.seconds, fast.fault.after) == (pytest.approx(0.003), 6, 20)
    assert at_pace(SCENARIOS["s15"].scripts[0], PROFILES["fast"]).lasts_s == 12
    assert at_pace(SCENARIOS["x08"].scripts[0], PROFILES["fast"]).fault.every_s == pytest.approx(0.2)
    assert at_pace(script, PROFILES["full"]) == script


async def test_a_healthy_answer_is_sixty_tokens_at_fifteen_milliseconds() -> None:
    async with wall(PROFILES["fast"]) as (_, client):
        began_at = time.monotonic()
        got, ended = await streamed(client, "healthy")
        took_s = time.monotonic() - began_at
        whole = (await client.post("/chat/completions", json=body(model="fb-ok"))).json()
    assert (said(got), finished(got), got[-1], ended) == (TEXT, ["stop"], "[DONE]", "200")
    assert got[-2]["usage"]["completion_tokens"] == 60
    assert 60 * 0.003 <= took_s < 2
    assert whole["choices"][0]["message"]["content"] == TEXT


async def test_s01_asks_for_two_seconds_once_in_every_profile() -> None:
    async with wall() as (_, client):
        first = await client.post("/chat/completions", json=body(model="s01"))
        second = await client.post("/chat/completions", json=body(model="s01"))
    assert (first.status_code, first.headers["retry-after"], second.status_code) == (429, "2", 200)


async def test_s08_is_cut_after_forty_tokens() -> None:
    async with wall() as (_, client):
        got, ended = await streamed(client, "s08")
    assert (said(got).split(), finished(got), ended) == (TEXT.split()[:40], [], "RemoteProtocolError")


async def test_the_beginning_of_an_answer_is_continued() -> None:
    beginning = " ".join(TEXT.split()[:40])
    messages = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": beginning}]
    async with wall() as (_, client):
        got, ended = await streamed(client, "fb-ok", messages=messages)
    assert (beginning + said(got), ended) == (TEXT, "200")


async def test_the_fallback_of_s14_refuses_to_continue_and_answers_otherwise() -> None:
    messages = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "A signal"}]
    async with wall() as (_, client):
        (refused,), status = await streamed(client, SCENARIOS["s14"].fallback, messages=messages)
        got, ended = await streamed(client, SCENARIOS["s14"].fallback)
    assert (status, refused["error"]["type"]) == ("400", "invalid_request_error")
    assert (said(got), ended) == (TEXT, "200")


async def test_the_tenth_event_of_s10_is_not_json_and_all_words_come() -> None:
    async with wall() as (_, client):
        answer = await client.post("/chat/completions", json=body(model="s10", stream=True))
    blocks = [block.removeprefix("data: ") for block in answer.text.split("\n\n") if block]
    with pytest.raises(json.JSONDecodeError):
        json.loads(blocks[9])
    assert said([json.loads(b) for n, b in enumerate(blocks) if n != 9 and b != "[DONE]"]) == TEXT


async def test_s15_is_down_for_a_minute_from_its_first_call() -> None:
    async with wall() as (_, client):
        during = [await client.post("/chat/completions", json=body(model="s15")) for _ in range(2)]
        await asyncio.sleep(60 / HASTE.divisor)
        after = await client.post("/chat/completions", json=body(model="s15"))
    assert [answer.status_code for answer in (*during, after)] == [503, 503, 200]


async def test_x12_looks_whole_with_forty_words() -> None:
    async with wall() as (_, client):
        got, ended = await streamed(client, "x12")
        whole = (await client.post("/chat/completions", json=body(model="x12"))).json()["choices"][0]
    assert (said(got).split(), finished(got), got[-1], ended) == (TEXT.split()[:40], [], "[DONE]", "200")
    assert (whole["message"]["content"].split(), whole["finish_reason"]) == (TEXT.split()[:40], None)


@pytest.mark.parametrize(("model", "words"), [("x08", 0), ("x09", 20)])
async def test_pings_come_without_content_until_the_connection_is_closed(model: str, words: int) -> None:
    async with wall() as (_, client):
        got, ended = await raw(client, model)
    parts = got.split("\n\n")
    assert 119 <= sum(part.startswith(":") for part in parts) <= 121
    assert ended == "RemoteProtocolError"
    assert said([json.loads(part[6:]) for part in parts if part.startswith("data")]).split() == TEXT.split()[:words]


async def test_x14_points_to_another_host_and_a_client_that_goes_there_has_strayed() -> None:
    async with wall() as (running, client):
        question = body("where? #0001", model="x14")
        answer = await client.post("/chat/completions", json=question)
        assert (answer.status_code, httpx2.URL(answer.headers["location"]).host) == (307, "localhost")
        assert httpx2.URL(answer.headers["location"]).port == running.port
        await client.post(str(running.url).removesuffix("/v1") + "/elsewhere/chat/completions", json=question)
        primary, fallback, strayed = running.tries(SCENARIOS["x14"], "#0001")
    assert (len(primary), fallback, strayed) == (1, (), 1)


async def test_tries_are_told_apart_by_the_mark_in_the_question() -> None:
    async with wall() as (running, client):
        for model, text in (("s04", "a #0001"), ("fb-ok", "a #0001"), ("s04", "a #0002")):
            await client.post("/chat/completions", json=body(text, model=model))
        primary, fallback, strayed = running.tries(SCENARIOS["s04"], "#0001")
    assert ([one.model for one in primary], [one.model for one in fallback], strayed) == (["s04"], ["fb-ok"], 0)


async def test_what_fails_once_fails_again_after_a_reset() -> None:
    async with wall() as (running, client):
        statuses = []
        for turn in range(3):
            if turn == 2:
                running.reset()
            statuses.append((await client.post("/chat/completions", json=body(model="s03"))).status_code)
    assert statuses == [500, 200, 500]
