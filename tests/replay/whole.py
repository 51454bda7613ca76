"""Whether one recorded exchange came through: what the provider was asked, what the client got, what the record says.

Read next: ../recordings.py, for what a row's repairs may change in an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, to_builtins

from gateway.providers.repairs import Repairs
from gateway.providers.rows import Row
from gateway.reliability.failures import sanitise
from gateway.types import Exchange, Usage
from tests.recordings import Recording, compared, differences, events, invalid, row_of, skeleton, usage_said
from tests.replay.stage import DEAD_ENDS, ROUTE, model_of, request_of, wants_usage
from tests.replay.upstream import Asked
from tests.replay.wire import Got

__all__ = ["BROKEN", "FAILED", "REFUSED", "Ending", "ending_of", "faults", "is_repaired"]


class Ending(Struct, frozen=True):
    """How an exchange ends that is no answer: the status, and the error's type and code.

    ``passes``: the client gets the provider's own words.
    """

    status: int
    type: str
    code: str
    passes: bool = False


#: Requests that the gateway itself refuses, since no provider could serve them; the provider had refused them too.
REFUSED: Final = {
    "openai-0b76be1453a4": Ending(400, "invalid_request_error", "invalid_value"),
    **dict.fromkeys(
        (
            "openai-3c237124cea8",
            "openai-4eb9cc7077c8",
            "openai-98e5bd4d05a4",
            "openai-a018128193b8",
            "openai-ba23c4dde7f3",
        ),
        Ending(400, "invalid_request_error", "unsupported_request"),
    ),
}
#: A success in name only, as recorded: an error or the end came inside the answer.
BROKEN: Final = {
    "groq-f4163b485db1": Ending(400, "invalid_request_error", "tool_use_failed", passes=True),
    "gpustack-f7996323b752": Ending(503, "upstream_error", "upstream_overloaded"),
    "openai-cdb2c760fdd0": Ending(502, "upstream_error", "upstream_truncated"),
}
#: Errors whose words count more than their status.
FAILED: Final = {
    "openrouter-f1b14bb87a6a": Ending(400, "invalid_request_error", "context_length_exceeded", passes=True),
    "perplexity-73d350c455f2": Ending(400, "too_many_prompt_tokens", "context_length_exceeded", passes=True),
}
#: What the meaning table makes of a status.
AUTH: Final = Ending(502, "upstream_error", "upstream_auth")
RATE: Final = Ending(429, "rate_limit_error", "upstream_rate_limited")

#: A row that repairs nothing.
BARE: Final = Row(kind="bare", repairs=Repairs("message"), chunk_repairs=Repairs("delta"))


def ending_of(recorded: Recording) -> Ending | None:
    """How a recorded exchange must end for the client; None for an answer."""
    for listed in (REFUSED, BROKEN, FAILED):
        if recorded.id in listed:
            return listed[recorded.id]
    if recorded.status in (401, 403):
        return AUTH
    if recorded.status == 429:
        return RATE
    if recorded.status == 200:
        return None
    said = json.loads(recorded.body)["error"]
    code = said.get("code")
    named = isinstance(code, str) and not code.isdecimal()
    return Ending(
        recorded.status, said.get("type") or "invalid_request_error", code if named else "invalid_request", True
    )


def is_repaired(recorded: Recording, got: Got) -> bool:
    """Whether a whole answer was not valid as its provider sent it."""
    return got.body != recorded.body and bool(
        differences(recorded, got.body, BARE, include_usage=wants_usage(recorded))
    )


def faults(recorded: Recording, got: Got, asked: list[Asked], record: Exchange | None) -> list[str]:
    """Everything that is not as it must be."""
    ending = ending_of(recorded)
    found = list(request_faults(recorded, asked))
    found += answer_faults(recorded, got) if ending is None else ending_faults(recorded, got, ending)
    found += ["there is no record"] if record is None else record_faults(recorded, got, record, ending)
    return [f"{recorded.id}: {fault}" for fault in found]


# --- what the provider was asked --------------------------------------------------------------------------------


def request_faults(recorded: Recording, asked: list[Asked]) -> Iterator[str]:
    if len(asked) != (recorded.id not in REFUSED):
        yield f"the provider was asked {len(asked)} times"
    for request in asked:
        yield from compared(rendered(recorded), json.loads(request.body), "request", frozenset())
        if request.target != recorded.path and recorded.id not in DEAD_ENDS:
            yield f"asked at {request.target} instead of {recorded.path}"
        if "none" in request.headers.get("authorization", "") or "accept-encoding" not in request.headers:
            yield f"asked with {sorted(request.headers)}"


def rendered(recorded: Recording) -> dict[str, Any]:
    """The recorded request, but for what its row lists, and with how hard to think in the provider's words."""
    row = row_of(recorded.provider)
    names = dict(row.rename)
    fields = {names.get(name, name): value for name, value in request_of(recorded).items() if name not in row.drop}
    fields["model"] = model_of(recorded)
    if row.effort.startswith("toggle") and fields.get("reasoning_effort"):
        fields["thinking"] = {"type": "enabled", **(fields.get("thinking") or {})}
        if row.effort == "toggle":
            del fields["reasoning_effort"]
    for message in fields["messages"]:
        if message.get("tool_calls") == []:
            del message["tool_calls"]
    if not row.include_usage:
        fields.pop("stream_options", None)
    elif fields.get("stream"):
        fields["stream_options"] = {**(fields.get("stream_options") or {}), "include_usage": True}
    return fields


# --- what the client got ----------------------------------------------------------------------------------------


