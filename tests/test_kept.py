"""What a provider wants back comes back, from clients that do not send it: over replicas, and to its caller alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.cache import kept
from gateway.config.load import load_text
from gateway.keys.form import mint
from gateway.providers.protocol import Kept
from gateway.state import recollection
from gateway.state.memory import Memory
from gateway.state.over_redis import Redis
from gateway.story import ANONYMOUS
from gateway.types import Caller
from tests import make
from tests.gateway import Running, serving
from tests.redis_server import TROUBLES, RedisServer, redis_server
from tests.toy import ToyProvider, spoken, toy_provider

__all__ = ["redis_server"]

Message = dict[str, Any]

ALICE, ALICES = mint("alice")
BOB, BOBS = mint("bob")


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def bare(answer: Message) -> Message:
    """What a client sends back that knows only what OpenAI has published."""
    return {name: answer[name] for name in ("role", "content", "tool_calls") if name in answer}


async def ask(gateway: Running, *messages: Message, stream: bool = False, key: str = "none") -> Message:
    """The answer's message. Raises what the SDK raises."""
    asked: Any = {"model": "auto", "messages": messages}
    async with gateway.sdk(key) as sdk:
        if stream:
            async with sdk.chat.completions.stream(**asked) as events:
                final: Any = await events.get_final_completion()
        else:
            final = await sdk.chat.completions.create(**asked)
    message: Message = final.choices[0].message.model_dump(exclude_none=True)
    return message


def results(answer: Message) -> list[Message]:
    return [{"role": "tool", "tool_call_id": call["id"], "content": "found"} for call in answer["tool_calls"]]


def world_of(provider: ToyProvider, state: str = "", keys: bool = False) -> Any:
    text = (
        f"providers: {{toy: {{kind: toy, base_url: {provider.url}, allow_private: true}}}}\n"
        "deployments: {t: {provider: toy, model: toy-model, price: {input: 1, output: 2}}}\n"
        f"{f'state: {state}' if state else ''}\n"
    )
    if keys:
        text += f"keys: [{{id: alice, secret_hash: {ALICES}}}, {{id: bob, secret_hash: {BOBS}}}]\n"
    return load_text(text, {})


@pytest.fixture
async def provider() -> AsyncIterator[ToyProvider]:
    with spoken():
        async with toy_provider() as running:
            yield running


@pytest.fixture
async def gateway(provider: ToyProvider) -> AsyncIterator[Running]:
    async with serving(world_of(provider)) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_sends_back_tool_calls_alone_is_served(
    gateway: Running, provider: ToyProvider, stream: bool
) -> None:
    answer = await ask(gateway, user("a tool"), stream=stream)
    assert "signed" in str(answer["extra_content"])
    again = await ask(gateway, user("a tool"), bare(answer), *results(answer), stream=stream)
    assert again["content"] == "Answer 3."
    sent = provider.requests[-1]["turns"][1]
    assert sent["blocks"] == answer["extra_content"]["toy"]["content"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_sends_back_text_alone_is_served(gateway: Running, stream: bool) -> None:
    said = [user("hello")]
    for _ in range(3):
        answer = await ask(gateway, *said, stream=stream)
        said += [bare(answer), user("and then?")]
    assert answer["content"] == "Answer 5."


async def test_what_is_kept_and_given_back_is_counted(gateway: Running) -> None:
    answer = await ask(gateway, user("hello"))
    await ask(gateway, user("hello"), bare(answer), user("more"))
    scraped = (await gateway.http.get(f"{gateway.admin}/metrics")).text
    assert {line for line in scraped.split("\n") if line.startswith("gateway_kept_total{")} == {
        'gateway_kept_total{result="remembered"} 2.0',
        'gateway_kept_total{result="recalled"} 1.0',
        'gateway_kept_total{result="lost"} 0.0',
    }


async def test_a_client_that_sends_everything_back_needs_no_memory(gateway: Running) -> None:
    answer = await ask(gateway, user("hello"))
    gateway.app._state.remembered._by.clear()  # type: ignore[attr-defined]
    assert (await ask(gateway, user("hello"), answer, user("more")))["content"] == "Answer 3."
    assert len(gateway.app._state.remembered) == 0  # type: ignore[attr-defined]


async def test_what_was_never_answered_here_is_told_by_the_provider(gateway: Running, provider: ToyProvider) -> None:
    refused = await gateway.chat(
        {"model": "auto", "messages": [user("a"), bare({"role": "assistant", "content": "b"}), user("c")]}
    )
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "a turn has not the signature that it was given",
    )


