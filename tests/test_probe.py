"""What a provider that nobody asks is asked, by each protocol, and what its answer says. Read next: test_health.py."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.config.load import load_text
from gateway.errors import CredentialFailed, Failure
from gateway.health.probe import probe
from gateway.types import Endpoint, Timeouts, Usage, WireRequest
from gateway.upstream.targets import Target, make_ready

ENVIRON = {
    "ANTHROPIC_API_KEY": "k",
    "GEMINI_API_KEY": "k",
    "AWS_BEARER_TOKEN_BEDROCK": "k",
    "AWS_REGION": "eu-west-1",
    "GOOGLE_CLOUD_PROJECT": "p",
    "GOOGLE_CLOUD_LOCATION": "europe-west4",
    "FOUNDRY": "https://me.services.ai.azure.com/anthropic",
    "AZURE": "https://me.openai.azure.com",
}


class Reply:
    """An answer without a body."""

    def __init__(self, status: int) -> None:
        self.status, self.headers, self.closed = status, (), False

    def close(self) -> None:
        self.closed = True


class Transport:
    """Answers everything with one status. ``asked`` is what it was asked last."""

    def __init__(self, status: int) -> None:
        self.reply = Reply(status)
        self.asked: WireRequest | None = None

    async def send(self, request: WireRequest, timeouts: Timeouts) -> Any:
        self.asked = request
        return self.reply


class Ended:
    """Leave that keeps what came of it."""

    key = 0

    def __init__(self) -> None:
        self.failures: list[Failure | None] = []

    def ended(self, failure: Failure | None, usage: Usage | None, now: float) -> None:
        self.failures.append(failure)


def ready(provider: str, transport: Any) -> Target:
    text = f"providers: {{up: {provider}}}\ndeployments: {{d: {{provider: up, model: m}}}}\n"
    return make_ready(load_text(text, ENVIRON), {"http1": transport})["d"]


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("{kind: openai, api_key: k}", "api.openai.com/v1/models"),
        ("{kind: anthropic}", "api.anthropic.com/v1/models"),
        ("{kind: azure_anthropic, endpoint: '${FOUNDRY}', api_key: k}", "me.services.ai.azure.com/anthropic/v1/models"),
        ("{kind: gemini}", "generativelanguage.googleapis.com/v1beta/models"),
        # These know no such address: their 404 is an answer of the host that serves.
        (
            "{kind: azure_openai, endpoint: '${AZURE}', api_key: k}",
            "me.openai.azure.com/openai/v1/models",
        ),
        (
            "{kind: vertex}",
            "europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers/google/models",
        ),
        ("{kind: bedrock}", "bedrock-runtime.eu-west-1.amazonaws.com/foundation-models"),
    ],
)
def test_the_host_that_serves_is_asked_for_its_models(provider: str, address: str) -> None:
    models = ready(provider, Transport(200)).models
    assert (models.method, f"{models.host}{models.target}".partition("?")[0]) == ("GET", address)


@pytest.mark.parametrize("provider", ["{kind: anthropic}", "{kind: gemini}", "{kind: bedrock}"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, None),
        (400, None),
        (401, None),
        (403, None),
        (404, None),
        (429, "rate"),
        (500, "overloaded"),
        (503, "overloaded"),
    ],
)
async def test_any_answer_but_a_failure_of_the_server_is_a_sign_of_life(
    provider: str, status: int, kind: str | None
) -> None:
    transport, leave = Transport(status), Ended()
    await probe(ready(provider, transport), leave, lambda: 0.0)  # type: ignore[arg-type]
    assert [failure and failure.kind for failure in leave.failures] == [kind]
    assert transport.reply.closed


class Login:
    def __init__(self, refused: bool) -> None:
        self._refused = refused

    async def headers(self, endpoint: Endpoint, body: bytes) -> Any:
        raise CredentialFailed("no token", refused=self._refused)

    def refused(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(("refused", "kind"), [(True, "auth"), (False, "connect")])
async def test_a_login_that_yields_nothing_is_no_sign_of_life_and_nobody_is_asked(refused: bool, kind: str) -> None:
    transport, leave = Transport(200), Ended()
    target = replace(ready("{kind: vertex}", transport), credential=Login(refused))
    await probe(target, leave, lambda: 0.0)  # type: ignore[arg-type]
    assert ([failure and failure.kind for failure in leave.failures], transport.asked) == ([kind], None)
