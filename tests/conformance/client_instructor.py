"""instructor, which makes models of pydantic of answers, in its modes. Read next: client_base.py."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any, Final

import anthropic
import instructor
import openai
from pydantic import BaseModel

from tests.conformance.client_base import KEY, SYSTEM, Ask, judge, promise


class Place(BaseModel):
    """Where something is."""

    city: str
    degrees: int


PARIS: Final = {"city": "Paris", "degrees": 21}


# Its retries count the first try too.
def asked(ask: Ask, **more: Any) -> Any:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ask.words("Where is it")}]
    return {"model": ask.model, "messages": messages, "response_model": Place, "max_retries": 1, **more}


def of_openai(ask: Ask, mode: instructor.Mode) -> Any:
    return instructor.from_openai(openai.OpenAI(base_url=f"{ask.gateway}/v1", api_key=KEY, max_retries=0), mode=mode)


def of_anthropic(ask: Ask, mode: instructor.Mode) -> Any:
    return instructor.from_anthropic(anthropic.Anthropic(base_url=ask.gateway, api_key=KEY, max_retries=0), mode=mode)


@promise()
def a_model_is_made_of_a_call(ask: Ask) -> None:
    assert of_openai(ask, instructor.Mode.TOOLS).create(**asked(ask)).model_dump() == PARIS
    ask.holds_system()


@promise()
def a_model_is_made_of_a_strict_schema(ask: Ask) -> None:
    assert of_openai(ask, instructor.Mode.JSON_SCHEMA).create(**asked(ask)).model_dump() == PARIS


@promise()
def a_model_is_made_of_json(ask: Ask) -> None:
    assert of_openai(ask, instructor.Mode.JSON).create(**asked(ask)).model_dump() == PARIS


@promise()
def a_model_grows_in_a_stream(ask: Ask) -> None:
    # Of a call it makes nothing in a stream, also where aimock is asked directly.
    *_, last = of_openai(ask, instructor.Mode.JSON_SCHEMA).create_partial(**asked(ask))
    assert (last.city, last.degrees) == ("Paris", 21)


@promise()
async def a_model_is_made_asynchronously(ask: Ask) -> None:
    async with openai.AsyncOpenAI(base_url=f"{ask.gateway}/v1", api_key=KEY, max_retries=0) as at:
        client = instructor.from_openai(at, mode=instructor.Mode.TOOLS)
        assert (await client.create(**asked(ask))).model_dump() == PARIS


@promise()
def a_model_is_made_of_a_call_in_messages(ask: Ask) -> None:
    client = of_anthropic(ask, instructor.Mode.ANTHROPIC_TOOLS)
    assert client.create(**asked(ask, max_tokens=500)).model_dump() == PARIS
    ask.holds_system()


@promise()
def a_model_is_made_of_json_in_messages(ask: Ask) -> None:
    assert of_anthropic(ask, instructor.Mode.ANTHROPIC_JSON).create(**asked(ask, max_tokens=500)).model_dump() == PARIS


if __name__ == "__main__":
    sys.exit(judge(f"instructor {version('instructor')}", sys.argv[1:]))
