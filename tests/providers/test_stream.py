"""One stream being read: content, completion, faults, usage and repairs. Read next: test_contract.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import Failure
from gateway.providers.openai import OpenAI
from gateway.providers.protocol import Piece
from gateway.providers.rows import ROWS, Row
from gateway.providers.sse import MAX_EVENT
from gateway.providers.stream import Stream
from gateway.types import Usage
from tests import make
from tests.providers.streams import ENVELOPE, USAGE, Delivered, answer, chunk, deliver, sse, usage_chunk


def stream(row: Row | str = "openai_compatible", **call: Any) -> Stream:
    known = ROWS[row] if isinstance(row, str) else row
    return OpenAI(known).feed(make.call(stream=True, **call), make.deployment("m-9"))


def run(*events: object, row: Row | str = "openai_compatible", done: bool = True, **call: Any) -> Delivered:
    return deliver(stream(row, **call), sse(*events, done=done))


ROLE = chunk({"role": "assistant", "content": ""})
HELLO = (ROLE, chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk(finish="stop"))


def test_a_valid_stream_goes_on_byte_for_byte() -> None:
    data = sse(*HELLO, done=False)
    delivered = deliver(stream("openai"), data + b"data: [DONE]\n\n")
    assert delivered.data == data
    assert (delivered.done, delivered.failure, delivered.text) == (True, None, "Hello")
    feed = delivered.feed
    assert (feed.model, feed.finish, feed.output_bytes, feed.usage) == ("m-2026", "stop", 5, None)


def test_comments_and_other_fields_never_reach_the_client() -> None:
    delivered = run(": hello", ROLE, "event: x\nid: 9", ": PROCESSING", *HELLO[1:])
    assert delivered.events == list(HELLO)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"reasoning_content": "x"},
        {"reasoning": "x"},
        {"refusal": "x"},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"function_call": {"name": "f"}},
        {"audio": {"id": "a", "data": "AAAA"}},
    ],
)
def test_text_reasoning_refusal_tools_and_audio_are_content(delta: dict[str, Any]) -> None:
    feed = stream()
    assert feed.feed(sse(ROLE, done=False)).content is False
    assert feed.feed(sse(chunk(delta), done=False)).content is True


@pytest.mark.parametrize(
    "event",
    [
        chunk({"role": "assistant"}),
        chunk({"content": ""}),
        chunk({"content": None}),
        chunk(finish="stop"),
        {**ENVELOPE, "choices": []},
        ": PROCESSING",
    ],
)
def test_roles_empty_chunks_and_comments_are_not_content(event: object) -> None:
    assert stream().feed(sse(event, done=False)).content is False


def test_output_is_counted_in_bytes_of_utf8() -> None:
    called = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    assert (
        run(chunk({"content": "é€"}), chunk({"reasoning": "hm"}), chunk(called, "tool_calls")).feed.output_bytes == 10
    )


# --- complete or not --------------------------------------------------------------------------------------------


def test_done_without_a_finish_reason_is_truncated() -> None:
    delivered = run(*HELLO[:-1])
    assert delivered.failure == Failure(kind="truncated", message="the stream said [DONE] before a finish reason came")
    assert (delivered.text, delivered.done) == ("Hello", False)


def test_the_end_of_the_bytes_without_a_finish_reason_is_truncated() -> None:
    delivered = run(*HELLO[:-1], done=False)
    assert delivered.failure == Failure(kind="truncated", message="the stream ended before a finish reason came")


def test_a_finish_reason_without_done_is_complete() -> None:
    feed = stream()
    piece = feed.feed(sse(*HELLO, done=False))
    assert (piece.done, feed.complete) == (False, True)
    assert feed.close() == Piece(done=True)


def test_every_cut_of_a_stream_is_complete_only_with_its_finish_reason() -> None:
    data = sse(*HELLO)
    last = data.index(b'"finish_reason": "stop"}]}') + len(b'"finish_reason": "stop"}]}')
    for cut in range(len(data)):
        delivered = deliver(stream(), data[:cut])
        assert delivered.done == (cut >= last), cut
        assert delivered.failure is None or delivered.failure.kind == "truncated"
        assert "Hello".startswith(delivered.text)


def test_every_choice_that_began_must_finish() -> None:
    two = (chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk(finish="stop"))
    delivered = run(*two)
    assert delivered.failure is not None
    assert delivered.failure.kind == "truncated"
    assert run(*two, chunk(finish="length", index=1)).done


def test_an_empty_stream_is_truncated() -> None:
    for data in (b"", b"\n\n", b": hi\n\n", b"data: [DONE]\n\n"):
        delivered = deliver(stream(), data)
        assert delivered.failure is not None
        assert delivered.failure.kind == "truncated"


def test_nothing_comes_after_the_end() -> None:
    feed = stream()
    assert feed.feed(sse(*HELLO)).done
    assert feed.feed(sse(*HELLO)) == Piece()
    assert feed.close() == Piece()


def test_an_event_that_is_no_chunk_at_all_is_left_out_and_counted() -> None:
    delivered = run(ROLE, HELLO[1], "data: ping", 'data: "text"', "data: [1]", *HELLO[2:])
    assert (delivered.done, delivered.events) == (True, list(HELLO))
    assert isinstance(delivered.feed, Stream)
    assert delivered.feed.skipped == 3


def test_a_chunk_that_cannot_be_read_may_be_a_hole_in_the_answer() -> None:
    for bad in (b"{broken", b'{"x": "\xff"}', b'{"id": "\xff"}'):
        data = sse(ROLE, done=False) + b"data: " + bad + b"\n\n" + sse(*HELLO[1:])
        delivered = deliver(stream(), data)
        assert delivered.failure is not None
        assert (delivered.failure.kind, delivered.events) == ("garbage", [ROLE])


def test_after_the_finish_reason_nothing_can_be_lost_any_more() -> None:
    delivered = run(*HELLO, "data: {broken")
    assert (delivered.done, delivered.events) == (True, list(HELLO))


def test_an_event_without_end_is_garbage() -> None:
    delivered = deliver(stream(), sse(ROLE, done=False) + b"data: " + b"x" * (MAX_EVENT + 1))
    assert delivered.failure is not None
    assert delivered.failure.kind == "garbage"


# --- errors inside a stream -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "kind", "status"),
    [
        ({"error": {"message": "m", "type": "server_error"}}, "overloaded", None),
        ({"error": {"message": "m", "code": "rate_limit_exceeded"}}, "rate", None),
        ({"error": {"message": "m", "code": 429}}, "rate", 429),
        ({"error": {"message": "m", "type": "insufficient_quota"}}, "quota", None),
        ({"error": "m"}, "overloaded", None),
        ({**chunk({"content": ""}, "error"), "error": {"message": "m", "code": 502}}, "overloaded", 502),
        (chunk({}, "error"), "overloaded", None),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, "client", 400),
        ({"message": "m", "type": "invalid_request_error"}, "client", None),
        (
            {**ENVELOPE, "choices": [{"index": 0, "delta": {}, "error": {"code": 503, "message": "m"}}]},
            "overloaded",
            503,
        ),
        ({**ENVELOPE, "choices": [], "x_groq": {"error": "m"}}, "overloaded", None),
    ],
)
def test_an_error_in_the_stream_is_a_failure_of_its_inner_kind(
    event: dict[str, Any], kind: str, status: int | None
) -> None:
    delivered = run(*HELLO[:2], event, *HELLO[2:])
    assert delivered.failure is not None
    assert (delivered.failure.kind, delivered.failure.status, delivered.failure.in_band) == (kind, status, True)
    assert delivered.events == list(HELLO[:2]), "what came before it is delivered, and nothing after"


def test_an_error_event_is_an_error_also_by_another_field_name() -> None:
    delivered = run(*HELLO[:2], 'error: {"error": {"message": "failed to decode"}}', done=False)
    assert delivered.failure is not None
    assert (delivered.failure.message, delivered.failure.in_band) == ("failed to decode", True)


def test_a_json_error_where_a_stream_was_asked_for_is_that_error() -> None:
    delivered = deliver(stream(), json.dumps({"error": {"message": "m", "code": 429}}, indent=1).encode())
    assert delivered.failure is not None
    assert (delivered.failure.kind, delivered.failure.in_band) == ("rate", True)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_whole_answer_where_a_stream_was_asked_for_is_that_answer(indent: int | None) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    whole = answer({"tool_calls": [call, {**call, "id": "d"}]}, "tool_calls")
    delivered = deliver(stream(include_usage=True), json.dumps(whole, indent=indent).encode())
    assert (delivered.done, delivered.failure, delivered.text) == (True, None, "Hello there")
    only, usage = delivered.events
    assert (only["object"], only["choices"][0]["finish_reason"]) == ("chat.completion.chunk", "tool_calls")
    assert only["choices"][0]["delta"]["tool_calls"] == [{**call, "index": 0}, {**call, "id": "d", "index": 1}]
    assert (usage["choices"], usage["usage"]) == ([], USAGE)
    assert delivered.feed.usage == Usage(7, 3)


def test_a_whole_answer_that_is_cut_or_does_not_say_that_it_is_complete_is_none() -> None:
    data = json.dumps(answer()).encode()
    for body in (*(data[:end] for end in range(0, len(data), 7)), json.dumps(answer(finish=None)).encode()):
        delivered = deliver(stream(), body)
        assert (delivered.done, delivered.failure and delivered.failure.kind) == (False, "truncated")


def test_an_error_that_is_null_is_none() -> None:
    assert run(*HELLO[:2], {**HELLO[2], "error": None}, HELLO[3]).done


# --- usage ------------------------------------------------------------------------------------------------------


def test_usage_comes_once_and_last_and_only_to_who_asked() -> None:
    for include in (True, False):
        delivered = run(*HELLO, usage_chunk(), include_usage=include)
        assert delivered.events == [*HELLO, *([usage_chunk()] if include else [])]
        assert delivered.feed.usage == Usage(input=7, output=3)


def test_usage_in_the_finish_chunk_moves_to_a_chunk_of_its_own() -> None:
    finish = chunk(finish="stop", usage=USAGE)
    assert run(*HELLO[:3], finish, include_usage=True).events == [*HELLO, usage_chunk()]
    assert run(*HELLO[:3], finish).events == list(HELLO)


def test_of_running_usage_the_last_counts() -> None:
    running = [{**event, "usage": {**USAGE, "completion_tokens": n}} for n, event in enumerate(HELLO)]
    delivered = run(*running, include_usage=True)
    assert delivered.events == [*HELLO, usage_chunk()]
    assert delivered.feed.usage == Usage(input=7, output=3)


def test_usage_is_found_where_some_providers_hide_it() -> None:
    in_choice = chunk(finish="stop")
    in_choice["choices"][0]["usage"] = USAGE
    assert run(*HELLO[:3], in_choice).feed.usage == Usage(input=7, output=3)
    assert run(*HELLO[:3], chunk(finish="stop", x_groq={"usage": USAGE})).feed.usage == Usage(input=7, output=3)


def test_cached_and_reasoning_tokens_are_read() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    got = run(*HELLO, {**usage_chunk(), "usage": usage}).feed.usage
    assert got == Usage(input=100, output=50, cached_input=60, cache_write=5, reasoning=30)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        # Within the whole, as OpenAI counts.
        ((100, 20, 120, 30, 0, 12), Usage(100, 20, audio_input=30, audio_output=12)),
        # Beside it, as Voxtral's is counted at Mistral.
        ((9, 201, 585, 375, 0, 0), Usage(384, 201, audio_input=375)),
        # More is cached than there is text: so much of the sound was, at least.
        ((100, 20, 120, 90, 25, 0), Usage(100, 20, cached_input=25, audio_input=90, cached_audio=15)),
    ],
)
def test_sound_is_read_whether_it_was_counted_within_the_whole_or_beside_it(
    counts: tuple[int, ...], usage: Usage
) -> None:
    prompt, completion, total, heard, cached, spoken = counts
    said = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": {"audio_tokens": heard, "cached_tokens": cached},
        "completion_tokens_details": {"audio_tokens": spoken},
    }
    assert run(*HELLO, {**usage_chunk(), "usage": said}).feed.usage == usage


def test_without_done_usage_still_comes_last() -> None:
    assert run(*HELLO, usage_chunk(), include_usage=True, done=False).events == [*HELLO, usage_chunk()]


# --- repairs ----------------------------------------------------------------------------------------------------


def without(event: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


def test_a_first_chunk_without_identity_takes_that_of_the_next() -> None:
    first = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [1]}
    delivered = run(first, *HELLO, row="azure_openai")
    assert delivered.events == [{**ENVELOPE, "choices": [], "prompt_filter_results": [1]}, *HELLO]


def test_chunks_without_identity_or_content_do_not_pile_up() -> None:
    feed = stream()
    empty = sse({"choices": []}, done=False)
    for _ in range(50):
        assert feed.feed(empty) == Piece()
    assert feed.skipped == 34
    assert len(deliver(feed, sse(*HELLO)).events) == 16 + len(HELLO)


def test_a_stream_without_any_id_gets_one() -> None:
    delivered = run(*(without(event, "id", "model", "created") for event in HELLO))
    assert {event["id"] for event in delivered.events} == {"chatcmpl-" + "0" * 32}
    assert {event["model"] for event in delivered.events} == {"m-9"}


def test_a_second_finish_reason_is_taken_back() -> None:
    delivered = run(*HELLO, chunk({"content": ""}, "length"))
    assert delivered.events == [*HELLO, chunk({"content": ""})]
    assert delivered.feed.finish == "stop"


def test_finish_reasons_of_other_protocols_become_ours_and_keep_their_name() -> None:
    delivered = run(*HELLO[:3], chunk(finish="end_turn"))
    assert delivered.events[-1]["choices"][0] == {
        "index": 0,
        "delta": {},
        "finish_reason": "stop",
        "native_finish_reason": "end_turn",
    }


def test_whole_tool_calls_without_index_or_type_are_numbered_by_id() -> None:
    def call(name: str) -> dict[str, Any]:
        return chunk({"tool_calls": [{"id": name, "function": {"name": "f", "arguments": "{}"}}]})

    delivered = run(call("a"), call("b"), call("a"), chunk(finish="tool_calls"), row="mistral")
    calls = [event["choices"][0]["delta"]["tool_calls"][0] for event in delivered.events[:3]]
    assert [(c["id"], c["index"], c["type"]) for c in calls] == [
        ("a", 0, "function"),
        ("b", 1, "function"),
        ("a", 0, "function"),
    ]


def test_reasoning_is_spelled_both_ways_and_never_lost() -> None:
    delivered = run(chunk({"reasoning": "hm"}), chunk({"reasoning_content": "so"}), HELLO[3])
    assert [event["choices"][0]["delta"] for event in delivered.events] == [
        {"reasoning": "hm", "reasoning_content": "hm"},
        {"reasoning_content": "so"},
        {},
    ]


def test_content_in_parts_becomes_text_and_reasoning() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    delivered = run(chunk({"content": [thinking]}), chunk({"content": [{"type": "text", "text": "Hi"}]}), HELLO[3])
    assert [event["choices"][0]["delta"] for event in delivered.events[:2]] == [
        {"content": None, "reasoning_content": "hm"},
        {"content": "Hi"},
    ]


def test_a_provider_that_never_names_a_finish_reason_ends_with_done() -> None:
    nameless = [{**e, "choices": [without(c, "finish_reason") for c in e["choices"]]} for e in HELLO[:3]]
    delivered = run(*nameless, row="snowflake")
    assert (delivered.done, delivered.text, delivered.feed.finish) == (True, "Hello", "stop")
    assert delivered.events[-1]["choices"][0]["finish_reason"] == "stop"
    assert run(*nameless, row="snowflake", done=False).failure is not None


def test_an_error_free_chunk_that_cannot_be_made_valid_fails_rather_than_vanishes() -> None:
    delivered = run(*HELLO[:2], chunk({"content": 7}))
    assert delivered.failure is not None
    assert delivered.failure.kind == "garbage"


def test_it_says_what_it_is() -> None:
    assert repr(run(*HELLO).feed) == "a stream of m-2026, 5 bytes of text, complete"
