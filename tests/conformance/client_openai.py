"""OpenAI's SDK before providers of every protocol. Read next: client_base.py, what is shared with the other clients."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import openai
from pydantic import BaseModel

from tests.conformance.client_base import (
    CITY,
    KEY,
    NARROW_KEY,
    PIXEL,
    PROTOCOLS,
    SAID,
    SYSTEM,
    THOUGHT,
    WEATHER_ARGUMENTS,
    Ask,
    judge,
    promise,
    raised,
)

PLAIN: Final[Any] = {"max_retries": 0, "timeout": 20}
WEATHER: Final[Any] = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
CLOCK: Final[Any] = {"type": "function", "function": {"name": "clock", "description": "The time."}}
#: A document, as far as anybody looks.
PDF: Final = "JVBERi0xLjQKJSBhIGRvY3VtZW50IG9mIG5vIHBhZ2VzCg=="


class Place(BaseModel):
    """What a structured answer must be."""

    city: str
    degrees: int


def client(ask: Ask, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{ask.gateway}/v1", api_key=key, **PLAIN)


def turns(ask: Ask, said: str, *before: Any) -> Any:
    return [*before, {"role": "user", "content": ask.words(said)}]


def put_together(chunks: list[Any]) -> tuple[str, list[str]]:
    """The text, and the reasons why it ended."""
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    return "".join(one.delta.content or "" for one in choices), [
        one.finish_reason for one in choices if one.finish_reason
    ]


def calls_of(choice: Any) -> list[Any]:
    return list(choice.message.tool_calls or [])


@promise()
def a_chat_is_answered_and_counted(ask: Ask) -> None:
    with client(ask) as at:
        messages = turns(ask, "Say hello", {"role": "system", "content": SYSTEM})
        raw = at.chat.completions.with_raw_response.create(model=ask.model, messages=messages)
    answer = raw.parse()
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", SAID, "stop")
    assert answer.usage is not None
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (11, 7, 18), usage
    assert raw.headers["x-gateway-routed-model"] == f"at.{ask.model}"
    assert raw.headers["x-gateway-decision-id"] == answer._request_id
    ask.holds_system()


@promise()
def a_stream_is_whole(ask: Ask) -> None:
    with client(ask) as at:
        chunks = list(at.chat.completions.create(model=ask.model, messages=turns(ask, "Say hello"), stream=True))
    assert put_together(chunks) == (SAID, ["stop"])
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert len({chunk.id for chunk in chunks}) == 1


# aimock counts only when asked to, and Mistral, which always counts, is not asked to.
@promise(of=[name for name in PROTOCOLS if name != "mistral"])
async def an_asynchronous_stream_has_its_usage_last(ask: Ask) -> None:
    async with openai.AsyncOpenAI(base_url=f"{ask.gateway}/v1", api_key=KEY, **PLAIN) as at:
        stream = await at.chat.completions.create(
            model=ask.model,
            messages=turns(ask, "Say hello"),
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert put_together(chunks) == (SAID, ["stop"])
    *others, last = chunks
    assert not last.choices
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (11, 7), last.usage
    assert [chunk.usage for chunk in others] == [None] * len(others)


@promise()
def an_answer_that_was_cut_short_says_so(ask: Ask) -> None:
    with client(ask) as at:
        messages = turns(ask, "Cut this short")
        whole = at.chat.completions.create(model=ask.model, messages=messages, max_tokens=5).choices[0]
        chunks = list(at.chat.completions.create(model=ask.model, messages=messages, max_tokens=5, stream=True))
    assert (whole.message.content, whole.finish_reason) == ("It was a dark and", "length")
    assert put_together(chunks) == ("It was a dark and", ["length"])


@promise()
def a_tool_is_called_and_its_result_comes_back(ask: Ask) -> None:
    with client(ask) as at:
        messages = turns(ask, "weather in Berlin", {"role": "system", "content": SYSTEM})
        first = at.chat.completions.create(model=ask.model, messages=messages, tools=[WEATHER]).choices[0]
        assert first.finish_reason == "tool_calls"
        (call,) = calls_of(first)
        assert (call.type, call.function.name) == ("function", "weather")
        assert json.loads(call.function.arguments) == WEATHER_ARGUMENTS
        result: Any = {"role": "tool", "tool_call_id": call.id, "content": '{"sky": "blau"}'}
        history = [*messages, first.message, result]
        last = at.chat.completions.create(model=ask.model, messages=history, tools=[WEATHER]).choices[0]
    assert (last.message.content, last.finish_reason) == ("It is sunny in Berlin.", "stop")
    ask.holds_results(["weather"], ['{"sky": "blau"}'])


@promise()
def a_streamed_tool_call_is_put_together(ask: Ask) -> None:
    with (
        client(ask) as at,
        at.chat.completions.stream(
            model=ask.model, messages=turns(ask, "weather in Berlin"), tools=[WEATHER], tool_choice="required"
        ) as stream,
    ):
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    (call,) = calls_of(final)
    assert json.loads(call.function.arguments) == WEATHER_ARGUMENTS
    assert call.id


@promise()
def two_tools_are_called_at_once(ask: Ask) -> None:
    messages = turns(ask, "Compare Berlin and Rome")
    with client(ask) as at:
        whole = at.chat.completions.create(model=ask.model, messages=messages, tools=[WEATHER]).choices[0]
        with at.chat.completions.stream(model=ask.model, messages=messages, tools=[WEATHER]) as stream:
            streamed = stream.get_final_completion().choices[0]
        for choice in (whole, streamed):
            calls = calls_of(choice)
            assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Berlin"}, {"city": "Rome"}]
            assert len({call.id for call in calls}) == 2
        results: Any = [
            {"role": "tool", "tool_call_id": call.id, "content": f"{n} degrees"}
            for n, call in enumerate(calls_of(whole))
        ]
        history = [*messages, whole.message, *results]
        last = at.chat.completions.create(model=ask.model, messages=history, tools=[WEATHER]).choices[0]
    assert last.message.content == "Rome is warmer."
    ask.holds_results(["weather", "weather"], ["0 degrees", "1 degrees"])


@promise()
def a_tool_without_parameters_is_called(ask: Ask) -> None:
    messages = turns(ask, "What time is it")
    with client(ask) as at:
        whole = at.chat.completions.create(model=ask.model, messages=messages, tools=[CLOCK]).choices[0]
        with at.chat.completions.stream(model=ask.model, messages=messages, tools=[CLOCK]) as stream:
            streamed = stream.get_final_completion().choices[0]
    for choice in (whole, streamed):
        (call,) = calls_of(choice)
        assert (call.function.name, json.loads(call.function.arguments)) == ("clock", {})


@promise()
def a_structured_answer_is_parsed(ask: Ask) -> None:
    with client(ask) as at:
        messages = turns(ask, "Where is it")
        whole = at.chat.completions.parse(model=ask.model, messages=messages, response_format=Place).choices[0]
        with at.chat.completions.stream(model=ask.model, messages=messages, response_format=Place) as stream:
            streamed = stream.get_final_completion().choices[0]
    for choice in (whole, streamed):
        assert (choice.message.parsed, choice.finish_reason) == (Place(city="Paris", degrees=21), "stop")
        assert not choice.message.tool_calls


@promise()
def a_json_object_is_one(ask: Ask) -> None:
    with client(ask) as at:
        answer = at.chat.completions.create(
            model=ask.model, messages=turns(ask, "Where is it, as JSON"), response_format={"type": "json_object"}
        )
    assert json.loads(answer.choices[0].message.content or "") == {"city": "Paris", "degrees": 21}


@promise(of=("openai", "anthropic", "gemini", "bedrock"))
def what_was_thought_can_be_read(ask: Ask) -> None:
    messages = turns(ask, "Think hard")
    with client(ask) as at:
        extra: Any = {"model": ask.model, "messages": messages, "reasoning_effort": "low"}
        whole: Any = at.chat.completions.create(**extra).choices[0]
        chunks: list[Any] = list(at.chat.completions.create(**extra, stream=True))
    assert (whole.message.content, whole.message.reasoning_content) == (SAID, THOUGHT)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == THOUGHT
    assert put_together(chunks) == (SAID, ["stop"])


@promise(of=("openai", "anthropic", "gemini", "bedrock"))
def what_was_thought_before_a_call_goes_back(ask: Ask) -> None:
    """aimock refuses a turn of Anthropic's that thinks and comes back without its signed thought."""
    messages = turns(ask, "Look and think")
    with client(ask) as at:
        extra: Any = {"model": ask.model, "tools": [WEATHER], "reasoning_effort": "low"}
        first = at.chat.completions.create(messages=messages, **extra).choices[0]
        (call,) = calls_of(first)
        result: Any = {"role": "tool", "tool_call_id": call.id, "content": "12"}
        # As a client does that knows nothing of what the gateway adds, and as one that sends back what it got.
        bare: Any = {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]}
        for turn in (first.message, bare):
            last = at.chat.completions.create(messages=[*messages, turn, result], **extra).choices[0]
            assert last.message.content == "It is mild."
    ask.holds_results(["weather"], ["12"])