async def test_one_caller_never_gets_what_another_was_answered(provider: ToyProvider) -> None:
    async with serving(world_of(provider, keys=True)) as gateway:
        answer = await ask(gateway, user("a tool"), key=ALICE)
        text = await ask(gateway, user("hello"), key=ALICE)
        for turn in ([user("a tool"), bare(answer), *results(answer)], [user("hello"), bare(text), user("more")]):
            assert (await ask(gateway, *turn, key=ALICE))["content"] == "Answer 3."
            asked = await gateway.chat({"model": "auto", "messages": turn}, authorization=f"Bearer {BOB}")
            assert asked.status_code == 400
            assert "signed" not in str(provider.requests[-1])


async def test_a_stream_that_its_client_leaves_at_the_end_is_kept(gateway: Running, provider: ToyProvider) -> None:
    body = {"model": "auto", "messages": [user("a tool")], "stream": True}
    async with gateway.http.stream("POST", f"{gateway.url}/v1/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if 'finish_reason":"tool_calls' in line:
                break
    await gateway.settled(1)
    calls = [
        {"id": f"toy_1_{n}", "type": "function", "function": {"name": "look", "arguments": f'{{"n": {n}}}'}}
        for n in range(2)
    ]
    answer = {"role": "assistant", "content": "Answer 1.", "tool_calls": calls}
    assert (await ask(gateway, user("a tool"), answer, *results(answer)))["content"] == "Answer 3."


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_turn_may_come_to_another_replica(
    provider: ToyProvider, redis_server: RedisServer, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is asked here is what they share, not how long a busy machine takes over it.
    monkeypatch.setattr(recollection, "RECALL_S", 5.0)
    monkeypatch.setitem(Redis.__init__.__kwdefaults__ or {}, "command_s", 5.0)
    async with AsyncExitStack() as stack:
        fleet = [await stack.enter_async_context(serving(world_of(provider, redis_server.url))) for _ in range(2)]
        for replica in fleet:
            await up(replica)
        said = [user("a tool")]
        for n in range(6):
            answer = await ask(fleet[n % 2], *said, stream=stream)
            said += [bare(answer), *results(answer), user("a tool")]
        assert answer["content"] == "Answer 11."


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
async def test_without_redis_each_replica_knows_its_own_answers_and_nobody_waits(
    provider: ToyProvider, redis_server: RedisServer, trouble: str
) -> None:
    async with serving(world_of(provider, redis_server.url)) as gateway:
        await up(gateway)
        TROUBLES[trouble].begin(redis_server)
        answer = await ask(gateway, user("a tool"))
        assert (await ask(gateway, user("a tool"), bare(answer), *results(answer)))["content"] == "Answer 3."
        unknown = [user("a"), {"role": "assistant", "content": "b"}, user("c")]
        asked = await gateway.chat({"model": "auto", "messages": unknown})
        assert asked.status_code == 400
        assert gateway.app.state().forgotten >= 1
        assert gateway.records()[-1].overhead_s < 0.5
        TROUBLES[trouble].end(redis_server)


async def up(gateway: Running) -> None:
    async with asyncio.timeout(5):
        while not gateway.app.state().up:
            await asyncio.sleep(0.01)


# --- the keys ---------------------------------------------------------------------------------------------------

TEAM = Caller("team")


async def restored(
    store: Memory, caller: Caller, *messages: Message, dialects: frozenset[str] = frozenset({"toy"})
) -> list[Any]:
    """What of each message was filled in."""
    call = make.call(fields={"messages": list(messages)})
    back = await kept.restore(store, caller, call, dialects)
    assert [{**m, "extra_content": None} for m in back.fields["messages"]] == [
        {**m, "extra_content": None} for m in messages
    ]
    return [m.get("extra_content") for m in back.fields["messages"]]


def assistant(text: str | None = None, *calls: str) -> Message:
    message: Message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in calls
        ]
    return message


def remembered(caller: Caller, *messages: Message, calls: tuple[str, ...] = (), text: str = "") -> Memory:
    store = Memory()
    call = make.call(fields={"messages": list(messages)})
    kept.keep(store, caller, call, Kept({"toy": [{"signed": "x"}], "other": [1]}, calls, text))
    return store


TOY = {"toy": {"content": [{"signed": "x"}]}}


async def test_what_was_put_back_makes_the_call_longer() -> None:
    store = remembered(TEAM, user("hi"), text="t")
    call = make.call(fields={"messages": [user("hi"), assistant("t")]})
    back = await kept.restore(store, TEAM, call, frozenset({"toy"}))
    assert back.added >= len(json.dumps(TOY["toy"]["content"], separators=(",", ":")))
    assert (await kept.restore(store, TEAM, call, frozenset({"else"}))).added == 0


async def test_any_call_of_a_turn_finds_it_for_a_caller_who_is_known_in_any_conversation() -> None:
    store = remembered(TEAM, user("hi"), calls=("a", "b"), text="t")
    assert await restored(store, TEAM, user("shortened"), assistant(None, "b")) == [None, TOY]
    assert await restored(store, TEAM, user("hi"), assistant("t", "c")) == [None, None]


async def test_where_nobody_is_told_apart_a_call_counts_in_its_conversation_alone() -> None:
    store = remembered(ANONYMOUS, user("hi"), calls=("call_0",))
    assert await restored(store, ANONYMOUS, user("hi"), assistant(None, "call_0")) == [None, TOY]
    assert await restored(store, ANONYMOUS, user("ho"), assistant(None, "call_0")) == [None, None]


async def test_a_text_counts_in_its_conversation_alone_whatever_is_cached_and_however_it_is_cut() -> None:
    cached = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}
    plain = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    store = remembered(TEAM, cached, text="Well, yes.\n")
    parts = {"role": "assistant", "content": [{"type": "text", "text": "Well,"}, {"type": "text", "text": " yes."}]}
    assert await restored(store, TEAM, plain, parts) == [None, TOY]
    assert await restored(store, TEAM, plain, assistant("Well, yes."), user("more")) == [None, TOY, None]
    assert await restored(store, TEAM, user("ho"), assistant("Well, yes.")) == [None, None]
    assert await restored(store, TEAM, {"role": "system", "content": "x"}, plain, parts) == [None, None, None]


