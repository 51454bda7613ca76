"""Holds requests and answers against the types of the providers' own SDKs. Runs in an environment that has them.

Read next: requests.py, which asks. A line of JSON in is ``{"id", "as", "value"}``, a line out ``{"id", "wrong"}``: what
is wrong with the value as one of TYPES, empty when nothing. Members that a type does not know are wrong.
"""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anthropic.types
import botocore.session
import mistralai.client.models as mistral
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from botocore.validate import ParamValidator
from google.genai import types as google
from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

Wrong = Callable[[Any], list[str]]


def main() -> None:
    """Read until there is no more."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"id": asked["id"], "wrong": TYPES[asked["as"]](asked["value"])[:6]}), flush=True)


# --- Anthropic --------------------------------------------------------------------------------------------------


def strict() -> None:
    """Let every dictionary of Anthropic's SDK refuse what it does not know."""
    for found in pkgutil.walk_packages(anthropic.types.__path__, "anthropic.types."):
        for one in vars(importlib.import_module(found.name)).values():
            if is_typeddict(one):
                one.__pydantic_config__ = {"extra": "forbid", "arbitrary_types_allowed": True}


#: Members that the API takes and the SDK's types no longer have. Source: the recorded requests that were answered.
OLDER: dict[str, Any] = {"temperature": float, "top_p": float, "top_k": int, "output_format": dict[str, Any]}


def anthropic_request() -> Wrong:
    strict()
    whole, stream = TypeAdapter(MessageCreateParamsNonStreaming), TypeAdapter(MessageCreateParamsStreaming)

    def wrong(value: Any) -> list[str]:
        adapter = stream if value.get("stream") else whole
        older = {name: value.pop(name) for name in OLDER.keys() & value.keys()}
        found = [f"{name}.{one}" for name, kept in older.items() for one in model(OLDER[name])()(kept)]
        return found + refused(lambda: exhausted(adapter.validate_python(value)))

    return wrong


def exhausted(value: Any) -> None:
    """Lists are read lazily, and so are found wrong.

    A block of an answer passes for one of a request, whatever it has: only results and what cites them may go back as
    they came.
    """
    if isinstance(value, BaseModel):
        if type(value).__name__.endswith("ToolResultBlock") or (
            getattr(value, "citations", None) and not value.model_extra
        ):
            return
        raise ValueError(f"only a block of answers is as {value!r:.200}")
    if isinstance(value, dict):
        for item in value.values():
            exhausted(item)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for item in value:
            exhausted(item)


def refused(validate: Callable[[], Any]) -> list[str]:
    """What pydantic says; of the members of a union only that which came furthest."""
    try:
        validate()
    except ValidationError as error:
        deepest = sorted(error.errors(include_url=False), key=lambda one: -len(one["loc"]))
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']} ({one['input']!r:.60})" for one in deepest]
    except Exception as error:  # noqa: BLE001 - some types stumble over what they do not know
        return [f"{type(error).__name__}: {error}"]
    return []


def model(kind: Any) -> Callable[[], Wrong]:
    """The type of an answer: what it knows must fit."""
    return lambda: lambda value: refused(partial(TypeAdapter(kind).validate_python, value))


# --- Google -----------------------------------------------------------------------------------------------------

#: The members of a request's body, and the type of each.
BODY: dict[str, Any] = {
    "contents": list[google.Content],
    "systemInstruction": google.Content,
    "tools": list[google.Tool],
    "toolConfig": google.ToolConfig,
    "generationConfig": google.GenerationConfig,
    "safetySettings": list[google.SafetySetting],
    "cachedContent": str,
    "labels": dict[str, str],
    "serviceTier": str,
}


def google_request() -> Wrong:
    adapters = {name: TypeAdapter(kind) for name, kind in BODY.items()}

    def wrong(value: Any) -> list[str]:
        found = [f"{name}: unknown" for name in value.keys() - BODY.keys()]
        for name in value.keys() & BODY.keys():
            wrong = refused(partial(adapters[name].validate_json, json.dumps(value[name])))
            found += [f"{name}.{one}" for one in wrong]
        return found + [f"{path}: not in camel case" for path in snakes(value)]

    return wrong


def snakes(value: Any, path: str = "") -> Iterator[str]:
    """Members with an underscore, which the SDK takes and the service may not; not those of the client's own values."""
    if isinstance(value, list):
        for item in value:
            yield from snakes(item, path)
    elif isinstance(value, dict):
        for name, item in value.items():
            if "_" in name:
                yield f"{path}.{name}"
            if name not in ("args", "response", "parametersJsonSchema", "responseJsonSchema", "properties", "labels"):
                yield from snakes(item, f"{path}.{name}")


# --- Bedrock ----------------------------------------------------------------------------------------------------


def bedrock_request(operation: str) -> Callable[[], Wrong]:
    def made() -> Wrong:
        model = botocore.session.Session().get_service_model("bedrock-runtime")
        shape = model.operation_model(operation).input_shape

        def wrong(value: Any) -> list[str]:
            report = ParamValidator().validate({"modelId": "any", **decoded(value, shape)}, shape)
            return report.generate_report().split("\n") if report.has_errors() else []

        return wrong

    return made


def decoded(value: Any, shape: Any) -> Any:
    """The parameters that a body in JSON stands for: binary ones are in base64 there."""
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
        members = shape.members
        return {name: decoded(item, members[name]) if name in members else item for name, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [decoded(item, shape.member) for item in value]
    return value


# --- Mistral ----------------------------------------------------------------------------------------------------


def mistral_request() -> Wrong:
    def wrong(value: Any) -> list[str]:
        kind = mistral.ChatCompletionStreamRequest if value.get("stream") else mistral.ChatCompletionRequest
        known = {field.alias or name for name, field in kind.model_fields.items()}
        return [f"{name}: unknown" for name in value.keys() - known] + refused(partial(kind.model_validate, value))

    return wrong


MAKERS: dict[str, Callable[[], Wrong]] = {
    "anthropic.request": anthropic_request,
    "anthropic.answer": model(Message),
    "anthropic.event": model(RawMessageStreamEvent),
    "anthropic.beta_answer": model(BetaMessage),
    "anthropic.beta_event": model(BetaRawMessageStreamEvent),
    "google.request": google_request,
    "bedrock.request": bedrock_request("Converse"),
    "bedrock.stream_request": bedrock_request("ConverseStream"),
    "mistral.request": mistral_request,
}


class Types(dict[str, Wrong]):
    """Made when first asked for: each takes a moment."""

    def __missing__(self, name: str) -> Wrong:
        self[name] = MAKERS[name]()
        return self[name]


TYPES = Types()

if __name__ == "__main__":
    main()
