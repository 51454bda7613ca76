"""What a client finds who changes nothing but the base URL: one function for each promise, for any major of the SDK.

Read next: stage.py, what each model named here does; __main__.py, which runs this file under each SDK.

This file imports nothing of the gateway: it also runs where only ``openai`` is installed, as
``python checks.py GATEWAY SEEN``, and then prints a line for each check.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

import openai
from pydantic import BaseModel

__all__ = ["CHECKS", "KEY", "MAX_BODY", "NARROW_KEY", "At", "Check"]

KEY: Final = "gw_team_" + "c" * 43
NARROW_KEY: Final = "gw_narrow_" + "c" * 43
MAX_BODY: Final = 64 * 1024

HELLO: Final[Any] = [{"role": "user", "content": "What is the weather in Berlin?"}]
WEATHER: Final[Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
#: No retries unless a check is about them; and a gateway that hangs fails a check rather than holding up all others.
PLAIN: Final[Any] = {"max_retries": 0, "timeout": 10}
PIXEL: Final = "data:image/png;base64,iVBORw0KGgo="


class At(NamedTuple):
    """Where the gateway is, without ``/v1``; and where one can ask what the provider was sent."""

    gateway: str
    seen: str

    def client(self, key: str = KEY, **options: Any) -> openai.OpenAI:
        """A client as its documentation has it. It does not retry unless the check is about that."""
        return openai.OpenAI(**{**PLAIN, "base_url": f"{self.gateway}/v1", "api_key": key, **options})

    def aclient(self, **options: Any) -> openai.AsyncOpenAI:
        """The same, asynchronous."""
        return openai.AsyncOpenAI(**{**PLAIN, "base_url": f"{self.gateway}/v1", "api_key": KEY, **options})

    def sent(self, model: str) -> list[dict[str, Any]]:
        """The ``fields`` and ``headers`` of each request that the provider got for a model."""
        with urllib.request.urlopen(self.seen, timeout=10) as response:
            return [request for request in json.load(response) if request["fields"]["model"] == model]


Check = Callable[[At], Awaitable[None] | None]
CHECKS: Final[list[Check]] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


class Place(BaseModel):
    """What a structured answer must be."""

    city: str
    degrees: int


def raised(kind: type[Exception], act: Callable[[], object]) -> Any:
    """The error of exactly this kind that ``act`` ends with."""
    try:
        act()
    except kind as error:
        if type(error) is kind:
            return error
        raise AssertionError(f"{type(error).__name__}, not {kind.__name__}: {error}") from error
    raise AssertionError(f"no {kind.__name__} was raised")


def only_call(choice: Any) -> Any:
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    return call


def text(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# --- answers ----------------------------------------------------------------------------------------------------


@check
def a_chat_is_answered(at: At) -> None:
    with at.client() as client:
        answer = client.chat.completions.create(model="plain", messages=HELLO)
    assert answer.object == "chat.completion"
    assert [(c.index, c.message.role, c.message.content, c.finish_reason) for c in answer.choices] == [
        (0, "assistant", "Fünf – 五 🙂.", "stop")
    ]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@check
async def an_asynchronous_client_is_answered(at: At) -> None:
    async with at.aclient() as client:
        asked = [client.chat.completions.create(model="plain", messages=HELLO) for _ in range(8)]
        answers = await asyncio.gather(*asked)
    assert [a.choices[0].message.content for a in answers] == ["Fünf – 五 🙂."] * 8
    assert len({a._request_id for a in answers}) == 8


@check
def a_stream_is_whole(at: At) -> None:
    with at.client() as client:
        chunks = list(client.chat.completions.create(model="plain", messages=HELLO, stream=True))
    assert text(chunks) == "Fünf – 五 🙂."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({(c.id, c.created, c.model, c.object) for c in chunks}) == 1
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
    assert [c.usage for c in chunks] == [None] * len(chunks)


@check
async def an_asynchronous_stream_is_whole(at: At) -> None:
    async with at.aclient() as client:
        stream = await client.chat.completions.create(model="plain", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
    assert text(chunks) == "Fünf – 五 🙂."


@check
def usage_ends_a_stream_that_asks_for_it(at: At) -> None:
    with at.client() as client:
        options: Any = {"include_usage": True}
        stream = client.chat.completions.create(model="plain", messages=HELLO, stream=True, stream_options=options)
        chunks = list(stream)
        whole = client.chat.completions.create(model="plain", messages=HELLO)
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)


@check
def a_stream_that_is_left_early_does_no_harm(at: At) -> None:
    with at.client() as client:
        stream = client.chat.completions.create(model="made-up", messages=HELLO, stream=True)
        next(iter(stream))
        stream.close()
        assert client.chat.completions.create(model="plain", messages=HELLO).choices


@check
def several_choices_come_numbered(at: At) -> None:
    with at.client() as client:
        answer = client.chat.completions.create(model="made-up", messages=HELLO, n=2)
        chunks = list(client.chat.completions.create(model="made-up", messages=HELLO, n=2, stream=True))
    assert [c.index for c in answer.choices] == [0, 1]
    for index in (0, 1):
        mine = [c.choices[0] for c in chunks if c.choices[0].index == index]
        assert "".join(c.delta.content or "" for c in mine) == answer.choices[index].message.content
        assert [c.finish_reason for c in mine if c.finish_reason] == ["stop"]


@check
def log_probabilities_pass(at: At) -> None:
    with at.client() as client:
        answer = client.chat.completions.create(model="logprobs", messages=HELLO, logprobs=True, top_logprobs=0)
        stream = client.chat.completions.create(model="logprobs-stream", messages=HELLO, logprobs=True, stream=True)
        chunks = list(stream)
    for said in (answer.choices[0].logprobs, chunks[0].choices[0].logprobs):
        assert said is not None
        assert [(t.token, t.logprob, t.bytes) for t in said.content or ()] == [("Yes", -0.25, [89, 101, 115])]


@check
def reasoning_passes(at: At) -> None:
    with at.client() as client:
        answer = client.chat.completions.create(model="reasons", messages=HELLO)
        chunks = list(client.chat.completions.create(model="reasons", messages=HELLO, stream=True))
    message: Any = answer.choices[0].message
    assert (message.reasoning_content, message.content) == ("Let me think.", "Done.")
    reasoning = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks)
    assert (reasoning, text(chunks)) == ("Let me think.", "Done.")
    assert answer.usage
    assert answer.usage.completion_tokens_details
    assert answer.usage.completion_tokens_details.reasoning_tokens


@check
def a_refusal_is_one(at: At) -> None:
    with at.client() as client:
        message = client.chat.completions.create(model="refuses", messages=HELLO).choices[0].message
    assert (message.refusal, message.content) == ("I will not.", None)


# --- tools and structure ----------------------------------------------------------------------------------------


@check
def a_tool_is_called_and_its_result_is_taken(at: At) -> None:
    with at.client() as client:
        first = client.chat.completions.create(model="made-up", messages=HELLO, tools=[WEATHER]).choices[0]
        assert first.finish_reason == "tool_calls"
        call = only_call(first)
        assert call.function.name == "weather"
        assert set(json.loads(call.function.arguments)) == {"city"}
        result: Any = {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}
        history = [*HELLO, first.message, result]
        last = client.chat.completions.create(model="made-up", messages=history, tools=[WEATHER]).choices[0]
    assert (last.finish_reason, bool(last.message.content)) == ("stop", True)


@check
def a_streamed_tool_call_is_put_together(at: At) -> None:
    with at.client() as client:
        whole = client.chat.completions.create(model="made-up", messages=HELLO, tools=[WEATHER])
        with client.chat.completions.stream(model="made-up", messages=HELLO, tools=[WEATHER]) as stream:
            final = stream.get_final_completion()
    one, other = only_call(whole.choices[0]), only_call(final.choices[0])
    assert (one.id, one.function.name) == (other.id, other.function.name)
    assert one.function.arguments == other.function.arguments


@check
def a_named_tool_is_the_one_called(at: At) -> None:
    clock: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
    named: Any = {"type": "function", "function": {"name": "clock"}}
    with at.client() as client:
        answer = client.chat.completions.create(
            model="made-up", messages=HELLO, tools=[WEATHER, clock], tool_choice=named, parallel_tool_calls=False
        )
    assert only_call(answer.choices[0]).function.name == "clock"


@check
def a_structured_answer_is_parsed(at: At) -> None:
    with at.client() as client:
        answer = client.chat.completions.parse(model="made-up", messages=HELLO, response_format=Place)
        with client.chat.completions.stream(model="made-up", messages=HELLO, response_format=Place) as stream:
            streamed = stream.get_final_completion()
    assert isinstance(answer.choices[0].message.parsed, Place)
    assert streamed.choices[0].message.parsed == answer.choices[0].message.parsed


@check
def a_structured_answer_that_was_cut_or_filtered_is_no_answer(at: At) -> None:
    with at.client() as client:

        def parse(model: str) -> object:
            return client.chat.completions.parse(model=model, messages=HELLO, response_format=Place)

        raised(openai.LengthFinishReasonError, lambda: parse("cut-short"))
        raised(openai.ContentFilterFinishReasonError, lambda: parse("filtered"))


# --- what reaches the provider ----------------------------------------------------------------------------------


@check
def images_files_and_sound_reach_the_provider(at: At) -> None:
    parts: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    ]
    with at.client() as client:
        client.chat.completions.create(model="sees", messages=[{"role": "user", "content": parts}])
    (request,) = at.sent("sees")
    assert request["fields"]["messages"] == [{"role": "user", "content": parts}]


@check
def extra_members_reach_the_provider(at: At) -> None:
    extra = {"top_k": 7, "vendor": {"deep": [1, None, "é"]}}
    known: Any = {"seed": 3, "stop": ["x"], "logit_bias": {"50256": -100}, "metadata": {"a": "b"}, "verbosity": "low"}
    with at.client() as client:
        client.chat.completions.create(model="extra", messages=HELLO, extra_body=extra, **known)
    (request,) = at.sent("extra")
    assert request["fields"] == {"model": "extra", "messages": HELLO, **known, **extra}


@check
def members_that_are_null_count_as_absent(at: At) -> None:
    null: Any = {"stop": None, "tools": None, "response_format": None, "temperature": None, "stream_options": None}
    with at.client() as client:
        assert client.chat.completions.create(model="null", messages=HELLO, **null).choices


@check
def extra_headers_are_for_the_gateway_alone(at: At) -> None:
    extra = {"x-gateway-tags": "team=legal", "x-own": "1", "OpenAI-Organization": "org-1"}
    with at.client(default_headers={"x-default": "1"}) as client:
        client.chat.completions.create(model="headers", messages=HELLO, extra_headers=extra)
        refused = {"x-gateway-tags": "not a tag"}
        error = raised(
            openai.BadRequestError,
            lambda: client.chat.completions.create(model="headers", messages=HELLO, extra_headers=refused),
        )
    assert error.param == "x-gateway-tags"
    (request,) = at.sent("headers")
    assert request["headers"]["authorization"] == "Bearer sk-of-the-provider"
    assert not {"x-gateway-tags", "x-own", "x-default", "openai-organization"} & set(request["headers"])
    assert not [name for name in request["headers"] if name.startswith("x-stainless")]


# --- what an answer says of itself ------------------------------------------------------------------------------


@check
def every_answer_has_a_request_id(at: At) -> None:
    with at.client() as client:
        answer = client.chat.completions.create(model="plain", messages=HELLO)
        error = raised(openai.NotFoundError, lambda: client.chat.completions.create(model="none", messages=HELLO))
        refused = raised(
            openai.AuthenticationError,
            lambda: client.with_options(api_key="wrong").chat.completions.create(model="plain", messages=HELLO),
        )
    ids = [answer._request_id, error.request_id, refused.request_id]
    assert all(ids)
    assert len(set(ids)) == 3


@check
def a_raw_answer_shows_the_headers(at: At) -> None:
    with at.client() as client:
        raw = client.chat.completions.with_raw_response.create(model="plain", messages=HELLO)
        with client.chat.completions.with_streaming_response.create(model="plain", messages=HELLO) as response:
            lines = list(response.iter_lines())
            streamed = response.headers
    assert raw.parse().choices[0].message.content == json.loads("".join(lines))["choices"][0]["message"]["content"]
    for headers in (raw.headers, streamed):
        assert headers["content-type"].startswith("application/json")
        assert headers["x-gateway-routed-model"] == "at.plain"
        assert headers["x-gateway-decision-id"] == headers["x-request-id"]
    assert raw.retries_taken == 0


@check
def models_are_listed_and_found(at: At) -> None:
    with at.client() as client:
        listed = [model.id for model in client.models.list()]
        assert {"auto", "plain", "vendor/model-1:free"} <= set(listed)
        for name in listed:
            model = client.models.retrieve(name)
            assert (model.id, model.object) == (name, "model")
        error = raised(openai.NotFoundError, lambda: client.models.retrieve("none"))
    assert error.code == "model_not_found"


@check
async def models_are_listed_asynchronously(at: At) -> None:
    async with at.aclient() as client:
        assert "plain" in [model.id async for model in client.models.list()]


@check
def a_model_with_a_slash_answers(at: At) -> None:
    with at.client() as client:
        assert client.chat.completions.create(model="vendor/model-1:free", messages=HELLO).choices


@check
def the_base_url_may_leave_out_v1(at: At) -> None:
    with at.client(base_url=at.gateway) as client:
        assert client.chat.completions.create(model="plain", messages=HELLO).choices
        assert client.models.retrieve("plain").id == "plain"


@check
def a_key_may_come_as_azure_sends_it(at: At) -> None:
    headers: Any = {"Authorization": openai.Omit(), "api-key": KEY}
    with at.client() as client:
        assert client.chat.completions.create(model="plain", messages=HELLO, extra_headers=headers).choices


# --- errors -----------------------------------------------------------------------------------------------------


@check
def each_error_is_of_the_class_that_clients_catch(at: At) -> None:
    expected: dict[str, tuple[type[Exception], int, str]] = {
        "invalid": (openai.BadRequestError, 400, "invalid_request"),
        "none": (openai.NotFoundError, 404, "model_not_found"),
        "limited": (openai.RateLimitError, 429, "upstream_rate_limited"),
        "not-authorized": (openai.InternalServerError, 502, "upstream_auth"),
        "busy": (openai.InternalServerError, 503, "upstream_overloaded"),
        "in-band-at-once": (openai.InternalServerError, 503, "upstream_overloaded"),
    }
    with at.client() as client:
        for model, (kind, status, code) in expected.items():
            for stream in (False, True):
                error = raised(kind, lambda m=model, s=stream: ask(client, m, stream=s))  # type: ignore[misc]
                assert (error.status_code, error.code) == (status, code), (model, stream, error)
                assert set(error.body) == {"message", "type", "param", "code"}
        page = raised(openai.InternalServerError, lambda: ask(client, "broken"))
        assert (page.status_code, page.code) == (502, "upstream_garbage")


def ask(client: openai.OpenAI, model: str, **more: Any) -> object:
    return client.chat.completions.create(**{"model": model, "messages": HELLO, **more})


@check
def what_a_client_sends_wrong_is_a_400_that_names_it(at: At) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("messages", {"messages": []}),
        ("temperature", {"temperature": 3}),
        ("n", {"n": 0}),
        ("messages[0].role", {"messages": [{"role": "robot", "content": "x"}]}),
    ]
    with at.client() as client:
        for param, fields in wrong:
            error = raised(openai.BadRequestError, lambda f=fields: ask(client, "plain", **f))  # type: ignore[misc]
            assert error.param == param, error


@check
def a_wrong_key_is_a_401_and_a_narrow_one_a_403(at: At) -> None:
    with at.client("wrong") as client:
        error = raised(openai.AuthenticationError, lambda: ask(client, "plain"))
        assert (error.status_code, error.code) == (401, "invalid_api_key")
        raised(openai.AuthenticationError, client.models.list)
    with at.client(NARROW_KEY) as client:
        assert ask(client, "plain")
        assert raised(openai.PermissionDeniedError, lambda: ask(client, "made-up")).status_code == 403
        assert raised(openai.PermissionDeniedError, lambda: client.models.retrieve("made-up")).status_code == 403


@check
def a_body_that_is_too_large_is_a_413(at: At) -> None:
    messages = [{"role": "user", "content": "x" * MAX_BODY}]
    with at.client() as client:
        error = raised(openai.APIStatusError, lambda: ask(client, "plain", messages=messages))
        assert (error.status_code, error.code) == (413, "payload_too_large")
        assert ask(client, "plain")


@check
def addresses_that_are_not_served_answer_in_the_envelope(at: At) -> None:
    with at.client() as client:
        error = raised(openai.NotFoundError, client.files.list)
    assert set(error.body) == {"message", "type", "param", "code"}


# --- patience ---------------------------------------------------------------------------------------------------


@check
def what_the_gateway_has_tried_is_not_tried_again(at: At) -> None:
    """An SDK would try twice more by itself; ``x-should-retry: false`` says that it would be for nothing."""
    with at.client(max_retries=2) as client:
        raised(openai.InternalServerError, lambda: ask(client, "down"))
    assert len(at.sent("down")) == 1


@check
def a_client_that_comes_back_when_told_is_answered(at: At) -> None:
    with at.client(max_retries=2) as client:
        headers = raised(openai.RateLimitError, lambda: ask(client, "momentary")).response.headers
        assert (headers["x-should-retry"], headers["retry-after-ms"], headers["retry-after"]) == ("false", "200", "1")
        time.sleep(int(headers["retry-after-ms"]) / 1000)
        answer: Any = ask(client, "momentary")
    assert answer.choices[0].message.content == "Here I am again."
    assert len(at.sent("momentary")) == 2


@check
def a_client_without_patience_is_told_in_time(at: At) -> None:
    """The gateway learns of the timeout from a header, so that either of the two may be the first to give up."""
    began = time.monotonic()
    with at.client(timeout=0.3) as client:
        try:
            ask(client, "silent")
        except (openai.APITimeoutError, openai.InternalServerError) as error:
            status = getattr(error, "status_code", 504)
        else:
            raise AssertionError("there was an answer")
    assert status == 504
    assert 0.25 < time.monotonic() - began < 3


@check
def a_stream_that_breaks_off_is_an_error(at: At) -> None:
    with at.client() as client:
        for model in ("cut-off", "reset-midway", "in-band-midway"):
            seen: list[Any] = []
            stream: Any = ask(client, model, stream=True)
            error = raised(openai.APIError, lambda s=stream, into=seen: into.extend(s))  # type: ignore[misc]
            assert set(error.body) == {"message", "type", "param", "code"}


@check
async def an_asynchronous_stream_that_breaks_off_is_an_error(at: At) -> None:
    seen: list[Any] = []
    async with at.aclient() as client:
        stream = await client.chat.completions.create(model="cut-off", messages=HELLO, stream=True)
        try:
            async for chunk in stream:
                seen.append(chunk)  # noqa: PERF401 - what came before the error counts
        except openai.APIError as error:
            broken = error
        else:
            raise AssertionError("the stream ended as if it were whole")
    assert type(broken) is openai.APIError
    assert text(seen)
    assert not any(chunk.choices[0].finish_reason for chunk in seen)


def main(at: At) -> int:
    """Run every check and print a line for each. The number that failed."""
    failed = 0
    for one in CHECKS:
        why = trouble(one, at)
        failed += why is not None
        print(f"{'ok    ' if why is None else 'FAILED'} openai {openai.__version__}: {name_of(one)}", flush=True)
        if why is not None:
            print(f"         {why}", flush=True)
    return failed


def name_of(one: Check) -> str:
    return getattr(one, "__name__", "?").replace("_", " ")


def trouble(one: Check, at: At) -> str | None:
    try:
        running = one(at)
        if inspect.iscoroutine(running):
            asyncio.run(running)
    except Exception as error:  # noqa: BLE001 - one that fails must not hide the others
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    sys.exit(min(main(At(sys.argv[1], sys.argv[2])), 1))
