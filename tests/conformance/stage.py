"""The stage that the checks play on: a simulated provider, the gateway's configuration, and what the provider saw.

Read next: checks.py, which says what an SDK must find here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.keys.form import Pepper
from gateway.testing.faults import Cut, InBandError, Refuse, refusal
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from tests.conformance.checks import KEY, MAX_BODY, NARROW_KEY

__all__ = ["ENVIRON", "Stage", "stage"]

#: What the configuration takes from its environment.
ENVIRON: Final = {"PROVIDER_KEY": "sk-of-the-provider"}

LOGPROBS: Final = {
    "content": [{"token": "Yes", "logprob": -0.25, "bytes": [89, 101, 115], "top_logprobs": []}],
    "refusal": None,
}
HEAD: Final = {"id": "chatcmpl-1", "created": 1, "model": "logprobs", "system_fingerprint": None}


def whole_with_logprobs() -> Refuse:
    message = {"role": "assistant", "content": "Yes", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": LOGPROBS, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    body = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}
    return Refuse(200, msgspec.json.encode(body))


def streamed_with_logprobs() -> Refuse:
    said = {"index": 0, "delta": {"role": "assistant", "content": "Yes"}, "logprobs": LOGPROBS, "finish_reason": None}
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    chunks = [{**HEAD, "object": "chat.completion.chunk", "choices": [choice]} for choice in (said, last)]
    events = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)
    return Refuse(200, events + b"data: [DONE]\n\n", content_type="text/event-stream")


def limited_for_a_moment() -> Refuse:
    return refusal(429, "requests", "rate_limit_exceeded", "Slow down.", headers=(("retry-after-ms", "200"),))


#: What each model does. A check has a model of its own where it asks afterwards what the provider saw. No name is
#: that of a fault, which would be taken for it.
SCRIPTS: Final[Mapping[str, tuple[Script, ...]]] = {
    "plain": (Script(text="Fünf – 五 🙂."),),
    "made-up": (),
    "vendor/model-1:free": (Script(text="Here."),),
    "reasons": (Script(reasoning="Let me think.", text="Done."),),
    "refuses": (Script(refusal="I will not."),),
    "cut-short": (Script(text='{"city": "Ber', finish="length"),),
    "filtered": (Script(text="", finish="content_filter"),),
    "logprobs": (Script(fault=whole_with_logprobs()),),
    "logprobs-stream": (Script(fault=streamed_with_logprobs()),),
    "sees": (),
    "extra": (),
    "headers": (),
    "null": (),
    "invalid": (Script(fault="invalid_request"),),
    "not-authorized": (Script(fault="unauthorized"),),
    "limited": (Script(fault="rate_limited_bare"),),
    "busy": (Script(fault="overloaded"),),
    "broken": (Script(fault="html"),),
    "down": (Script(fault="server_error"),),
    "momentary": (Script(fault=limited_for_a_moment(), times=1), Script(text="Here I am again.")),
    "silent": (Script(fault="silence"),),
    "cut-off": (Script(fault=Cut(after=3), words=20),),
    "reset-midway": (Script(fault=Cut(after=3, reset=True), words=20, pace=Pace(0, 0.02)),),
    "in-band-midway": (Script(fault=InBandError(after=3), words=20),),
    "in-band-at-once": (Script(fault="in_band_error"),),
}


class Stage(Struct, frozen=True, eq=False):
    """``config`` is the gateway's YAML; ``seen`` is the address that tells what the provider was sent."""

    provider: SimulatedProvider
    config: str
    seen: str


def config_for(provider: SimulatedProvider) -> str:
    """Each model is a route of one try, so that it is the SDK's patience that is judged and not the gateway's.

    Each has an account of its own too, and no breaker opens: what one check does to a model is nothing to the next.
    """
    lines = [
        "providers:",
        *(
            f"  by.{model}: {{kind: openai_compatible, allow_private: true, api_key: '${{PROVIDER_KEY}}',"
            f" base_url: '{provider.url}'}}"
            for model in SCRIPTS
        ),
        "deployments:",
        *(
            f"  at.{model}: {{provider: by.{model}, model: '{model}', price: {{input: 1, output: 2}}}}"
            for model in SCRIPTS
        ),
        "routes:",
        *(
            f"  - {{name: '{model}', policy: {{pool: [at.{model}], retry: {{attempts: 1, same_target: 0}}}}}}"
            for model in SCRIPTS
        ),
        "keys:",
        f"  - {{id: team, secret_hash: {Pepper().digest(KEY)}}}",
        f"  - {{id: narrow, secret_hash: {Pepper().digest(NARROW_KEY)}, routes: [plain]}}",
        "reliability: {breaker: {min_failures: 1000}}",
        f"server: {{port: 0, admin_port: 0, drain_delay: 0s, max_body: {MAX_BODY}}}",
    ]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A provider with every script in place, until the block is left."""
    async with SimulatedProvider() as provider:
        for model, scripts in SCRIPTS.items():
            provider.script(model, *scripts)

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = msgspec.json.encode([seen(request.fields, request.headers) for request in provider.requests])
            writer.write(b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(tell, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield Stage(provider, config_for(provider), f"http://127.0.0.1:{port}/")


def seen(fields: dict[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    return {"fields": fields, "headers": dict(headers)}
