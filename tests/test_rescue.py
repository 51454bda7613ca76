"""Streams that break off after content went out, on real sockets: gone on with as one answer, or told in the stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import openai
import pytest

from gateway.testing.acts import Act, Send, Wait
from gateway.testing.faults import Cut, InBandError, NoDone, refusal
from gateway.testing.prompt import Prompt
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider
from gateway.types import Call, Deployment, Native, Usage
from gateway.upstream.rescue import Rescue
from tests import make
from tests.gateway import BODY, Running, against

TEXT = "one two three four five six"
STREAM = {**BODY, "stream": True}
CUT = Script(fault=Cut(after=3), text=TEXT)
#: ``p`` and ``q`` go on from the beginning of an answer, ``a`` and ``b`` do not.
ABLE = (
    "  p: {provider: sim, model: p, price: {input: 5, output: 6}, prefill: true}\n"
    "  q: {provider: sim, model: q, price: {input: 5, output: 6}, prefill: true}\n"
)


class ErrorAfterFinish:
    """The answer is whole, but an error comes where its end should be."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in NoDone().rewrite(acts, prompt):
            if isinstance(act, Send) and act.part == "usage":
                yield Send(b"data: " + refusal(200, "server_error", None, "Too late.").body + b"\n\n")
            yield act


class LateDone:
    """The finish reason is read before anything that follows it."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in acts:
            if isinstance(act, Send) and act.part in ("content", "usage"):
                yield Wait(0.05)
            yield act


class OtherArguments:
    """A tool is called with other arguments."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in acts:
            if isinstance(act, Send) and act.part == "content":
                yield Send(act.data.replace(b"city", b"town"), act.part)
            else:
                yield act


@asynccontextmanager
async def pool(names: str, rescue: str = "continue") -> AsyncIterator[tuple[Running, SimulatedProvider]]:
    """A gateway that tries these in order; the first of them breaks off after three words."""
    config = f"{ABLE}routes: [{{name: r, policy: {{pool: [{names}], rescue: {rescue}}}}}]"
    async with against(config) as (gateway, provider):
        provider.script("*", Script(text=TEXT))
        provider.script(names[0], CUT)
        yield gateway, provider


