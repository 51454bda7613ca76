"""pydantic-ai's agents, over both dialects. Read next: client_base.py, what is shared with the other clients."""

from __future__ import annotations

import base64
import sys
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelHTTPError, NativeOutput, PromptedOutput, ThinkingPart, ToolOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.anthropic import anthropic_model_profile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.conformance.client_base import (
    KEY,
    PIXEL,
    SAID,
    SYSTEM,
    THOUGHT,
    WEATHER_ARGUMENTS,
    Ask,
    judge,
    promise,
    raised,
)


class Place(BaseModel):
    """Where something is."""

    city: str
    degrees: int


class Detail(BaseModel):
    """Beside the city."""

    wind: bool = False
    note: str = ""


PARIS: Final = Place(city="Paris", degrees=21)


def models(ask: Ask) -> list[Any]:
    """The model in OpenAI's dialect, and in Anthropic's."""
    return [
        OpenAIChatModel(ask.model, provider=OpenAIProvider(base_url=f"{ask.gateway}/v1", api_key=KEY)),
        # What it may ask of a model goes by the model's name, which here is that of a route.
        AnthropicModel(
            ask.model,
            provider=AnthropicProvider(base_url=ask.gateway, api_key=KEY),
            profile=anthropic_model_profile("claude-sonnet-4-5"),
        ),
    ]


@promise()
def a_prompt_is_answered_and_counted(ask: Ask) -> None:
    for model in models(ask):
        result = Agent(model, instructions=SYSTEM).run_sync(ask.words("Say hello"))
        assert result.output == SAID
        # Some of them are streamed inside, and of a stream aimock counts for Mistral only if it is asked to.
        counted = (result.usage.input_tokens, result.usage.output_tokens)
        assert counted == (11, 7) or ask.model == "mistral", result.usage
    for body in ask.understood():
        assert body["messages"][0]["content"] == SYSTEM, body["messages"]


@promise()
async def a_stream_is_whole(ask: Ask) -> None:
    for model in models(ask):
        async with Agent(model).run_stream(ask.words("Say hello")) as stream:
            assert "".join([piece async for piece in stream.stream_text(delta=True)]) == SAID


@promise()
async def an_agent_s_tool_is_called_and_its_result_comes_back(ask: Ask) -> None:
    for model in models(ask):
        seen: list[Any] = []
        agent: Any = Agent(model)
        agent.tool_plain(taking(seen))
        result = await agent.run(ask.words("weather in Berlin"))
        assert result.output == "It is sunny in Berlin."
        assert seen == [WEATHER_ARGUMENTS]
        ask.holds_results(["weather"], ["blau"])


@promise()
async def two_tools_run_at_once_in_a_stream(ask: Ask) -> None:
    for model in models(ask):
        seen: list[Any] = []
        agent: Any = Agent(model)
        agent.tool_plain(taking(seen))
        async with agent.run_stream(ask.words("Compare Berlin and Rome")) as stream:
            assert await stream.get_output() == "Rome is warmer."
        assert sorted(one["city"] for one in seen) == ["Berlin", "Rome"]
        ask.holds_results(["weather", "weather"], ["blau", "blau"])


def taking(seen: list[Any]) -> Any:
    """A tool that notes what it was called with."""

    def weather(city: str, days: int = 0, detail: Detail | None = None) -> str:
        """The weather."""
        seen.append({"city": city, "days": days, "detail": detail.model_dump() if detail else None})
        return "blau"

    return weather


@promise()
def a_model_is_the_output_however_it_is_asked_for(ask: Ask) -> None:
    for model in models(ask):
        for kind in (ToolOutput(Place), NativeOutput(Place), PromptedOutput(Place)):
            agent: Any = Agent(model, output_type=kind, retries=0)
            try:
                assert agent.run_sync(ask.words("Where is it")).output == PARIS
            except Exception as error:
                raise AssertionError(f"{type(model).__name__}, {type(kind).__name__}: {error}") from error


@promise()
async def a_model_is_the_output_of_a_stream(ask: Ask) -> None:
    for model in models(ask):
        agent: Any = Agent(model, output_type=Place)
        async with agent.run_stream(ask.words("Where is it")) as stream:
            assert await stream.get_output() == PARIS


@promise(of=("openai", "anthropic", "gemini", "bedrock"))
def what_was_thought_is_a_part(ask: Ask) -> None:
    for model in models(ask):
        result = Agent(model).run_sync(ask.words("Think hard"))
        parts = [part for message in result.all_messages() for part in message.parts]
        thoughts = [part.content for part in parts if isinstance(part, ThinkingPart)]
        # Beside it is what only the provider can read, in a part without words.
        assert [thought for thought in thoughts if thought] == [THOUGHT], (type(model).__name__, thoughts)
        # The whole history goes back, with what was thought.
        again = Agent(model).run_sync(ask.words("Say hello"), message_history=result.all_messages())
        assert again.output == SAID


@promise()
def a_picture_arrives(ask: Ask) -> None:
    for number, model in enumerate(models(ask)):
        picture = BinaryContent(base64.b64decode(PIXEL), media_type="image/png")
        mine = ask._replace(mark=f"{ask.mark}-{number}")
        assert Agent(model).run_sync([mine.words("What is in the picture"), picture]).output == "A pixel."
        mine.holds_picture()


@promise()
def a_refusal_has_its_status(ask: Ask) -> None:
    for model in models(ask):
        act = partial(Agent(model).run_sync, ask.words("Break the rules"))
        assert raised(ModelHTTPError, act, exactly=False).status_code == 400


if __name__ == "__main__":
    sys.exit(judge(f"pydantic-ai {version('pydantic-ai-slim')}", sys.argv[1:]))
