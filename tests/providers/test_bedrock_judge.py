"""AWS's own model of Converse, as botocore has it, judges what we send for every recorded OpenAI request.

Read next: test_bedrock.py. botocore is not among the packages of the tests: where it is not there, this is skipped.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import CannotSay
from gateway.providers.registry import protocol_of
from tests import make
from tests.recordings import load

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("botocore") is None, reason="botocore, the judge, is not there"
)

PROTOCOL = protocol_of("bedrock")
MODELS = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-3-5-sonnet-20240620-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "mistral.mistral-large-2402-v1:0",
    "openai.gpt-oss-120b-1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr",
)


def judge() -> tuple[Any, Any]:
    """What looks at parameters, and the shape that they must have."""
    loaders, model, validate = (
        importlib.import_module(f"botocore.{name}") for name in ("loaders", "model", "validate")
    )
    service = model.ServiceModel(loaders.Loader().load_service_model("bedrock-runtime", "service-2"))
    return validate.ParamValidator(), service.operation_model("Converse").input_shape


def with_bytes(value: Any, name: str = "") -> Any:
    """A body as botocore is given it: what stands in base64 on the wire are bytes there."""
    if isinstance(value, dict):
        return {key: with_bytes(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_bytes(item) for item in value]
    return base64.b64decode(value) if name in ("bytes", "redactedContent") else value


def misfits(value: Any, shape: Any, path: str = "") -> Iterator[str]:
    """What botocore leaves to the service: patterns, lengths, words of a closed set, unions of one member."""
    if shape.type_name == "structure" and not shape.is_document_type:
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            yield f"{path} has {sorted(value)} at once"
        for name, inner in value.items():
            yield from misfits(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for item in value:
            yield from misfits(item, shape.member, f"{path}[]")
    elif shape.type_name == "map":
        for name, inner in value.items():
            yield from misfits(name, shape.key, f"{path}.{name}")
            yield from misfits(inner, shape.value, f"{path}.{name}")
    elif shape.type_name == "string":
        pattern, most = shape.metadata.get("pattern"), shape.metadata.get("max")
        if (pattern and not re.fullmatch(pattern, value)) or (most is not None and len(value) > most):
            yield f"{path} is {value!r}"
        if shape.enum and value not in shape.enum:
            yield f"{path} is {value!r}, not one of {shape.enum}"
    elif shape.type_name in ("float", "integer") and value > shape.metadata.get("max", value):
        yield f"{path} is {value}"


def test_every_recorded_request_becomes_one_that_aws_would_take() -> None:
    validator, shape = judge()
    counted: Counter[str] = Counter()
    for recorded in load("openai"):
        if recorded.request is None or not recorded.request.get("messages"):
            continue
        for model in MODELS:
            try:
                sent = PROTOCOL.render(make.call(fields=recorded.request), make.deployment(model), stream=False)
            except CannotSay:
                counted["refused"] += 1
                continue
            body = {**with_bytes(json.loads(sent.body)), "modelId": model}
            report = validator.validate(body, shape)
            assert not report.has_errors(), f"{recorded.id}: {report.generate_report()}"
            assert not (found := list(misfits(body, shape))), f"{recorded.id}, {model}: {found[:3]}"
            counted["taken"] += 1
    assert counted["taken"] > 20 * counted["refused"]