def chunks(text: str) -> list[Any]:
    return [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n") if event.startswith("data: {")]


def text_of(said: list[Any]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in said if c.get("choices"))


def finishes(said: list[Any]) -> list[str]:
    return [c["choices"][0]["finish_reason"] for c in said if c.get("choices") and c["choices"][0]["finish_reason"]]


async def told(gateway: Running, code: str, **more: Any) -> str:
    """The text before a break that the client was told of in the stream, and no other end of it."""
    response = await gateway.chat({**STREAM, **more})
    *said, error = chunks(response.text)
    assert (response.status_code, error["error"]["code"]) == (200, code)
    assert finishes(said) == []
    assert "[DONE]" not in response.text
    return text_of(said)


# --- gone on with ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "rescue"), [("a, p", "continue"), ("a, b", "splice"), ("a, p", "splice")])
async def test_another_goes_on_and_the_sdk_sees_one_answer(names: str, rescue: str) -> None:
    async with pool(names, rescue) as (gateway, provider), gateway.sdk() as client:
        stream = client.chat.completions.stream(model="auto", messages=[{"role": "user", "content": "Hello!"}])
        async with stream as events:
            final = await events.get_final_completion()
        assert (final.choices[0].message.content, final.choices[0].finish_reason) == (TEXT, "stop")
        assert final.id == "chatcmpl-sim-1"
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.deployment, record.served_model) == ("fallback_ok", names[-1], names[-1])
        assert [(a.deployment, a.failure and a.failure.kind) for a in record.attempts] == [
            ("a", "truncated"),
            (names[-1], None),
        ]
        (leg,) = provider.asked(names[-1])
        beginning = [{"role": "assistant", "content": "one two three"}] if names[-1] == "p" else []
        assert leg.fields["messages"] == [*BODY["messages"], *beginning]


@pytest.mark.parametrize(("names", "rescue"), [("a, p", "continue"), ("a, b", "splice")])
async def test_its_role_its_id_its_finish_and_its_end_come_once(names: str, rescue: str) -> None:
    async with pool(names, rescue) as (gateway, _):
        text = (await gateway.chat(STREAM)).text
    said = chunks(text)
    assert text_of(said) == TEXT
    assert [c["choices"][0]["delta"]["role"] for c in said if c["choices"][0]["delta"].get("role")] == ["assistant"]
    assert ({c["id"] for c in said}, finishes(said), text.count("[DONE]")) == ({"chatcmpl-sim-1"}, ["stop"], 1)


@pytest.mark.parametrize(("names", "rescue"), [("a, p", "continue"), ("a, b", "splice")])
async def test_the_client_is_told_once_of_the_usage_of_both_and_the_record_has_it_and_its_price(
    names: str, rescue: str
) -> None:
    async with pool(names, rescue) as (gateway, provider):
        provider.script(names[-1], Script(text=TEXT, usage=Usage(20, 9, cached_input=4, reasoning=2)))
        text = (await gateway.chat({**STREAM, "stream_options": {"include_usage": True}})).text
        (record,) = await gateway.settled(1)
    first, second = record.attempts
    assert first.usage is not None
    assert (first.usage.estimated, first.usage.output) == (True, len("one two three") // 4)
    assert second.usage == Usage(20, 9, cached_input=4, reasoning=2)
    assert record.usage == Usage(
        first.usage.input + 20, first.usage.output + 9, cached_input=4, reasoning=2, estimated=True
    )
    (usage,) = [c["usage"] for c in chunks(text) if c.get("usage")]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (record.usage.input, record.usage.output)
    assert usage["total_tokens"] == record.usage.input + record.usage.output
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2
    prices = {"a": (1, 2), "b": (3, 4), "p": (5, 6)}[names[-1]]
    assert first.cost == first.usage.input + 2 * first.usage.output
    assert second.cost is not None
    assert record.cost == first.cost + second.cost
    assert second.cost == 20 * prices[0] + 9 * prices[1]


async def test_an_answer_may_be_broken_off_twice() -> None:
    async with pool("a, p, q") as (gateway, provider):
        provider.script("p", Script(fault=Cut(after=2), text=TEXT))
        said = chunks((await gateway.chat(STREAM)).text)
        assert (text_of(said), finishes(said)) == (TEXT, ["stop"])
        (last,) = provider.asked("q")
        assert last.fields["messages"][-1]["content"] == "one two three four five"


async def test_who_turns_out_to_take_no_beginning_answers_anew_and_is_not_given_one_again() -> None:
    async with pool("a, p", "splice") as (gateway, provider):
        provider.script("p", Script(fault="prefill_refused", text=TEXT))
        for _ in range(2):
            assert text_of(chunks((await gateway.chat(STREAM)).text)) == TEXT
        assert [len(r.fields["messages"]) for r in provider.asked("p")] == [2, 1, 1]


async def test_what_the_second_thinks_is_not_the_clients() -> None:
    async with pool("a, p") as (gateway, provider):
        provider.script("a", Script(fault=Cut(after=5), text=TEXT, reasoning="hm well"))
        provider.script("p", Script(text=TEXT, reasoning="let me see"))
        said = chunks((await gateway.chat(STREAM)).text)
    thought = [d for c in said if (d := c["choices"][0]["delta"].get("reasoning_content"))]
    assert ("".join(thought), text_of(said), finishes(said)) == ("hm well", TEXT, ["stop"])


# --- told -----------------------------------------------------------------------------------------------------------


async def test_an_answer_made_anew_that_differs_is_no_answer_and_the_first_break_is_told() -> None:
    async with pool("a, b", "splice") as (gateway, provider):
        provider.script("b", Script(text="one two 3 four"))
        assert await told(gateway, "upstream_truncated") == "one two three"
        (record,) = await gateway.settled(1)
        assert (record.outcome, record.error, record.deployment, record.served_model) == (
            "upstream_error",
            "truncated",
            "a",
            "a",
        )
        assert [a.failure and a.failure.kind for a in record.attempts] == ["truncated", "rejected", "truncated"]


async def test_nothing_of_an_answer_that_differed_gets_into_the_next() -> None:
    async with pool("a, b, p", "splice") as (gateway, provider):
        provider.script("b", Script(text="one two-three-and-more-of-it-than-went-out", fault=LateDone()))
        said = chunks((await gateway.chat(STREAM)).text)
        assert (text_of(said), finishes(said)) == (TEXT, ["stop"])
        assert provider.asked("p")[0].fields["messages"][-1]["content"] == "one two three"


@pytest.mark.parametrize("text", ["one two", ""])
async def test_an_answer_made_anew_that_ends_before_what_is_known_has_no_end(text: str) -> None:
    async with pool("a, b", "splice") as (gateway, provider):
        provider.script("b", Script(text=text, fault=LateDone()))
        assert await told(gateway, "upstream_truncated") == "one two three"


async def test_who_takes_no_beginning_says_so_to_the_gateway_alone() -> None:
    async with pool("a, p") as (gateway, provider):
        provider.script("p", Script(fault="prefill_refused", text=TEXT))
        assert await told(gateway, "upstream_truncated") == "one two three"
        (record,) = await gateway.settled(1)
        assert (record.error, record.deployment) == ("truncated", "a")


@pytest.mark.parametrize(("names", "rescue"), [("a, p", "off"), ("a, b", "continue")])
async def test_nobody_else_is_asked_where_that_is_off_or_nobody_is_able(names: str, rescue: str) -> None:
    async with pool(names, rescue) as (gateway, provider):
        assert await told(gateway, "upstream_truncated") == "one two three"
        assert provider.asked(names[-1]) == []


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"tools": [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]}
JSON_TEXT: Any = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize(("asked", "rescue"), [(JSON_TEXT, "continue"), (TOOL, "continue"), ({"n": 2}, "splice")])
async def test_half_a_tool_call_and_half_a_json_text_are_no_beginning_and_one_of_several_choices_is_none(
    asked: Any, rescue: str
) -> None:
    async with pool("a, p", rescue) as (gateway, provider):
        provider.script("a", Script(fault=Cut(after=1)))
        await told(gateway, "upstream_truncated", **asked)
        assert provider.asked("p") == []


@pytest.mark.parametrize("after", [1, 2])
async def test_a_tool_call_that_breaks_off_is_made_anew_and_is_one_call_for_the_client(after: int) -> None:
    async with pool("a, p", "splice") as (gateway, provider):
        provider.script("a", Script(fault=Cut(after=after)))
        provider.script("p", Script())
        async with gateway.sdk() as sdk, sdk.chat.completions.stream(**BODY, **TOOL) as stream:
            final = await stream.get_final_completion()
        calls: Any = final.choices[0].message.tool_calls
        (call,) = calls
        assert (call.function.name, json.loads(call.function.arguments)) == ("look_up", {"city": "city"})
        assert (final.choices[0].finish_reason, final.choices[0].message.content) == ("tool_calls", None)
        assert provider.asked("p")[0].fields["messages"][-1]["role"] == "user"


async def test_a_tool_call_may_be_broken_off_twice_and_no_argument_comes_twice() -> None:
    async with pool("a, b, p", "splice") as (gateway, provider):
        provider.script("a", Script(fault=Cut(after=1)))
        provider.script("b", Script(fault=Cut(after=2)))
        provider.script("p", Script())
        async with gateway.sdk() as sdk, sdk.chat.completions.stream(**BODY, **TOOL) as stream:
            final = await stream.get_final_completion()
        (record,) = await gateway.settled(1)
        (call,) = final.choices[0].message.tool_calls or []
        assert json.loads(call.function.arguments) == {"city": "city"}
        assert [a.deployment for a in record.attempts] == ["a", "b", "a", "p"]


async def test_a_tool_call_with_other_arguments_is_another_call_and_the_first_break_is_told() -> None:
    async with pool("a, p", "splice") as (gateway, provider):
        provider.script("a", Script(fault=Cut(after=2)))
        provider.script("p", Script(fault=OtherArguments()))
        await told(gateway, "upstream_truncated", **TOOL)
        (record,) = await gateway.settled(1)
        assert [a.failure and a.failure.kind for a in record.attempts] == ["truncated", "rejected", "truncated"]


async def test_json_that_breaks_off_is_made_anew() -> None:
    async with pool("a, p", "splice") as (gateway, provider):
        provider.script("a", Script(fault=Cut(after=2)))
        provider.script("p", Script())
        said = chunks((await gateway.chat({**STREAM, **JSON_TEXT})).text)
        assert "answer" in json.loads(text_of(said))
        assert finishes(said) == ["stop"]


@pytest.mark.parametrize("fault", [InBandError(after=3), Cut(after=3, reset=True), Cut(after=3)])
async def test_however_it_breaks_off_it_is_gone_on_with(fault: Any) -> None:
    async with pool("a, p") as (gateway, provider):
        provider.script("a", Script(fault=fault, text=TEXT))
        said = chunks((await gateway.chat(STREAM)).text)
        assert (text_of(said), finishes(said)) == (TEXT, ["stop"])


async def test_what_has_its_finish_reason_is_not_gone_on_with() -> None:
    async with pool("a, p") as (gateway, provider), gateway.sdk() as client:
        provider.script("a", Script(fault=ErrorAfterFinish(), text=TEXT))
        said = chunks((await gateway.chat(STREAM)).text)
        assert (finishes(said), provider.asked("p")) == (["stop"], [])
        with pytest.raises(openai.APIError):
            _ = [c async for c in await client.chat.completions.create(**BODY, stream=True)]


def test_what_is_to_go_on_with_a_stream_is_asked_and_read_in_canonical_words() -> None:
    """Its provider may speak the client's own dialect: a second beginning in that could not be left out again."""
    asked: list[Call] = []

    class Spoken:
        def feed(self, call: Call, deployment: Deployment) -> object:
            asked.append(call)
            return object()

    target = SimpleNamespace(protocol=Spoken(), deployment=make.deployment("a"))
    call = make.call(dialect="anthropic", native=Native({"messages": []}))
    rescue = Rescue("splice", call, cast(Any, {"a": target}), cast(Any, None))
    rescue.carried = True
    (leg, _) = rescue.leg(cast(Any, SimpleNamespace(target=target, rescue=None)), call, None)
    assert (leg.native, leg.fields, asked) == (None, call.fields, [leg])
