"""Whatever a client's SDK lets it say is refused with the member that is wrong, cannot be said, or is rendered.

Read next: made_up.py; tests/conformance/requests.py, which asks the providers' SDKs about real requests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.errors import BadRequest, CannotSay
from gateway.intent import features
from gateway.providers.registry import protocol_of
from gateway.providers.rows import ROWS
from gateway.types import Account, Call, Deployment
from tests import make
from tests.conformance.requests import from_anthropic, from_openai
from tests.dialects.made_up import Impossible, made

MANY = 150
OUTCOMES = {"refused", "not eligible", "cannot say", "rendered"}
#: Models that are asked, of every kind of provider and of every way in which models differ.
MODELS = [
    *((kind, "some-model") for kind in sorted(ROWS)),
    ("openai", "gpt-5-mini"),
    ("anthropic", "claude-3-5-haiku-20241022"),
    ("anthropic", "claude-opus-4-7"),
    ("gemini", "gemini-3-pro-preview"),
    ("vertex", "gemini-2.0-flash"),
    ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock", "amazon.nova-pro-v1:0"),
    ("bedrock", "us.meta.llama3-3-70b-instruct-v1:0"),
    ("bedrock", "openai.gpt-oss-120b-1:0"),
    ("bedrock", "mistral.mistral-large-2407-v1:0"),
]


def deployments() -> Iterator[Deployment]:
    for kind, model in MODELS:
        base = ROWS[kind].base_url or "https://provider.invalid/v1"
        account = Account(kind, kind, base, region="us-east-1")
        yield make.deployment(model, account=account, cannot=ROWS[kind].cannot)


def requests(kind: Any, seed: str, **more: Any) -> Iterator[bytes]:
    dice = Random(seed)
    for _ in range(MANY):
        try:
            asked = made(kind, dice)
        except Impossible:
            continue
        yield json.dumps({**asked, "model": "m", **more}).encode()


def outcomes(call: Call) -> Iterator[str]:
    """What becomes of a call at every model."""
    needs = features.read(call.fields, call.size).features.needs
    for target in deployments():
        if needs & target.cannot:
            yield "not eligible"
            continue
        yield outcome(call, target)


def outcome(call: Call, target: Deployment) -> str:
    try:
        rendered = protocol_of(target.account.kind).render(call, target)
    except CannotSay as error:
        return "cannot say" if error.param else "cannot say what"
    return "rendered" if isinstance(json.loads(rendered.body), dict) else "no object"


def judged(judge: Callable[[bytes], Call], body: bytes) -> Call | str | None:
    """The call that a body is, or the member for which it is refused."""
    try:
        return judge(body)
    except BadRequest as error:
        return error.param


def test_whatever_openais_types_allow_is_refused_or_rendered() -> None:
    params = pytest.importorskip("openai.types.chat.completion_create_params")
    found: Counter[str] = Counter()
    for body in requests(params.CompletionCreateParamsNonStreaming, "openai"):
        call = judged(from_openai, body)
        assert call
        found.update(["refused"] if isinstance(call, str) else outcomes(call))
    assert found["rendered"] > 10 * found["refused"] > 0
    assert found.keys() <= OUTCOMES


@pytest.mark.parametrize("module", ["anthropic.types", "anthropic.types.beta"])
def test_whatever_anthropics_types_allow_is_refused_or_rendered(module: str) -> None:
    params = pytest.importorskip(f"{module}.message_create_params")
    found: Counter[str] = Counter()
    for body in requests(params.MessageCreateParamsNonStreaming, module, max_tokens=1024):
        call = judged(from_anthropic, body)
        assert call
        found.update(["refused"] if isinstance(call, str) else outcomes(call))
        if not isinstance(call, str):
            found.update(outcomes(replace(call, native=None, dialect="openai")))
    assert found["rendered"] > 10 * found["refused"] > 0
    assert found.keys() <= OUTCOMES
