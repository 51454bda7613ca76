"""Anthropic's SDK before providers of every protocol. Read next: client_base.py, what is shared with the others."""

from __future__ import annotations

import sys
from typing import Any, Final

import anthropic
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
WEATHER: Final[Any] = {"name": "weather", "description": "The weather.", "input_schema": CITY}
CLOCK: Final[Any] = {"name": "clock", "input_schema": {"type": "object", "properties": {}}}
CACHED: Final[Any] = {"cache_control": {"type": "ephemeral"}}
THINKING: Final[Any] = {"type": "enabled", "budget_tokens": 1024}
#: Those whose models think here.
THINKERS: Final = ("openai", "anthropic", "gemini", "bedrock")
#: A document, as far as anybody looks.
PDF: Final = "JVBERi0xLjQKJSBhIGRvY3VtZW50IG9mIG5vIHBhZ2VzCg=="


class Place(BaseModel):
    """What a structured answer must be."""

    city: str
    degrees: int


def client(ask: Ask, key: str = KEY) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=ask.gateway, api_key=key, **PLAIN)


def said(ask: Ask, words: str, **more: Any) -> Any:
    """The members of a request in which this is said."""
    messages = [{"role": "user", "content": ask.words(words)}]
    return {"model": ask.model, "max_tokens": 2048, "messages": messages, **more}


def text(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls(message: Any) -> list[Any]:
    return [block for block in message.content if block.type == "tool_use"]


def result(call: Any, content: Any, **more: Any) -> Any:
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, **more}


def whole_and_streamed(ask: Ask, request: Any) -> list[Any]:
    """The message that comes at once, and the one that the SDK makes of a stream."""
    with client(ask) as at:
        whole = at.messages.create(**request)
        with at.messages.stream(**request) as stream:
            return [whole, stream.get_final_message()]


@promise()
def a_message_is_answered_and_counted(ask: Ask) -> None:
    with client(ask) as at:
        raw = at.messages.with_raw_response.create(**said(ask, "Say hello", system=SYSTEM))
    message: Any = raw.parse()
    assert (message.type, message.role, text(message), message.stop_reason) == (
        "message",
        "assistant",
        SAID,
        "end_turn",
    )
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 7), message.usage
    assert raw.headers["x-gateway-routed-model"] == f"at.{ask.model}"
    assert raw.headers["x-gateway-decision-id"] == raw.headers["request-id"] == message._request_id
    ask.holds_system()


@promise()
def a_stream_is_whole(ask: Ask) -> None:
    with client(ask) as at, at.messages.stream(**said(ask, "Say hello")) as stream:
        assert "".join(stream.text_stream) == SAID
        message = stream.get_final_message()
    assert (text(message), message.stop_reason) == (SAID, "end_turn")
    # Mistral is not asked to count, as it always does, and aimock counts only when asked to.
    assert ask.model == "mistral" or message.usage.output_tokens == 7, message.usage


@promise()
async def an_asynchronous_stream_has_its_events_in_order(ask: Ask) -> None:
    async with anthropic.AsyncAnthropic(base_url=ask.gateway, api_key=KEY, **PLAIN) as at:
        stream = await at.messages.create(**said(ask, "Say hello"), stream=True)
        kinds = [event.type async for event in stream]
    short = [kind for number, kind in enumerate(kinds) if kind != "ping" and kind not in kinds[number - 1 : number]]
    assert short == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ], kinds


@promise()
def a_message_that_was_cut_short_says_so(ask: Ask) -> None:
    for message in whole_and_streamed(ask, said(ask, "Cut this short")):
        assert (text(message), message.stop_reason) == ("It was a dark and", "max_tokens")


@promise()
def a_tool_is_called_and_its_result_comes_back(ask: Ask) -> None:
    request = said(ask, "weather in Berlin", system=SYSTEM, tools=[WEATHER], tool_choice={"type": "any"})
    for message in whole_and_streamed(ask, request):
        assert message.stop_reason == "tool_use"
        (call,) = calls(message)
        assert (call.name, call.input) == ("weather", WEATHER_ARGUMENTS)
        history = [
            *request["messages"],
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": [result(call, [{"type": "text", "text": "blau"}])]},
        ]
        with client(ask) as at:
            last = at.messages.create(**{**request, "messages": history, "tool_choice": {"type": "auto"}})
        assert (text(last), last.stop_reason) == ("It is sunny in Berlin.", "end_turn")
        ask.holds_results(["weather"], ["blau"])


@promise()
def two_tools_are_called_at_once(ask: Ask) -> None:
    request = said(ask, "Compare Berlin and Rome", tools=[WEATHER])
    for message in whole_and_streamed(ask, request):
        both = calls(message)
        assert [call.input for call in both] == [{"city": "Berlin"}, {"city": "Rome"}]
        assert len({call.id for call in both}) == 2
        results = [result(call, f"{number} degrees") for number, call in enumerate(both)]
        history = [
            *request["messages"],
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": results},
        ]
        with client(ask) as at:
            assert text(at.messages.create(**{**request, "messages": history})) == "Rome is warmer."
        ask.holds_results(["weather", "weather"], ["0 degrees", "1 degrees"])