@promise()
def a_picture_arrives(ask: Ask) -> None:
    parts: Any = [
        {"type": "text", "text": ask.words("What is in the picture")},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
    ]
    with client(ask) as at:
        answer = at.chat.completions.create(model=ask.model, messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "A pixel."
    ask.holds_picture()


@promise(of=[name for name in PROTOCOLS if name != "mistral"])
def a_document_arrives(ask: Ask) -> None:
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    parts: Any = [{"type": "text", "text": ask.words("Say hello")}, {"type": "file", "file": file}]
    with client(ask) as at:
        at.chat.completions.create(model=ask.model, messages=[{"role": "user", "content": parts}])
    (request,) = ask.wire()
    assert PDF in request["body"], request["body"][:300]
    assert "pdf" in request["body"]


@promise()
def a_named_tool_is_the_one_that_may_be_called(ask: Ask) -> None:
    named: Any = {"type": "function", "function": {"name": "clock"}}
    with client(ask) as at:
        answer = at.chat.completions.create(
            model=ask.model,
            messages=turns(ask, "What time is it"),
            tools=[WEATHER, CLOCK],
            tool_choice=named,
            parallel_tool_calls=False,
        )
    (call,) = calls_of(answer.choices[0])
    assert (call.function.name, answer.choices[0].finish_reason) in (("clock", "stop"), ("clock", "tool_calls"))
    (request,) = ask.wire()
    body = json.loads(request["body"])
    chosen = body.get("tool_choice") or body.get("toolConfig")
    assert '"clock"' in json.dumps(chosen), chosen


@promise()
def what_a_protocol_has_no_words_for_is_named(ask: Ask) -> None:
    with client(ask) as at:
        raw = at.chat.completions.with_raw_response.create(
            model=ask.model,
            messages=turns(ask, "Say hello"),
            seed=7,
            user="u",
            logit_bias={"1": 1},
            metadata={"a": "b"},
        )
    dropped = set((raw.headers.get("x-gateway-dropped") or "").replace(" ", "").split(",")) - {""}
    (request,) = ask.wire()
    sent = json.loads(request["body"])
    words = json.dumps(sent)
    for member in ("seed", "logit_bias"):
        assert (member in dropped) != (member in words), (member, dropped, words[:300])


@promise()
def a_provider_s_refusal_is_of_the_class_that_is_caught(ask: Ask) -> None:
    with client(ask) as at:
        for stream in (False, True):
            error = raised(
                openai.BadRequestError,
                lambda s=stream: at.chat.completions.create(  # type: ignore[misc]
                    model=ask.model, messages=turns(ask, "Break the rules"), stream=s
                ),
            )
            assert error.status_code == 400
            # aimock words Converse's errors as Anthropic would.
            assert ask.model in ("bedrock", "nova") or "against the rules" in error.message, error.message
            assert set(error.body) == {"message", "type", "param", "code"}
        limited = raised(
            openai.RateLimitError,
            lambda: at.chat.completions.create(model=ask.model, messages=turns(ask, "Come back later")),
        )
        assert limited.response.headers["retry-after"] == "1"


@promise()
def a_wrong_key_or_model_is_told_before_anybody_is_asked(ask: Ask) -> None:
    messages = turns(ask, "Say hello")
    with client(ask, "wrong") as at:
        raised(openai.AuthenticationError, lambda: at.chat.completions.create(model=ask.model, messages=messages))
    with client(ask) as at:
        error = raised(openai.NotFoundError, lambda: at.chat.completions.create(model="none", messages=messages))
        assert error.code == "model_not_found"
        raised(openai.BadRequestError, lambda: at.chat.completions.create(model=ask.model, messages=[]))
    if ask.model != "openai":
        with client(ask, NARROW_KEY) as at:
            raised(openai.PermissionDeniedError, lambda: at.chat.completions.create(model=ask.model, messages=messages))
    assert not ask.wire()


@promise()
def a_model_is_found(ask: Ask) -> None:
    with client(ask) as at:
        assert at.models.retrieve(ask.model).id == ask.model
        assert ask.model in [model.id for model in at.models.list()]


if __name__ == "__main__":
    sys.exit(judge(f"openai {openai.__version__}", sys.argv[1:]))
