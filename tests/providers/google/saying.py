"""Asking and answering in generateContent's words. Read next: test_reading.py and test_request.py."""

from __future__ import annotations

import json
from typing import Any

from gateway.errors import Failure
from gateway.providers.protocol import Answer, Collect, Feed, Protocol, Rendered
from gateway.providers.registry import ROWS, protocol_of
from gateway.types import Account, Call, Deployment
from tests import make

Body = dict[str, Any]

TEXT = {"text": "Hello"}


def target(model: str = "gemini-2.5-flash", kind: str = "gemini", **more: Any) -> Deployment:
    """A deployment of this model at this kind of provider."""
    account = Account(name="acc", kind=kind, base_url=ROWS[kind].base_url or "")
    return Deployment(**{"name": "d", "account": account, "model": model, **more})


def protocol(kind: str = "gemini") -> Protocol:
    return protocol_of(kind)


def rendered(fields: Body, model: str = "gemini-2.5-flash", kind: str = "gemini", **more: Any) -> Rendered:
    """What becomes of a request with these fields."""
    return protocol(kind).render(make.call(fields=fields), target(model, kind, **more))


def body(fields: Body, model: str = "gemini-2.5-flash", kind: str = "gemini", **more: Any) -> Body:
    """The body that it becomes."""
    decoded: Body = json.loads(rendered(fields, model, kind, **more).body)
    return decoded


def contents(*messages: Body, model: str = "gemini-2.5-flash") -> list[Body]:
    """The contents that these messages become."""
    found: list[Body] = body({"messages": list(messages)}, model)["contents"]
    return found


def candidate(*parts: Body, finish: str | int | None = "STOP", **more: Any) -> Body:
    made: Body = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **more}
    return made if finish is None else {**made, "finishReason": finish}


def chunk(*candidates: Body, **more: Any) -> Body:
    """A chunk, or a whole answer."""
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
    return {
        "candidates": list(candidates),
        "usageMetadata": usage,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
        **more,
    }


def sse(*chunks: Body) -> bytes:
    """A stream as Google sends it."""
    return b"".join([b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in chunks])


def whole(*candidates: Body, **more: Any) -> Body | Failure:
    """The canonical answer that a whole one becomes."""
    got = protocol().parse(json.dumps(chunk(*candidates, **more)).encode(), make.call(), target())
    return json.loads(got.body) if isinstance(got, Answer) else got


def message(*parts: Body, **more: Any) -> Body:
    """The message of an answer of these parts."""
    got = whole(candidate(*parts, **more))
    assert not isinstance(got, Failure), got
    found: Body = got["choices"][0]["message"]
    return found


def choice(*parts: Body, **more: Any) -> Body:
    """The choice of an answer of these parts."""
    got = whole(candidate(*parts, **more))
    assert not isinstance(got, Failure), got
    found: Body = got["choices"][0]
    return found


def feed(call: Call | None = None) -> Feed:
    return protocol().feed(call or make.call(stream=True, include_usage=True), target())


def collect() -> Collect:
    return protocol().collect(make.call(), target())