@promise()
def a_tool_without_parameters_is_called(ask: Ask) -> None:
    for message in whole_and_streamed(ask, said(ask, "What time is it", tools=[CLOCK])):
        assert [(call.name, call.input) for call in calls(message)] == [("clock", {})]


@promise()
def a_structured_answer_is_parsed(ask: Ask) -> None:
    request = said(ask, "Where is it", output_format=Place)
    with client(ask) as at:
        whole: Any = at.messages.parse(**request)
        with at.messages.stream(**request) as stream:
            streamed: Any = stream.get_final_message()
    for message in (whole, streamed):
        assert (message.parsed_output, message.stop_reason) == (Place(city="Paris", degrees=21), "end_turn")


@promise(of=THINKERS)
def what_was_thought_can_be_read(ask: Ask) -> None:
    for message in whole_and_streamed(ask, said(ask, "Think hard", thinking=THINKING)):
        thoughts = [block.thinking for block in message.content if block.type == "thinking"]
        assert (thoughts, text(message)) == ([THOUGHT], SAID)


@promise(of=THINKERS)
def what_was_thought_before_a_call_goes_back(ask: Ask) -> None:
    """aimock refuses a turn of Anthropic's that thinks and comes back without its signed thought."""
    request = said(ask, "Look and think", thinking=THINKING, tools=[WEATHER])
    for message in whole_and_streamed(ask, request):
        (call,) = calls(message)
        history = [
            *request["messages"],
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": [result(call, "12")]},
        ]
        with client(ask) as at:
            assert text(at.messages.create(**{**request, "messages": history})) == "It is mild."
        ask.holds_results(["weather"], ["12"])


@promise(of=THINKERS)
def a_conversation_may_go_on_with_another_provider(ask: Ask) -> None:
    """What one provider signed, or the gateway packed, does not disturb the next."""
    request = said(ask, "Look and think", thinking=THINKING, tools=[WEATHER])
    with client(ask) as at:
        first = at.messages.create(**request)
        (call,) = calls(first)
        history = [
            *request["messages"],
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result(call, "12")]},
        ]
        for model in THINKERS:
            if "anthropic" not in (model, ask.model):
                assert text(at.messages.create(**{**request, "model": model, "messages": history})) == "It is mild."


@promise()
def a_picture_arrives(ask: Ask) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "text", "text": ask.words("What is in the picture")}, {"type": "image", "source": source}]
    request: Any = {"model": ask.model, "max_tokens": 99, "messages": [{"role": "user", "content": content}]}
    with client(ask) as at:
        assert text(at.messages.create(**request)) == "A pixel."
    ask.holds_picture()


@promise(of=[name for name in PROTOCOLS if name != "mistral"])
def a_document_arrives(ask: Ask) -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    content = [{"type": "document", "title": "A", "source": source}, {"type": "text", "text": ask.words("Say hello")}]
    request: Any = {"model": ask.model, "max_tokens": 99, "messages": [{"role": "user", "content": content}]}
    with client(ask) as at:
        assert text(at.messages.create(**request)) == SAID
    (one,) = ask.wire()
    assert PDF in one["body"], one["body"][:300]


@promise()
def the_sdk_runs_tools_until_it_has_an_answer(ask: Ask) -> None:
    seen: list[Any] = []

    @anthropic.beta_tool(name="weather", description="The weather.", input_schema=CITY)
    def weather(**arguments: Any) -> str:
        seen.append(arguments)
        return "blau"

    with client(ask) as at:
        runner: Any = at.beta.messages.tool_runner(**said(ask, "weather in Berlin", tools=[weather]))
        assert text(runner.until_done()) == "It is sunny in Berlin."
    assert seen == [WEATHER_ARGUMENTS]
    ask.holds_results(["weather"], ["blau"])


@promise()
def a_named_tool_is_the_one_that_may_be_called(ask: Ask) -> None:
    choice = {"type": "tool", "name": "clock", "disable_parallel_tool_use": True}
    with client(ask) as at:
        answer = at.messages.create(**said(ask, "What time is it", tools=[WEATHER, CLOCK], tool_choice=choice))
    assert ([call.name for call in calls(answer)], answer.stop_reason) == (["clock"], "tool_use")


@promise()
def a_probe_is_answered_with_no_failure(ask: Ask) -> None:
    """Claude Code opens a connection with HEAD before it asks."""
    with client(ask) as at:
        for path in ("/", "/v1/messages", "/v1/models", "/api/hello"):
            answer = at._client.head(path)
            assert 400 <= answer.status_code < 500 or answer.status_code == 200, answer


