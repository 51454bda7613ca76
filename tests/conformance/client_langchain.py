"""LangChain's models, over both dialects. Read next: client_base.py, what is shared with the other clients."""

from __future__ import annotations

import sys
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import anthropic
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.conformance.client_base import KEY, PIXEL, SAID, SYSTEM, WEATHER_ARGUMENTS, Ask, judge, promise, raised


class Place(BaseModel):
    """Where something is."""

    city: str
    degrees: int


class Detail(BaseModel):
    """Beside the city."""

    wind: bool = False
    note: str = ""


PARIS: Final = Place(city="Paris", degrees=21)


def look(city: str, days: int = 1, detail: Detail | None = None) -> str:
    """The weather."""
    return f"blau in {city}, {days}, {detail}"


weather: Final[Any] = tool("weather")(look)


def models(ask: Ask, **more: Any) -> list[Any]:
    """The model in OpenAI's dialect, and in Anthropic's."""
    common = {"model": ask.model, "api_key": KEY, "max_retries": 0, "timeout": 20, **more}
    return [
        ChatOpenAI(base_url=f"{ask.gateway}/v1", use_responses_api=False, stream_usage=True, **common),
        ChatAnthropic(base_url=ask.gateway, max_tokens=500, **common),
    ]


def turns(ask: Ask, said: str) -> list[Any]:
    return [SystemMessage(SYSTEM), HumanMessage(ask.words(said))]


@promise()
def a_prompt_is_answered_and_counted(ask: Ask) -> None:
    for model in models(ask):
        answer = model.invoke(turns(ask, "Say hello"))
        assert answer.text == SAID
        usage = answer.usage_metadata
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (11, 7, 18), usage
    for body in ask.understood():
        assert body["messages"][0]["content"] == SYSTEM, body["messages"]


@promise()
def a_stream_is_whole(ask: Ask) -> None:
    for model in models(ask):
        pieces = list(model.stream(turns(ask, "Say hello")))
        assert "".join(piece.text for piece in pieces) == SAID
        whole = pieces[0]
        for piece in pieces[1:]:
            whole += piece
        # Of a stream aimock counts for Mistral only if it is asked to, and Mistral is not.
        assert ask.model == "mistral" or whole.usage_metadata["output_tokens"] == 7, whole.usage_metadata
        ended = {"stop_reason", "finish_reason"} & set(whole.response_metadata)
        assert [whole.response_metadata[name] for name in ended] in (["stop"], ["end_turn"]), whole.response_metadata


@promise()
async def an_asynchronous_stream_is_whole(ask: Ask) -> None:
    for model in models(ask):
        assert "".join([piece.text async for piece in model.astream(turns(ask, "Say hello"))]) == SAID


@promise()
def a_tool_is_called_and_its_result_comes_back(ask: Ask) -> None:
    for model in models(ask):
        bound, history = model.bind_tools([weather]), turns(ask, "weather in Berlin")
        first = bound.invoke(history)
        (call,) = first.tool_calls
        assert (call["name"], call["args"]) == ("weather", WEATHER_ARGUMENTS)
        history += [first, ToolMessage("blau", tool_call_id=call["id"])]
        assert bound.invoke(history).text == "It is sunny in Berlin."
        ask.holds_results(["weather"], ["blau"])


@promise()
def two_tools_are_called_at_once_in_a_stream(ask: Ask) -> None:
    for model in models(ask):
        bound, history = model.bind_tools([weather]), turns(ask, "Compare Berlin and Rome")
        pieces = list(bound.stream(history))
        whole = pieces[0]
        for piece in pieces[1:]:
            whole += piece
        assert [call["args"] for call in whole.tool_calls] == [{"city": "Berlin"}, {"city": "Rome"}], whole
        results = [ToolMessage(f"{n} degrees", tool_call_id=call["id"]) for n, call in enumerate(whole.tool_calls)]
        assert bound.invoke([*history, whole, *results]).text == "Rome is warmer."
        ask.holds_results(["weather", "weather"], ["0 degrees", "1 degrees"])


@promise()
def a_model_is_the_output_however_it_is_asked_for(ask: Ask) -> None:
    for model in models(ask):
        for method in ("function_calling", "json_schema"):
            kept = model.with_structured_output(Place, method=method)
            assert kept.invoke(turns(ask, "Where is it")) == PARIS, (type(model).__name__, method)


@promise()
def a_turn_of_one_dialect_goes_on_in_the_other(ask: Ask) -> None:
    """LangChain puts the blocks of one into the words of the other."""
    first, other = models(ask)
    for one, next_ in ((first, other), (other, first)):
        answer = one.invoke(turns(ask, "Say hello"))
        history = [*turns(ask, "Say hello"), answer, HumanMessage(ask.words("Say hello"))]
        assert next_.invoke(history).text == SAID


@promise()
def a_picture_arrives(ask: Ask) -> None:
    for number, model in enumerate(models(ask)):
        mine = ask._replace(mark=f"{ask.mark}-{number}")
        picture = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
        content: Any = [{"type": "text", "text": mine.words("What is in the picture")}, picture]
        assert model.invoke([HumanMessage(content)]).text == "A pixel."
        mine.holds_picture()


@promise()
def a_refusal_is_of_the_class_that_is_caught(ask: Ask) -> None:
    for model in models(ask):
        kind = anthropic.BadRequestError if isinstance(model, ChatAnthropic) else openai.BadRequestError
        error = raised(kind, partial(model.invoke, turns(ask, "Break the rules")), exactly=False)
        assert error.status_code == 400


if __name__ == "__main__":
    sys.exit(judge(f"langchain {version('langchain-core')}", sys.argv[1:]))
