"""A stream read for a client that asked for JSON: the answer is what JSON would have been, or there is none.

Read next: whole.py, which makes the answers and the streams up; test_recordings.py, the same on real traffic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.errors import Failure
from gateway.providers import gather
from gateway.providers.gather import Gather
from gateway.providers.openai import OpenAI
from gateway.providers.protocol import Answer, Piece
from gateway.providers.registry import ROWS, protocol_of
from gateway.types import Usage
from tests import make
from tests.providers.streams import ENVELOPE, USAGE, answer, chunk, sse, usage_chunk
from tests.providers.whole import answers, cuts, streams

KINDS = sorted(kind for kind, row in ROWS.items() if row.protocol == "openai")
ROLE = chunk({"role": "assistant", "content": ""})
HELLO = (ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk(finish="stop"))


def reader(kind: str = "openai_compatible") -> Gather:
    return OpenAI(ROWS[kind]).collect(make.call(), make.deployment("m-9"))


def last_of(feed: Gather, pieces: Iterable[bytes]) -> Piece:
    """Feed it all, and give the piece that ended it. Nothing is ever for the client before, or comes after."""
    for data in pieces:
        piece = feed.feed(data)
        assert piece.data == b""
        if piece.done or piece.failure is not None:
            assert feed.feed(b"data: {}\n\n") == feed.close() == Piece()
            return piece
        assert feed.answer is None
    piece = feed.close()
    assert piece.data == b""
    assert piece.done != (piece.failure is not None)
    assert feed.close() == Piece()
    return piece


def run(*events: object, kind: str = "openai_compatible", done: bool = True) -> Answer | Failure:
    feed = reader(kind)
    piece = last_of(feed, [sse(*events, done=done)])
    assert (feed.answer is not None) == piece.done
    return feed.answer or piece.failure  # type: ignore[return-value]


def message(*events: object, kind: str = "openai_compatible") -> dict[str, Any]:
    got = run(*events, kind=kind)
    assert isinstance(got, Answer), got
    found: dict[str, Any] = json.loads(got.body)["choices"][0]["message"]
    return found


# --- the same answer --------------------------------------------------------------------------------------------


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_a_stream_becomes_the_answer_that_it_was_made_of(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(KINDS))
    whole = data.draw(answers())
    feed = reader(kind)
    piece = last_of(feed, data.draw(cuts(data.draw(streams(whole)))))
    assert piece.failure is None
    assert feed.answer is not None
    assert json.loads(feed.answer.body) == whole
    parsed = OpenAI(ROWS[kind]).parse(json.dumps(whole).encode(), make.call(), make.deployment("m-9"))
    assert isinstance(parsed, Answer)
    assert replace(feed.answer, body=b"") == replace(parsed, body=b"")
    told = (feed.model, feed.usage, feed.finish, feed.output_bytes)
    assert told == (parsed.model, parsed.usage, parsed.finish, parsed.output_bytes)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_json_where_a_stream_was_asked_for_passes_byte_for_byte(data: st.DataObject) -> None:
    whole = data.draw(answers())
    raw = json.dumps(whole, indent=data.draw(st.none() | st.just(1)), ensure_ascii=False).encode()
    raw = raw.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"])))
    feed = reader(data.draw(st.sampled_from(KINDS)))
    piece = last_of(feed, data.draw(cuts(data.draw(st.sampled_from([b"", b"\n \n\n"])) + raw)))
    assert piece.failure is None
    assert feed.answer is not None
    assert feed.answer.body == raw
    assert feed.complete
    told = (feed.model, feed.usage, feed.finish, feed.output_bytes)
    assert told == (whole["model"], feed.answer.usage, feed.answer.finish, feed.answer.output_bytes)
    assert piece.content == (feed.output_bytes > 0)


def test_the_answer_comes_with_done_and_content_is_seen_when_it_comes() -> None:
    feed = reader()
    seen = [feed.feed(sse(event, done=False)) for event in (*HELLO, usage_chunk())]
    assert seen == [Piece(), Piece(content=True), Piece(content=True), Piece(), Piece()]
    assert (feed.answer, feed.complete, feed.finish) == (None, True, "stop")
    assert feed.feed(b"data: [DONE]\n\n") == Piece(done=True)
    assert feed.answer is not None
    assert json.loads(feed.answer.body) == answer({"content": "Hello"})
    assert replace(feed.answer, body=b"") == Answer(b"", "m-2026", Usage(7, 3), "stop", 5)


# --- whole or nothing -------------------------------------------------------------------------------------------


def test_no_cut_of_a_stream_is_an_answer_before_its_finish_reason() -> None:
    data = sse(*HELLO, usage_chunk())
    last = data.index(b'"finish_reason": "stop"}]}') + len(b'"finish_reason": "stop"}]}')
    for cut in range(len(data)):
        feed = reader()
        piece = last_of(feed, [data[:cut]])
        assert (feed.answer is not None) == piece.done == (cut >= last), cut
        if feed.answer is not None:
            assert json.loads(feed.answer.body)["choices"] == answer({"content": "Hello"})["choices"]
        elif piece.failure is not None:
            assert piece.failure.kind == "truncated"


def test_no_cut_of_json_is_an_answer() -> None:
    data = json.dumps(answer()).encode()
    for cut in range(len(data)):
        feed = reader()
        piece = last_of(feed, [data[: cut // 2], data[cut // 2 : cut]])
        assert (feed.answer, piece.failure and piece.failure.kind) == (None, "truncated"), cut


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": {"message": "m", "type": "server_error"}}, "overloaded"),
        ({"error": {"message": "m", "code": 429}}, "rate"),
        (chunk({}, "error"), "overloaded"),
        (chunk({"content": 7}), "garbage"),
    ],
)
def test_an_error_in_the_stream_is_that_failure_and_no_answer(event: dict[str, Any], kind: str) -> None:
    got = run(*HELLO[:2], event, *HELLO[2:])
    assert isinstance(got, Failure)
    assert got.kind == kind


def test_an_error_as_json_is_that_failure() -> None:
    feed = reader()
    piece = last_of(feed, [b' {"error": {"mess', b'age": "m", "code": 429}}'])
    assert piece.failure is not None
    assert (piece.failure.kind, piece.failure.in_band, feed.answer) == ("rate", True, None)


def test_an_event_that_cannot_be_read_may_be_a_hole_in_the_answer() -> None:
    assert run(*HELLO[:2], "data: {broken", *HELLO[2:]) == Failure(
        kind="garbage", message="a chunk of the stream cannot be read, and what it said is lost"
    )
    assert isinstance(run(*HELLO, "data: {broken"), Answer)


def test_a_member_that_only_a_full_reader_finds_broken_fails_rather_than_vanishes() -> None:
    odd = json.dumps(HELLO[1])[:-1] + ', "x_unknown": 01}'
    got = run(ROLE, f"data: {odd}", *HELLO[2:])
    assert isinstance(got, Failure)
    assert got.kind == "garbage"


def test_a_tool_call_without_a_name_is_no_answer() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"arguments": "{}"}}
    got = run(chunk({"tool_calls": [call]}, "tool_calls"))
    assert isinstance(got, Failure)
    assert got.kind == "garbage"
    assert got.message == "a tool was called without its name"


def test_an_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "MAX_ANSWER", 1000)
    for data in (b'{"x": "', b"data: "):
        feed = reader()
        piece = last_of(feed, [data, *[b"x" * 100] * 10])
        assert piece.failure == Failure(kind="garbage", message="the answer is larger than 1000 bytes")


# --- what is kept, and how --------------------------------------------------------------------------------------


def test_known_text_is_joined_and_of_unknown_members_the_last_counts() -> None:
    first = chunk({"reasoning": "a", "x_state": "one", "x_more": [1]}, x_top="one", x_map={"id": 1})
    second = chunk({"reasoning": "b", "x_state": "two", "x_more": [2]}, x_top=None, x_map={"seed": 2})
    got = run(first, second, chunk(finish="stop"))
    assert isinstance(got, Answer)
    body = json.loads(got.body)
    assert (body["x_top"], body["x_map"]) == ("one", {"id": 1, "seed": 2})
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning": "ab",
        "reasoning_content": "ab",
        "x_state": "two",
        "x_more": [1, 2],
    }


def test_the_first_identity_holds_and_the_last_service_tier() -> None:
    events = [{**event, "created": n, "service_tier": "auto"} for n, event in enumerate(HELLO)]
    got = run(*events, {**usage_chunk(), "created": 9, "service_tier": "flex"})
    assert isinstance(got, Answer)
    assert json.loads(got.body) == answer({"content": "Hello"}, created=1, service_tier="flex")


def test_members_that_are_padding_or_of_the_stream_alone_are_left_out() -> None:
    so_far = chunk({"content": "lo"}, obfuscation="x1", p="abc")
    so_far["choices"][0]["message"] = {"role": "assistant", "content": "Hello"}
    got = run(*HELLO[:2], so_far, HELLO[3], usage_chunk())
    assert isinstance(got, Answer)
    assert json.loads(got.body) == answer({"content": "Hello"})


def test_parallel_calls_under_one_number_are_told_apart_by_id_and_name() -> None:
    def called(name: str | None, id: str, arguments: str) -> dict[str, Any]:
        function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
        return chunk({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]})

    events = (called("f", "a", "{"), called(None, "a2", "}"), called("g", "b", "[]"), chunk(finish="tool_calls"))
    assert message(*events)["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[]"}},
    ]


def test_a_call_without_any_arguments_has_an_empty_object_of_them() -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}
    assert message(chunk({"tool_calls": [call]}, "tool_calls"))["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]


def test_a_refusal_has_no_text_beside_it_though_the_stream_began_with_an_empty_one() -> None:
    assert message(ROLE, chunk({"refusal": "I "}), chunk({"refusal": "won't"}), chunk(finish="stop")) == {
        "role": "assistant",
        "content": None,
        "refusal": "I won't",
    }


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}


def test_every_choice_has_its_own_message_and_logprobs_follow_each_other() -> None:
    def said(text: str, index: int) -> dict[str, Any]:
        one = chunk({"content": text}, index=index)
        one["choices"][0]["logprobs"] = {"content": [token(text)], "refusal": None}
        return one

    got = run(said("c", 1), said("a", 0), said("b", 0), chunk(finish="stop", index=1), chunk(finish="length"))
    assert isinstance(got, Answer)
    assert [(c["index"], c["message"]["content"], c["logprobs"]) for c in json.loads(got.body)["choices"]] == [
        (0, "ab", {"content": [token("a"), token("b")], "refusal": None}),
        (1, "c", {"content": [token("c")], "refusal": None}),
    ]
    assert got.finish == "length"


def test_usage_is_in_the_answer_wherever_the_stream_had_it_and_absent_where_it_had_none() -> None:
    for event in (usage_chunk(), chunk(usage=USAGE), {**ENVELOPE, "choices": [], "x_groq": {"usage": USAGE}}):
        got = run(*HELLO, event)
        assert isinstance(got, Answer)
        assert (got.usage, json.loads(got.body)["usage"]) == (Usage(7, 3), USAGE)
    got = run(*({**event, "usage": None} for event in HELLO))
    assert isinstance(got, Answer)
    assert got.usage is None
    assert "usage" not in json.loads(got.body)


def test_a_stream_that_done_alone_ends_is_whole_with_it() -> None:
    nameless = [json.loads(json.dumps(event).replace(', "finish_reason": null', "")) for event in HELLO[:3]]
    got = run(*nameless, kind="snowflake")
    assert isinstance(got, Answer)
    assert (json.loads(got.body)["choices"][0]["message"]["content"], got.finish) == ("Hello", "stop")
    assert isinstance(run(*nameless, kind="snowflake", done=False), Failure)


def test_a_provider_aggregates_where_its_row_says_so() -> None:
    assert [kind for kind in KINDS if protocol_of(kind).aggregates] == ["deepseek", "openai", "simulated", "xai"]


def test_it_says_what_it_is() -> None:
    assert repr(reader()) == "a stream of no model yet, 0 bytes of text, open"
