"""Requests to a simulated provider, for the tests beside this file, and the schema its answers have to keep."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider

SHARED = Path(os.environ.get("SIGNALBOX_SHARED", Path(__file__).parents[3] / "shared"))


def body(text: str = "Why is the sky blue?", **more: Any) -> dict[str, Any]:
    """A chat request."""
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


@asynccontextmanager
async def provider(*scripts: Script) -> AsyncIterator[tuple[SimulatedProvider, httpx2.AsyncClient]]:
    """A provider whose model ``m`` follows the scripts, and a client of it."""
    async with SimulatedProvider() as simulated:
        simulated.script("m", *scripts)
        async with httpx2.AsyncClient(base_url=simulated.url, trust_env=False, timeout=5) as client:
            yield simulated, client


def events(text: str) -> list[Any]:
    """The data of each event of a stream, decoded; ``[DONE]`` as it is."""
    data = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


@lru_cache
def schema(name: str) -> Draft202012Validator:
    """OpenAI's schema of that name; skips the test where it is not on this machine."""
    file = SHARED / "specs" / "openai-openapi-chat-embeddings-models.relaxed.json"
    if not file.exists():
        pytest.skip("OpenAI's schema is not here: set SIGNALBOX_SHARED to where it is")
    resource = Resource.from_contents(json.loads(file.read_text()), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:openai", resource)
    return Draft202012Validator({"$ref": f"urn:openai#/components/schemas/{name}"}, registry=registry)


def valid(name: str, value: object) -> bool:
    """Whether a value keeps OpenAI's schema of that name; the first error is raised to be read."""
    schema(name).validate(value)
    return True
