"""n choices of a protocol that has only one: n calls, one try, one answer, one sum."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway.config.load import load_text
from gateway.providers.choices import Numbering, alone, takes_choices, together, total
from gateway.providers.protocol import Answer
from gateway.types import Usage
from tests import make
from tests.gateway import Running, serving
from tests.toy import ToyProvider, answer_to, sign, spoken, toy_provider

Body = dict[str, Any]
ASKED: Body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


def world_of(*providers: ToyProvider, more: str = "") -> Any:
    lines = ["providers:"]
    for n, provider in enumerate(providers):
        lines.append(f"  p{n}: {{kind: toy, base_url: {provider.url}, allow_private: true}}")
    lines.append("deployments:")
    price = "price: {input: 1, output: 2}"
    lines += [f"  d{n}: {{provider: p{n}, model: m{n}, {price}{more}}}" for n in range(len(providers))]
    return load_text("\n".join(lines), {})


@pytest.fixture
async def providers() -> AsyncIterator[tuple[ToyProvider, ToyProvider]]:
    with spoken():
        async with toy_provider() as one, toy_provider() as other:
            yield one, other


@pytest.fixture
async def gateway(providers: tuple[ToyProvider, ToyProvider]) -> AsyncIterator[Running]:
    async with serving(world_of(*providers)) as running:
        yield running


def counting(provider: ToyProvider, *, fail: int = 0, word: str = "Answer") -> None:
    """Each answer says which it is; from that number on there is none."""

    def answer(request: Body) -> list[Any]:
        n = len(provider.requests)
        if 0 < fail <= n:
            return [{"broken": True}]
        blocks = [{"text": f"{word} {n}."}]
        return [*blocks, {"signed": sign(blocks)}]

    provider.answer = answer


async def stream_of(gateway: Running, **more: Any) -> list[Body | str]:
    """The chunks of a stream, or what else its events are."""
    answer = await gateway.chat({**ASKED, "stream": True, **more})
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line.startswith("data: ")]
    return [json.loads(event) if event.startswith("{") else event for event in events]


async def test_an_answer_has_as_many_choices_and_the_sum_of_all_calls(
    gateway: Running, providers: tuple[ToyProvider, ToyProvider]
) -> None:
    counting(providers[0])
    body = (await gateway.chat({**ASKED, "n": 3})).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {"Answer 1.", "Answer 2.", "Answer 3."}
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (30, 15)
    assert len(providers[0].requests) == 3
    (record,) = await gateway.settled(1)
    assert (record.outcome, record.usage, record.cost) == ("ok", Usage(30, 15), 60)
    assert [(a.n, a.deployment, a.usage, a.failure) for a in record.attempts] == [(1, "d0", Usage(10, 5), None)] * 3
    assert len(providers[1].requests) == 0


async def test_a_stream_has_every_choice_under_one_envelope_and_one_usage_at_the_end(
    gateway: Running, providers: tuple[ToyProvider, ToyProvider]
) -> None:
    counting(providers[0])
    *chunks, done = await stream_of(gateway, n=3, stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert all(isinstance(chunk, dict) for chunk in chunks)
    bodies: list[Body] = [chunk for chunk in chunks if isinstance(chunk, dict)]
    assert len({(body["id"], body["created"], body["model"]) for body in bodies}) == 1
    texts, reasons = ["", "", ""], [None, None, None]
    for choice in [choice for body in bodies[:-1] for choice in body["choices"]]:
        texts[choice["index"]] += choice["delta"].get("content") or ""
        reasons[choice["index"]] = choice["finish_reason"] or reasons[choice["index"]]
    assert sorted(texts) == ["Answer 1.", "Answer 2.", "Answer 3."]
    assert reasons == ["stop"] * 3
    assert [body["usage"] for body in bodies if body.get("usage")] == [bodies[-1]["usage"]]
    assert bodies[-1]["choices"] == []
    assert (bodies[-1]["usage"]["prompt_tokens"], bodies[-1]["usage"]["completion_tokens"]) == (30, 15)
    (record,) = await gateway.settled(1)
    assert (record.outcome, record.usage, record.cost, len(record.attempts)) == ("ok", Usage(30, 15), 60, 3)
    assert record.overhead_s < 0.5


async def test_usage_goes_to_those_alone_who_asked_for_it(gateway: Running) -> None:
    chunks = await stream_of(gateway, n=2)
    assert not any(isinstance(chunk, dict) and chunk.get("usage") for chunk in chunks)


async def test_the_sdk_puts_the_choices_together(gateway: Running) -> None:
    asked: Any = {**ASKED, "n": 2, "messages": [{"role": "user", "content": "a tool"}]}
    async with gateway.sdk() as sdk:
        async with sdk.chat.completions.stream(**asked) as stream:
            final = await stream.get_final_completion()
        whole = await sdk.chat.completions.create(**asked)
    for completion in (final, whole):
        calls = [call.id for choice in completion.choices for call in choice.message.tool_calls or ()]
        assert (len(completion.choices), len(calls)) == (2, 4)


@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_fails_fails_the_try_and_another_deployment_answers_whole(
    gateway: Running, providers: tuple[ToyProvider, ToyProvider], stream: bool
) -> None:
    counting(providers[0], fail=3, word="Lost")
    counting(providers[1])
    text = (await gateway.chat({**ASKED, "n": 3, "stream": stream})).text
    assert "Lost" not in text
    assert all(f"Answer {n}." in text for n in (1, 2, 3))
    (record,) = await gateway.settled(1)
    assert (record.outcome, record.deployment, record.usage) == ("fallback_ok", "d1", Usage(30, 15))
    first = [attempt for attempt in record.attempts if attempt.deployment == "d0"]
    assert {attempt.failure.kind for attempt in first if attempt.failure} == {"overloaded"}
    assert len({attempt.n for attempt in record.attempts}) == 1 + max(attempt.n for attempt in first)
    assert len([attempt for attempt in record.attempts if attempt.deployment == "d1"]) == 3


async def test_a_stream_that_breaks_after_all_have_content_says_so_and_does_not_end_well(
    gateway: Running, providers: tuple[ToyProvider, ToyProvider]
) -> None:
    providers[0].answer = lambda request: [
        {"text": "half"},
        *([{"broken": True}] if len(providers[0].requests) == 2 else []),
    ]
    providers[0].pause = asyncio.Event()
    asking = asyncio.create_task(stream_of(gateway, n=2))
    async with asyncio.timeout(5):
        while providers[0].paused < 2:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    providers[0].pause.set()
    events = await asking
    assert isinstance(events[-1], dict)
    assert "error" in events[-1]
    assert "[DONE]" not in events
    (record,) = await gateway.settled(1)
    assert record.outcome == "upstream_error"


async def test_not_more_than_eight_are_under_way_at_a_time(
    gateway: Running, providers: tuple[ToyProvider, ToyProvider]
) -> None:
    providers[0].wait = asyncio.Event()
    asking = asyncio.create_task(gateway.chat({**ASKED, "n": 20}))
    async with asyncio.timeout(5):
        while providers[0].under_way < 8:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert providers[0].under_way == 8
    providers[0].wait.set()
    assert len((await asking).json()["choices"]) == 20
    assert providers[0].most == 8


async def test_a_client_that_leaves_ends_all_calls(
    gateway: Running, providers: tuple[ToyProvider, ToyProvider]
) -> None:
    providers[0].wait = asyncio.Event()
    asking = asyncio.create_task(gateway.chat({**ASKED, "n": 4}))
    async with asyncio.timeout(5):
        while providers[0].under_way < 4:
            await asyncio.sleep(0.005)
    asking.cancel()
    (record,) = await gateway.settled(1)
    assert (record.outcome, [a.cancelled for a in record.attempts]) == ("cancelled", [True] * 4)
    report = gateway.app.health.load(0.0)
    assert all(burden.inflight == 0 for burden in report.values())
    providers[0].wait.set()


async def test_where_limits_have_no_room_for_all_another_deployment_is_asked(
    providers: tuple[ToyProvider, ToyProvider],
) -> None:
    world = world_of(*providers, more=", limits: {rpm: 18}")
    async with serving(world) as gateway:
        first = await gateway.chat({**ASKED, "n": 2})
        assert len(first.json()["choices"]) == 2
        second = await gateway.chat({**ASKED, "n": 2})
        assert (second.status_code, len(second.json()["choices"])) == (200, 2)
        records = await gateway.settled(2)
        assert [record.deployment for record in records] == ["d0", "d1"]


async def test_what_each_choice_wants_back_is_kept(
    gateway: Running, providers: tuple[ToyProvider, ToyProvider]
) -> None:
    counting(providers[0])
    body = (await gateway.chat({**ASKED, "n": 2})).json()
    providers[0].answer = answer_to
    for choice in body["choices"]:
        said = {"role": "assistant", "content": choice["message"]["content"]}
        turn = [*ASKED["messages"], said, {"role": "user", "content": "more"}]
        assert (await gateway.chat({"model": "auto", "messages": turn})).status_code == 200


# --- the parts --------------------------------------------------------------------------------------------------


def test_choices_are_asked_for_at_once_where_that_can_be_said_and_done() -> None:
    assert takes_choices(make.deployment("a"))
    assert takes_choices(make.deployment("a", capabilities=frozenset({"choices"})))
    assert not takes_choices(make.deployment("a", capabilities=frozenset({"tools"})))
    assert not takes_choices(make.deployment("a", cannot=frozenset({"choices"})))


def test_a_call_for_one_choice_has_no_number_and_an_id_of_its_own() -> None:
    call = make.call(fields={"n": 3, "stream": True, "stream_options": {"include_usage": True}}, include_usage=True)
    first, second = alone(call, 0), alone(call, 1)
    assert first.fields == {"model": "auto", "messages": call.fields["messages"], "stream": True}
    assert (first.include_usage, call.fields["n"]) == (False, 3)
    assert len({call.id, first.id, second.id}) == 3
    assert int(first.id[:12], 16) == int(call.id[:12], 16)


def test_answers_become_one() -> None:
    bodies = [
        {"id": f"i{n}", "model": "m", "choices": [{"index": 0, "message": {"content": str(n)}}], "usage": {}}
        for n in range(2)
    ]
    usages = [Usage(10, 5, cached_input=3), Usage(10, 7, estimated=True)]
    answers = [
        Answer(msgspec.json.encode(body), "m", usage, "stop", 4) for body, usage in zip(bodies, usages, strict=True)
    ]
    whole = together(answers)
    body = json.loads(whole.body)
    assert (body["id"], [c["index"] for c in body["choices"]]) == ("i0", [0, 1])
    assert body["usage"]["total_tokens"] == 32
    assert (whole.usage, whole.output_bytes, whole.finish) == (Usage(20, 12, cached_input=3, estimated=True), 8, "stop")
    unknown = together([answers[0], Answer(answers[1].body, "m", None, "stop", 4)])
    assert (unknown.usage, "usage" in json.loads(unknown.body)) == (None, False)


def test_what_is_not_known_of_one_is_not_known_of_all() -> None:
    assert total([]) is None
    assert total([Usage(1, 2), None]) is None
    assert total([Usage(1, 2), Usage(3, 4)]) == Usage(4, 6)


def test_chunks_get_their_number_and_one_envelope() -> None:
    numbering = Numbering()
    one = b'data: {"id":"a","created":1,"model":"m","choices":[{"index":0,"delta":{}}]}\n\n'
    other = one.replace(b'"a"', b'"b"') + b': comment\n\ndata: {"id":"b","choices":[],"usage":{}}\n\n'
    assert numbering.number(one, 1) == one.replace(b'"index":0', b'"index":1')
    assert numbering.number(other, 0) == one
    assert numbering.number(b"", 0) == b""