def answer_faults(recorded: Recording, got: Got) -> Iterator[str]:
    if got.status != 200:
        yield f"status {got.status}: {got.body[:200]!r}"
        return
    kind = "text/event-stream; charset=utf-8" if recorded.stream else "application/json"
    if got.headers["content-type"] != kind:
        yield f"content-type {got.headers['content-type']}"
    bodies = events(got.body) if recorded.stream else [json.loads(got.body)]
    if errors := [body for body in bodies if "choices" not in body]:
        yield f"broken off: {errors}"
        return
    yield from differences(recorded, got.body, row_of(recorded.provider), include_usage=wants_usage(recorded))
    for body in {skeleton(body): body for body in bodies}.values():
        yield from invalid(body)
    if recorded.stream and closing(got.body) is None:
        yield f"the stream ends with {got.body[-80:]!r}"


def closing(body: bytes) -> dict[str, Any] | None:
    """The figures in a stream's last comment; None when it does not end with one, and then ``[DONE]``, as it must."""
    *_, comment, done, rest = body.split(b"\n\n")
    if (done, rest) != (b"data: [DONE]", b"") or not comment.startswith(b": gateway {"):
        return None
    figures: dict[str, Any] = json.loads(comment.removeprefix(b": gateway "))
    return figures


def ending_faults(recorded: Recording, got: Got, ending: Ending) -> Iterator[str]:
    """An error in the envelope: as a response, or as a stream's last event where content had gone out."""
    if got.headers["content-type"].startswith("text/event-stream"):
        body, expected = events(got.body)[-1], 200
        if b"[DONE]" in got.body:
            yield "a broken stream says [DONE]"
    else:
        body, expected = json.loads(got.body), ending.status
    yield from invalid(body)
    error = body.get("error", {})
    if (got.status, error.get("type"), error.get("code")) != (expected, ending.type, ending.code):
        yield f"ended with {got.status} {error}"
    said = provider_said(recorded)
    if ending.passes and error.get("message") != sanitise(said):
        yield f"{said!r} became {error.get('message')!r}"
    if ending is RATE and "retry-after" not in got.headers:
        yield f"the client is not told when to come back: {sorted(got.headers)}"
    if not ending.passes and said and said in error.get("message", ""):
        yield f"the provider's words went out: {error['message']!r}"


def provider_said(recorded: Recording) -> str:
    """The message of the error in an answer or stream; empty where there is none."""
    bodies = events(recorded.body) if recorded.stream and recorded.status == 200 else [json.loads(recorded.body)]
    errors = [body["error"] for body in bodies if body.get("error")]
    return str(errors[-1]["message"]) if errors else ""


# --- what the record says ---------------------------------------------------------------------------------------


def record_faults(recorded: Recording, got: Got, record: Exchange, ending: Ending | None) -> Iterator[str]:
    expected = {"model": ROUTE + recorded.id, "status": got.status, "stream": bool(request_of(recorded).get("stream"))}
    if recorded.id not in REFUSED:
        expected |= {"deployment": recorded.id, "provider": recorded.id}
        yield from attempt_faults(recorded, record)
    elif record.model is None:
        del expected["model"], expected["stream"]
    said = {name: getattr(record, name) for name in expected}
    if said != expected:
        yield f"the record says {said} of {expected}"
    if ending is None:
        yield from usage_faults(recorded, record)
        if record.outcome != "ok" or (record.served_model or model_of(recorded)) != served(recorded):
            yield f"the record says {record.outcome} by {record.served_model}"
    elif record.outcome in ("ok", "fallback_ok"):
        yield f"the record says {record.outcome} of an error"
    figures = closing(got.body) if recorded.stream else None
    if figures and (figures["decision_id"] != record.id or figures["usage"] != to_builtins(record.usage)):
        yield f"the stream's last comment says {figures}, the record {record.usage}"


def attempt_faults(recorded: Recording, record: Exchange) -> Iterator[str]:
    said = [(attempt.deployment, attempt.status) for attempt in record.attempts]
    if said != [(recorded.id, recorded.status)]:
        yield f"the record's attempts are {said}"


def served(recorded: Recording) -> str:
    bodies = events(recorded.body) if recorded.stream else [json.loads(recorded.body)]
    return next((body["model"] for body in bodies if body.get("model")), model_of(recorded))


def usage_faults(recorded: Recording, record: Exchange) -> Iterator[str]:
    """The record's usage is what was reported; reasoning and cached tokens are in it, wherever they were counted."""
    bodies = events(recorded.body) if recorded.stream else [json.loads(recorded.body)]
    reported = [said for body in bodies if (said := usage_said(body))]
    usage = record.usage
    if usage is None:
        yield "the record has no usage"
    elif usage.estimated != (not reported):
        yield f"the record says {usage} of {reported[-1:]}"
    elif record.cost != usage.input + 2 * usage.output:
        yield f"{usage} costs {record.cost}"
    elif reported and usage not in possible(reported[-1]):
        yield f"the record says {usage} of {reported[-1]}"


def possible(reported: Mapping[str, Any]) -> list[Usage]:
    """Reported usage in the gateway's words, with cached and reasoning tokens inside the totals or beside them."""
    prompt = reported.get("prompt_tokens_details") or {}
    completion = reported.get("completion_tokens_details") or {}
    cached = prompt.get("cached_tokens") or reported.get("prompt_cache_hit_tokens") or 0
    reasoning = completion.get("reasoning_tokens") or 0
    input, output = reported["prompt_tokens"], reported.get("completion_tokens") or 0
    written = prompt.get("cache_write_tokens") or 0
    heard, spoken = prompt.get("audio_tokens") or 0, completion.get("audio_tokens") or 0
    beside = {input, input + cached} if cached > input else {input, input + heard}
    return [
        Usage(i, o, cached, written, reasoning=reasoning, audio_input=heard, audio_output=spoken)
        for i in beside
        for o in (output, output + reasoning)
        if o >= reasoning
    ]