@promise()
def a_picture_in_a_result_arrives(ask: Ask) -> None:
    request = said(ask, "weather in Berlin", tools=[WEATHER])
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    with client(ask) as at:
        first = at.messages.create(**request)
        (call,) = calls(first)
        history = [
            *request["messages"],
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result(call, [{"type": "image", "source": source}], is_error=False)]},
        ]
        # Where results hold text only the picture is in a turn of its own, to which nothing is said here.
        at.messages.create(**{**request, "messages": history})
    assert PIXEL in ask.wire()[-1]["body"], ask.wire()[-1]["body"][:400]


@promise()
def hints_to_the_cache_and_an_unreleased_feature_do_no_harm(ask: Ask) -> None:
    """As Claude Code asks: everything in blocks, hints in all of them, a query, and the key as a bearer."""
    blocks = [{"type": "text", "text": ask.words("Say hello"), **CACHED}]
    request: Any = {
        "model": ask.model,
        "max_tokens": 2048,
        "system": [{"type": "text", "text": "One. "}, {"type": "text", "text": SYSTEM, **CACHED}],
        "messages": [{"role": "user", "content": blocks}],
        # aimock trips over a point of the cache among Converse's tools.
        "tools": [CLOCK, WEATHER if ask.model == "bedrock" else {**WEATHER, **CACHED}],
        "metadata": {"user_id": '{"device_id":"d","session_id":"s"}'},
    }
    betas = ["interleaved-thinking-2025-05-14", "context-management-2025-06-27"]
    with anthropic.Anthropic(base_url=ask.gateway, auth_token=KEY, **PLAIN) as at:
        with at.beta.messages.stream(**request, betas=betas) as stream:
            message = stream.get_final_message()
        counted = at.beta.messages.count_tokens(
            **{name: request[name] for name in ("model", "system", "messages", "tools")}, betas=betas
        )
    assert (text(message), message.stop_reason) == (SAID, "end_turn")
    assert counted.input_tokens > 10
    ask.holds_system(f"One. {SYSTEM}")
    for one in ask.wire():
        if ask.model == "anthropic":
            assert one["headers"]["anthropic-beta"].startswith(",".join(betas)), one["headers"]
        else:
            assert not {"anthropic-beta", "anthropic-version", "x-stainless-lang"} & set(one["headers"]), one["headers"]


@promise()
def tokens_are_counted(ask: Ask) -> None:
    with client(ask) as at:
        counted = at.messages.count_tokens(
            model=ask.model, system=SYSTEM, messages=[{"role": "user", "content": "Say hello. " * 40}]
        )
    assert 50 < counted.input_tokens < 300, counted


@promise()
def a_provider_s_refusal_is_of_the_class_that_is_caught(ask: Ask) -> None:
    with client(ask) as at:
        for stream in (False, True):
            error = raised(
                anthropic.BadRequestError,
                lambda s=stream: at.messages.create(**said(ask, "Break the rules"), stream=s),  # type: ignore[misc]
            )
            assert error.body["type"] == "error", error.body
            assert error.body["error"]["type"] == "invalid_request_error"
            # aimock words Converse's errors as Anthropic would.
            assert ask.model in ("bedrock", "nova") or "against the rules" in str(error), error
        limited = raised(anthropic.RateLimitError, lambda: at.messages.create(**said(ask, "Come back later")))
        assert limited.body["error"]["type"] == "rate_limit_error"
        assert limited.response.headers["retry-after"] == "1"


@promise()
def a_wrong_key_or_model_is_told_before_anybody_is_asked(ask: Ask) -> None:
    request = said(ask, "Say hello")
    with client(ask, "wrong") as at:
        raised(anthropic.AuthenticationError, lambda: at.messages.create(**request))
        raised(anthropic.AuthenticationError, at.models.list)
    with client(ask) as at:
        error = raised(anthropic.NotFoundError, lambda: at.messages.create(**{**request, "model": "none"}))
        assert error.body["error"]["type"] == "not_found_error"
        raised(anthropic.BadRequestError, lambda: at.messages.create(**{**request, "messages": []}))
        raised(anthropic.BadRequestError, lambda: at.messages.create(**{**request, "max_tokens": -1}))
    if ask.model != "openai":
        with client(ask, NARROW_KEY) as at:
            raised(anthropic.PermissionDeniedError, lambda: at.messages.create(**request))
    assert not ask.wire()


@promise()
def a_model_is_found(ask: Ask) -> None:
    with client(ask) as at:
        listed = {model.id: model for model in at.models.list()}
        assert set(PROTOCOLS) <= set(listed)
        found = at.models.retrieve(ask.model)
    assert (found.id, found.type) == (ask.model, "model")
    assert found == listed[ask.model]


if __name__ == "__main__":
    sys.exit(judge(f"anthropic {anthropic.__version__}", sys.argv[1:]))
