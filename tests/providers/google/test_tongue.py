"""Where generateContent is asked, and what its errors mean. Read next: test_request.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import asdict

from gateway import __version__
from gateway.errors import Failure
from gateway.types import Endpoint, Secret
from tests import make
from tests.providers.google.saying import body, protocol, target

COMMON = (
    (b"content-type", b"application/json"),
    (b"user-agent", f"signalbox/{__version__}".encode()),
)


def endpoint(kind: str, base_url: str | None, key: str | None, *, stream: bool, model: str = "gemini-x") -> Endpoint:
    where = target(model, kind)
    if base_url is not None:
        account = make.ACCOUNT.__class__(name="acc", kind=kind, base_url=base_url)
        where = target(model, kind, account=account)
    return protocol(kind).endpoint(where, None if key is None else Secret(key), stream=stream)


def test_ai_studio() -> None:
    assert asdict(endpoint("gemini", None, "AIzaKey", stream=True, model="models/gemini-x")) == {
        "scheme": "https",
        "host": "generativelanguage.googleapis.com",
        "port": 443,
        "method": "POST",
        "target": "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
        "headers": (*COMMON, (b"x-goog-api-key", b"AIzaKey")),
        "max_connections": 1000,
    }
    assert endpoint("gemini", None, "k", stream=False).target == "/v1beta/models/gemini-x:generateContent"


def test_vertex_takes_a_token_or_a_key() -> None:
    base = "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/?a=b"
    got = endpoint("vertex", base, "ya29.token", stream=True)
    path = "/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-x"
    assert got.target == f"{path}:streamGenerateContent?alt=sse&a=b"
    assert got.headers == (*COMMON, (b"authorization", b"Bearer ya29.token"))
    express = endpoint("vertex", "https://aiplatform.googleapis.com/v1", "AQ.key", stream=False)
    assert express.target == "/v1/publishers/google/models/gemini-x:generateContent"
    assert express.headers == (*COMMON, (b"x-goog-api-key", b"AQ.key"))
    assert endpoint("vertex", base, None, stream=False).headers == COMMON


def test_the_models_are_listed() -> None:
    got = protocol().models(target(), Secret("k"))
    assert (got.method, got.target, got.headers[-1]) == ("GET", "/v1beta/models", (b"x-goog-api-key", b"k"))


def test_an_address_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="not an http"):
        endpoint("vertex", "nowhere", None, stream=False)


def test_the_rest_of_an_answer_is_asked_for_after_its_beginning() -> None:
    call = make.call(fields={"max_tokens": 10})
    resumed = protocol().resume(call, target(), "12345678")
    rendered = json.loads(protocol().render(resumed, target()).body)
    assert rendered["contents"][-1] == {"role": "model", "parts": [{"text": "12345678"}]}
    assert rendered["generationConfig"] == {"maxOutputTokens": 8}
    assert body({"max_tokens": 10})["generationConfig"] == {"maxOutputTokens": 10}


def fault(code: int, *, message: str = "m", details: tuple[dict[str, Any], ...] = (), **error: Any) -> Failure:
    said = {"error": {"code": code, "message": message, "details": list(details), **error}}
    one = protocol().fault(code, (), json.dumps(said).encode(), target())
    listed = protocol().fault(code, (), json.dumps([said]).encode(), target())
    assert one == listed
    return one


def test_faults() -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
    day = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerDay"}]}
    invalid = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    exhausted = "RESOURCE_EXHAUSTED"
    limited = fault(429, status=exhausted, details=(retry,))
    assert (limited.kind, limited.retry_after_s) == ("rate", 34.4)
    assert fault(429, status=exhausted, details=(day, retry)).kind == "quota"
    assert fault(400, status="INVALID_ARGUMENT", details=(invalid,)).kind == "auth"
    assert fault(400, status="FAILED_PRECONDITION", message="User location is not supported.").kind == "auth"
    assert fault(403, status="PERMISSION_DENIED").kind == "auth"
    assert fault(400, status="INVALID_ARGUMENT").kind == "client"
    too_long = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    assert fault(400, status="INVALID_ARGUMENT", message=too_long).kind == "context"
    assert fault(404, status="NOT_FOUND").kind == "client"
    assert fault(503, status="UNAVAILABLE").kind == "overloaded"
    assert fault(504, status="DEADLINE_EXCEEDED").kind == "overloaded"