async def test_only_what_a_planned_protocol_reads_is_filled_in() -> None:
    store = remembered(TEAM, user("hi"), text="t")
    assert await restored(store, TEAM, user("hi"), assistant("t"), dialects=frozenset({"else"})) == [None, None]
    both = await restored(store, TEAM, user("hi"), assistant("t"), dialects=frozenset({"toy", "other"}))
    assert both == [None, {**TOY, "other": {"content": [1]}}]


async def test_who_sends_it_back_is_left_alone_and_needs_no_keeping() -> None:
    store = remembered(TEAM, user("hi"), text="t")
    own = {**assistant("t"), "extra_content": {"toy": {"content": ["own"]}}}
    thinking = {**assistant("t"), "thinking_blocks": [{"type": "thinking"}]}
    assert await restored(store, TEAM, user("hi"), own, thinking) == [None, own["extra_content"], None]
    assert len(remembered(TEAM, user("hi"), own, user("more"), text="t").remembered) == 0
    assert len(remembered(TEAM, user("hi"), calls=(), text=" ").remembered) == 0


async def test_what_came_in_the_clients_own_words_is_not_kept() -> None:
    store = Memory()
    call = make.call(dialect="toy")
    kept.keep(store, TEAM, call, Kept({"toy": [1]}, (), "t"))
    assert len(store.remembered) == 0


async def test_a_long_conversation_is_asked_for_at_once() -> None:
    asked: list[int] = []

    class Counting(Memory):
        blank = False

        async def recall(self, caller: str, keys: Any) -> Any:
            asked.append(len(keys))
            return await super().recall(caller, keys)

    messages = [message for n in range(1000) for message in (user("hi"), assistant(f"t{n}"))]
    await restored(Counting(), TEAM, *messages)
    assert asked == [kept.NEWEST]
