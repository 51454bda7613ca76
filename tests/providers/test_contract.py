"""What holds for every provider in the registry: requests, answers, streams and faults.

Read next: test_recordings.py, the same on real traffic. A new row is picked up here by itself.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import __version__
from gateway.errors import Failure
from gateway.providers.protocol import Answer, Protocol, Rendered
from gateway.providers.registry import ROWS, protocol_of
from gateway.types import Account, Deployment, Secret, Usage
from tests import make
from tests.providers.streams import ENVELOPE, USAGE, answer, chunk, deliver, sse, usage_chunk

EVERYBODY = sorted(ROWS)
everybody = pytest.mark.parametrize("kind", EVERYBODY)
#: Those that speak OpenAI's protocol: what is said of bodies here is said of its.
KINDS = sorted(kind for kind, row in ROWS.items() if row.protocol == "openai")
every = pytest.mark.parametrize("kind", KINDS)


def account(kind: str, **more: Any) -> Account:
    base = ROWS[kind].base_url or "https://example.test/v1"
    return Account(**{"name": "acc", "kind": kind, "base_url": base, **more})


def target(kind: str, model: str = "some/model", **more: Any) -> Deployment:
    return Deployment(name="d", account=account(kind, **more), model=model)


# --- the rows ---------------------------------------------------------------------------------------------------


@everybody
def test_a_row_is_whole(kind: str) -> None:
    row = ROWS[kind]
    assert row.kind == kind
    assert row.base_url is None or row.base_url.startswith(("https://", "http://127.0.0.1", "http://simulated"))
    assert row.env or not row.key_required
    assert (row.repairs.name, row.chunk_repairs.name) == ("message", "delta")


def test_an_unknown_kind_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        protocol_of("nobody")


# --- endpoint ---------------------------------------------------------------------------------------------------


@every
def test_the_key_is_in_exactly_one_header_and_in_no_repr(kind: str) -> None:
    endpoint = protocol_of(kind).endpoint(target(kind), Secret("s3cret"), stream=False)
    headers = dict(endpoint.headers)
    assert [name for name, value in headers.items() if b"s3cret" in value] in ([b"authorization"], [b"api-key"])
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"user-agent"] == f"signalbox/{__version__}".encode()
    assert all(name == name.lower() for name in headers)
    assert endpoint.method == "POST"
    assert b"s3cret" not in dict(protocol_of(kind).endpoint(target(kind), None, stream=False).headers).values()


@pytest.mark.parametrize(
    ("kind", "base", "version", "origin", "path"),
    [
        ("openai", "https://api.openai.com/v1", None, "https://api.openai.com:443", "/v1/chat/completions"),
        ("openai", "https://h.test:8443/v1/", None, "https://h.test:8443", "/v1/chat/completions"),
        ("openai", "http://[::1]:9/v1?team=a", None, "http://[::1]:9", "/v1/chat/completions?team=a"),
        ("writer", "https://api.writer.com/v1", None, "https://api.writer.com:443", "/v1/chat"),
        (
            "azure_openai",
            "https://r.test",
            "2024-10-21",
            "https://r.test:443",
            "/openai/deployments/some%2Fmodel/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure_openai",
            "https://r.test/openai/deployments/own",
            "2024-10-21",
            "https://r.test:443",
            "/openai/deployments/own/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure_openai",
            "https://r.test/openai/deployments/own",
            None,
            "https://r.test:443",
            "/openai/deployments/own/chat/completions",
        ),
        (
            "azure_openai",
            "https://r.test/models",
            "2024-05-01-preview",
            "https://r.test:443",
            "/models/chat/completions?api-version=2024-05-01-preview",
        ),
        ("azure_openai", "https://r.test", None, "https://r.test:443", "/openai/v1/chat/completions"),
        ("azure_openai", "https://r.test/openai/v1", None, "https://r.test:443", "/openai/v1/chat/completions"),
        (
            "azure_openai",
            "https://r.test/openai/v1/",
            "preview",
            "https://r.test:443",
            "/openai/v1/chat/completions?api-version=preview",
        ),
    ],
)
def test_the_address_follows_the_account(kind: str, base: str, version: str | None, origin: str, path: str) -> None:
    endpoint = protocol_of(kind).endpoint(target(kind, base_url=base, api_version=version), None, stream=False)
    assert (endpoint.origin, endpoint.target) == (origin, path)


def test_headers_of_the_account_come_last_and_win() -> None:
    more = (("X-Team", "a"), ("User-Agent", "mine"))
    headers = dict(protocol_of("openai").endpoint(target("openai", headers=more), None, stream=False).headers)
    assert (headers[b"x-team"], headers[b"user-agent"]) == (b"a", b"mine")


@pytest.mark.parametrize("base", ["", "ftp://h.test", "h.test/v1", "https://"])
def test_an_address_that_is_none_is_named(base: str) -> None:
    with pytest.raises(ValueError, match="account acc"):
        protocol_of("openai_compatible").endpoint(target("openai_compatible", base_url=base), None, stream=False)


# --- render -----------------------------------------------------------------------------------------------------


@every
def test_unknown_members_survive_and_the_callers_body_is_not_touched(kind: str) -> None:
    fields = {"stream": True, "x_unknown": {"deep": [1, None, "é"]}, "stream_options": {"extra": 1}, "temperature": 0.5}
    call = make.call("hi", fields=fields)
    before = json.dumps(call.fields)
    sent = said(protocol_of(kind).render(call, target(kind)))
    assert json.dumps(call.fields) == before
    assert (sent["model"], sent["x_unknown"], sent["temperature"]) == ("some/model", fields["x_unknown"], 0.5)
    assert sent["messages"] == call.fields["messages"]
    if ROWS[kind].include_usage:
        assert sent["stream_options"] == {"extra": 1, "include_usage": True}
    else:
        assert "stream_options" not in sent


@every
def test_a_call_that_is_no_stream_asks_for_no_stream_options(kind: str) -> None:
    assert "stream_options" not in said(protocol_of(kind).render(make.call(), target(kind)))


@every
def test_a_stream_is_asked_for_with_its_usage_though_the_client_wants_json(kind: str) -> None:
    for fields in ({}, {"stream": False}, {"stream": None}):
        call = make.call(fields=fields)
        before = json.dumps(call.fields)
        sent = said(protocol_of(kind).render(call, target(kind), stream=True))
        assert json.dumps(call.fields) == before
        as_asked = said(protocol_of(kind).render(make.call(fields={"stream": True}), target(kind)))
        assert sent == as_asked
        assert sent["stream"] is True
        assert sent.get("stream_options") == ({"include_usage": True} if ROWS[kind].include_usage else None)


@every
def test_json_is_asked_for_though_the_client_wants_a_stream(kind: str) -> None:
    call = make.call(fields={"stream": True, "stream_options": {"include_usage": True}})
    sent = said(protocol_of(kind).render(call, target(kind), stream=False))
    assert (sent["stream"], sent.get("stream_options")) == (False, None)
    assert protocol_of(kind).render(call, target(kind), stream=True) == protocol_of(kind).render(call, target(kind))


@every
def test_members_go_by_the_providers_names(kind: str) -> None:
    row = ROWS[kind]
    fields = {old: number for number, (old, _) in enumerate(row.rename)} | dict.fromkeys(row.drop, 1)
    sent = said(protocol_of(kind).render(make.call(fields=fields), target(kind)))
    assert {new: sent.get(new) for _, new in row.rename} == {new: n for n, (_, new) in enumerate(row.rename)}
    assert not (set(fields) - {new for _, new in row.rename}) & set(sent)


def test_a_name_of_the_providers_own_is_not_overwritten() -> None:
    call = make.call(fields={"max_completion_tokens": 5, "max_tokens": 7})
    assert said(protocol_of("mistral").render(call, target("mistral")))["max_tokens"] == 7


def said(rendered: Rendered) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rendered.body)
    return found


# --- parse ------------------------------------------------------------------------------------------------------


def parse(kind: str, body: object) -> Answer | Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return protocol_of(kind).parse(raw, make.call(), target(kind))


@every
def test_a_valid_answer_passes_byte_for_byte(kind: str) -> None:
    for raw in (json.dumps(answer(x_unknown=[1])).encode(), b"\n \n" + json.dumps(answer(), indent=1).encode()):
        assert parse(kind, raw) == Answer(raw, "m-2026", Usage(input=7, output=3), "stop", 11)


@every
def test_every_cut_of_an_answer_is_a_failure(kind: str) -> None:
    raw = json.dumps(answer()).encode()
    for cut in range(len(raw)):
        got = parse(kind, raw[:cut])
        assert isinstance(got, Failure), cut
        assert got.kind == "truncated"


@every
@pytest.mark.parametrize(
    ("body", "kind_of_failure"),
    [
        ({"error": {"message": "m", "type": "server_error"}}, "overloaded"),
        ({"error": {"message": "m", "code": 429}}, "rate"),
        (answer(error={"message": "m", "type": "insufficient_quota"}), "quota"),
        (
            answer(choices=[{"index": 0, "error": {"message": "m", "code": 502}, "finish_reason": "error"}]),
            "overloaded",
        ),
        (answer(finish="error"), "overloaded"),
        (answer(choices=[]), "truncated"),
        (answer(choices=None), "truncated"),
        ({}, "truncated"),
        (b"<html>", "garbage"),
        (b"[]", "garbage"),
        (b'"text"', "garbage"),
        (b'{"id": "\xff"}', "garbage"),
        (answer({"content": 7}), "garbage"),
    ],
)
def test_what_is_no_complete_answer_is_a_failure(kind: str, body: object, kind_of_failure: str) -> None:
    got = parse(kind, body)
    assert isinstance(got, Failure)
    assert got.kind == kind_of_failure


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "snowflake"])
def test_an_answer_without_a_finish_reason_is_truncated(kind: str) -> None:
    got = parse(kind, answer(finish=None))
    assert isinstance(got, Failure)
    assert got.kind == "truncated"


@every
def test_an_error_that_is_null_does_not_hide_an_answer(kind: str) -> None:
    assert isinstance(parse(kind, answer(error=None)), Answer)


@every
def test_absent_members_become_null_and_nothing_else_changes(kind: str) -> None:
    body = answer(x_unknown={"a": 1})
    whole = json.loads(json.dumps(body))
    del body["choices"][0]["logprobs"], body["choices"][0]["message"]["refusal"]
    got = parse(kind, body)
    assert isinstance(got, Answer)
    assert json.loads(got.body) == whole


def test_an_answer_gets_the_identity_it_lacks() -> None:
    got = parse("openai_compatible", {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert isinstance(got, Answer)
    assert json.loads(got.body) == {
        "id": "chatcmpl-" + "0" * 32,
        "object": "chat.completion",
        "created": 0,
        "model": "some/model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }


def test_tool_calls_of_an_answer_are_made_valid() -> None:
    calls = [
        {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
        {"id": "b", "type": "function", "index": 0, "function": {"name": "g"}},
    ]
    got = parse("openai_compatible", answer({"content": None, "tool_calls": calls}, "tool_calls"))
    assert isinstance(got, Answer)
    assert json.loads(got.body)["choices"][0]["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "index": 0, "function": {"name": "g", "arguments": "{}"}},
    ]


# --- feed -------------------------------------------------------------------------------------------------------

CHUNKS = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hé"}, x_unknown={"a": [1]}),
    chunk({"reasoning_content": "hm"}),
    chunk({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
    chunk(finish="tool_calls"),
)


@every
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stream_is_the_same_at_every_cut(kind: str, end: str) -> None:
    protocol, call = protocol_of(kind), make.call(stream=True, include_usage=True)
    data = sse(*CHUNKS[:2], ": ping", *CHUNKS[2:], usage_chunk(), end=end)
    for cut in range(0, len(data), 7):
        delivered = deliver(protocol.feed(call, target(kind)), data, [cut, cut + 1])
        assert delivered.events == [*CHUNKS, usage_chunk()]
        feed = delivered.feed
        assert (delivered.done, feed.finish, feed.model) == (True, "tool_calls", "m-2026")
        assert (feed.usage, feed.output_bytes) == (Usage(input=7, output=3), 8)


@every
def test_the_first_content_is_seen(kind: str) -> None:
    protocol = protocol_of(kind)
    delivered = deliver(
        protocol.feed(make.call(stream=True), target(kind)), sse(*CHUNKS), [len(sse(CHUNKS[0], done=False))]
    )
    assert delivered.first is not None
    assert b"role" not in delivered.first


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        "id object created model choices index delta message finish_reason content tool_calls function arguments name "
        "usage prompt_tokens total_tokens prompt_tokens_details error code x_groq logprobs role refusal service_tier "
        "reasoning annotations type thinking text".split()
    ), inner, max_size=6),
    max_leaves=12,
)  # fmt: skip


def grafted(base: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    copy = json.loads(json.dumps(base))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy  # type: ignore[no-any-return]


PLACES = [
    ("choices",),
    ("usage",),
    ("created",),
    ("error",),
    ("x_groq",),
    ("choices", 0),
    ("choices", 0, "index"),
    ("choices", 0, "logprobs"),
    ("choices", 0, "PART"),
    ("choices", 0, "PART", "content"),
    ("choices", 0, "PART", "tool_calls"),
    ("choices", 0, "PART", "annotations"),
    ("choices", 0, "finish_reason"),
]


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(KINDS), st.sampled_from(PLACES), JSON)
def test_no_json_whatever_breaks_a_reader(kind: str, path: tuple[Any, ...], value: object) -> None:
    protocol: Protocol = protocol_of(kind)
    as_answer = tuple("message" if step == "PART" else step for step in path)
    got = protocol.parse(json.dumps(grafted(answer(), as_answer, value)).encode(), make.call(), target(kind))
    assert isinstance(got, Answer | Failure)
    as_chunk = tuple("delta" if step == "PART" else step for step in path)
    odd = grafted({**chunk({"content": "x"}), "usage": USAGE}, as_chunk, value)
    delivered = deliver(protocol.feed(make.call(stream=True), target(kind)), sse(*CHUNKS[:3], odd, *CHUNKS[3:]))
    assert delivered.done != (delivered.failure is not None)
    assert all(event["object"] == ENVELOPE["object"] for event in delivered.events)
    reader = protocol.collect(make.call(), target(kind))
    gathered = deliver(reader, sse(*CHUNKS[:3], odd, *CHUNKS[3:]))
    assert (gathered.data, gathered.done) == (b"", reader.answer is not None)
    assert gathered.done != (gathered.failure is not None)
    if reader.answer is not None:
        assert isinstance(protocol.parse(reader.answer.body, make.call(), target(kind)), Answer)


@every
def test_a_provider_may_begin_to_err_in_ways_that_its_row_does_not_know(kind: str) -> None:
    odd = {**chunk({"role": None, "content": "x"}), "service_tier": "brand-new", "object": "chunk", "created": 1.5}
    del odd["choices"][0]["finish_reason"]
    delivered = deliver(protocol_of(kind).feed(make.call(stream=True), target(kind)), sse(odd, *CHUNKS))
    assert delivered.done
    assert delivered.events[0] == {
        **chunk({"content": "x"}),
        "created": 1,
        "service_tier": None,
        "native_service_tier": "brand-new",
    }
    got = parse(kind, answer({"role": "model"}, service_tier="brand-new"))
    assert isinstance(got, Answer)
    assert json.loads(got.body) == answer(service_tier=None, native_service_tier="brand-new")


# --- fault ------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, b"<html>busy</html>", "overloaded"),
        (429, b'{"error": {"message": "Please try again in 20ms", "code": "rate_limit_exceeded"}}', "rate"),
        (429, b'{"error": {"type": "insufficient_quota"}}', "quota"),
        (401, b"", "auth"),
        (400, b'{"error": {"code": "context_length_exceeded"}}', "context"),
        (400, b'{"error": {"code": "content_filter"}}', "filter"),
        (422, b'{"detail": [{"loc": ["body"], "msg": "m"}]}', "client"),
        (302, b"", "garbage"),
    ],
)
def test_a_fault_has_a_kind_and_a_message(kind: str, status: int, body: bytes, expected: str) -> None:
    failure = protocol_of(kind).fault(status, [(b"Retry-After", b"3")], body, target(kind))
    assert (failure.kind, failure.status, failure.in_band) == (expected, status, False)
    assert failure.message
    assert failure.retry_after_s == 3.0
