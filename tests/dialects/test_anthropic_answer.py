"""Canonical answers in Anthropic's words, and that a stream says what a whole answer does: the SDK puts it together."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.anthropic_answer import message, tokens
from gateway.dialects.anthropic_errors import envelope, error_event, said_of
from gateway.dialects.anthropic_events import Events
from gateway.dialects.anthropic_turns import messages_of
from gateway.dialects.sealed import Sealed, sealed
from gateway.errors import BadRequest, RateLimited
from gateway.types import Usage

Chunk = dict[str, Any]

MARK = {"google": {"thought_signature": "s"}}
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 7,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
#: The same in Anthropic's words.
TOKENS = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 2,
    "cache_read_input_tokens": 3,
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 4},
}


def whole(said: dict[str, Any], finish: str = "stop", **beside: Any) -> dict[str, Any]:
    body = {"role": "assistant", "content": None, "refusal": None, **said}
    choice = {"index": 0, "message": body, "logprobs": None, "finish_reason": finish, **beside}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": USAGE}


def call(id: str, name: str, arguments: str, extra: Any = None) -> dict[str, Any]:
    made = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {**made, "extra_content": extra} if extra else made


def chunk(delta: dict[str, Any], finish: str | None = None, **beside: Any) -> Chunk:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **beside}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def begun(index: int, arguments: str = "", extra: Any = None) -> Chunk:
    return chunk({"tool_calls": [{"index": index, **call(f"t{index}", f"f{index}", arguments, extra)}]})


def more(index: int, arguments: str) -> Chunk:
    return chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})


COUNTED = {**chunk({}), "choices": [], "usage": USAGE}


def events(*chunks: Chunk) -> list[dict[str, Any]]:
    """What a client gets, each event named as it is."""
    stream = Events("1")
    stream.expect(9)
    out = b"".join([stream.feed(b"data: " + msgspec.json.encode(said) + b"\n\n") for said in chunks]) + stream.end()
    found = []
    for event in out.decode().removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def told(*chunks: Chunk) -> list[tuple[str, str]]:
    """The blocks of a stream: of what type each is, and all its text."""
    blocks: list[tuple[str, str]] = []
    for event in events(*chunks):
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append((event["content_block"]["type"], ""))
        elif event["type"] == "content_block_delta":
            assert event["index"] == len(blocks) - 1
            kind, text = blocks[-1]
            (piece,) = [value for name, value in event["delta"].items() if name != "type"]
            blocks[-1] = (kind, text + piece)
    return blocks


# --- whole ------------------------------------------------------------------------------------------------------


def test_a_whole_answer_is_a_message() -> None:
    said = {
        "reasoning_content": "Hm.",
        "content": "Text.",
        "tool_calls": [call("t1", "f", '{"a":1}', MARK), call("t2", "g", "")],
        "extra_content": {"google": {"content": [1]}},
    }
    assert message(whole(said, "tool_calls"), id="1") == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            {"type": "text", "text": "Text."},
            sealed(Sealed(calls={"t1": MARK})),
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
            sealed(Sealed({"google": {"content": [1]}})),
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": TOKENS,
    }


def test_what_anthropic_said_in_its_own_blocks_is_said_in_them() -> None:
    own = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "Text."}]
    said = {"content": "Text.", "extra_content": {"anthropic": {"content": own}}}
    assert message(whole(said), id="1")["content"] == own


def test_arguments_that_are_no_object_are_not_lost() -> None:
    calls = [call("t", "f", '{"cut": "o'), call("u", "f", "[1]")]
    inputs = [block["input"] for block in message(whole({"tool_calls": calls}, "length"), id="1")["content"]]
    assert inputs == [{"arguments": '{"cut": "o'}, {"arguments": [1]}]


def test_a_picture_that_was_made_is_in_the_text() -> None:
    images = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    content = message(whole({"content": "See: ", "images": images}), id="1")["content"]
    assert content == [{"type": "text", "text": "See: ![image](data:image/png;base64,AA)"}]
    assert told(chunk({"content": "See: "}), chunk({"images": images})) == [("text", content[0]["text"])]


@pytest.mark.parametrize(
    ("said", "finish", "beside", "reason"),
    [
        ({"content": "x"}, "stop", {}, ("end_turn", None)),
        ({"content": "x"}, "length", {}, ("max_tokens", None)),
        ({"content": "x"}, "stop", {"stop_sequence": "END"}, ("stop_sequence", "END")),
        ({"content": "x"}, "stop", {"native_finish_reason": "pause_turn"}, ("pause_turn", None)),
        ({"content": "{}"}, "stop", {"native_finish_reason": "tool_use"}, ("end_turn", None)),
        ({"content": "x"}, "length", {"native_finish_reason": "MAX_TOKENS"}, ("max_tokens", None)),
        ({"tool_calls": [call("t", "f", "{}")]}, "stop", {}, ("tool_use", None)),
        ({"refusal": "No."}, "stop", {}, ("refusal", None)),
        ({"content": ""}, "content_filter", {}, ("refusal", None)),
    ],
)
def test_the_reason_to_stop_is_told_whole_and_in_a_stream(said: Any, finish: str, beside: Any, reason: Any) -> None:
    made = message(whole(said, finish, **beside), id="1")
    assert (made["stop_reason"], made["stop_sequence"]) == reason
    calls = [{"index": n, **one} for n, one in enumerate(said.get("tool_calls", ()))]
    *_, last, _ = events(chunk({**said, "tool_calls": calls}), chunk({}, finish, **beside))
    assert last["delta"] == {"stop_reason": reason[0], "stop_sequence": reason[1]}


def test_usage_that_is_known_better_than_the_answer_says_it_counts() -> None:
    assert message(whole({"content": "x"}), id="1", usage=Usage(20, 2, cached_input=30))["usage"] == {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 30,
        "output_tokens": 2,
    }


# --- streams ----------------------------------------------------------------------------------------------------


def test_a_stream_of_text_is_told_event_by_event() -> None:
    start: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 9,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        },
    }
    chunks = (chunk({"role": "assistant", "content": ""}), chunk({"content": "Hé"}), chunk({}, "stop"), COUNTED)
    assert events(*chunks) == [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hé"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": TOKENS},
        {"type": "message_stop"},
    ]


def test_thoughts_end_unsigned_and_every_block_ends_before_the_next() -> None:
    chunks = (chunk({"reasoning_content": "Hm."}), chunk({"content": "A"}), begun(0, "{}"), chunk({"content": "B"}))
    assert told(*chunks) == [("thinking", "Hm."), ("text", "A"), ("tool_use", "{}"), ("text", "B")]
    deltas = [event["delta"]["type"] for event in events(*chunks) if event["type"] == "content_block_delta"]
    assert deltas == ["thinking_delta", "signature_delta", "text_delta", "input_json_delta", "text_delta"]


def test_calls_that_come_mingled_are_told_one_after_the_other() -> None:
    mingled = (begun(0), begun(1), more(0, '{"a":'), more(1, "{}"), chunk({"content": "x"}), more(0, "1}"))
    assert told(*mingled) == [("tool_use", '{"a":1}'), ("tool_use", "{}"), ("text", "x")]


def test_a_call_that_is_never_whole_holds_nothing_back_for_ever() -> None:
    assert told(begun(0, '{"a'), begun(1, '{"b'), begun(2, "{}"), more(1, '"'), chunk({"content": "x"})) == [
        ("tool_use", '{"a'),
        ("tool_use", '{"b"'),
        ("tool_use", "{}"),
        ("text", "x"),
    ]


def test_calls_without_arguments_are_told_too() -> None:
    assert told(begun(0), begun(1)) == [("tool_use", ""), ("tool_use", "")]


def test_what_another_provider_wants_back_is_sealed_beside_its_call_and_comes_back() -> None:
    late = chunk({"extra_content": {"google": {"content": [1]}, "anthropic": {"content": []}}})
    blocks = [e["content_block"] for e in events(begun(0, "{}", MARK), late) if e["type"] == "content_block_start"]
    assert [block["type"] for block in blocks] == ["redacted_thinking", "tool_use", "redacted_thinking"]
    (back,) = messages_of([{"role": "assistant", "content": blocks}])
    assert back["extra_content"] == {"google": {"content": [1]}}
    assert back["tool_calls"][0]["extra_content"] == MARK


# --- put together by the SDK ------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
objects = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-9, 9) | texts | st.lists(texts), max_size=3)


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], list[Chunk]]:
    """A whole answer, and chunks that say the same: texts and arguments cut anywhere, calls perhaps mingled."""
    said: dict[str, Any] = {}
    chunks = [chunk({"role": "assistant", "content": ""})]
    for name in ("reasoning_content", "content"):
        if pieces := draw(st.lists(texts, max_size=3)):
            said[name] = "".join(pieces)
            chunks += [chunk({name: piece}) for piece in pieces]
    calls, streams = [], []
    for index in range(draw(st.integers(0, 3))):
        arguments, extra = msgspec.json.encode(draw(objects)).decode(), draw(st.sampled_from([None, MARK]))
        calls.append(call(f"t{index}", f"f{index}", arguments, extra))
        cut = draw(st.integers(0, len(arguments)))
        pieces = [piece for piece in (arguments[:cut], arguments[cut:]) if piece]
        streams.append([begun(index, "", extra), *(more(index, piece) for piece in pieces)])
    if calls:
        said["tool_calls"] = calls
    if draw(st.booleans()):
        # All begin in order; what follows comes as it comes.
        chunks += [stream.pop(0) for stream in streams]
        while left := [stream for stream in streams if stream]:
            chunks.append(draw(st.sampled_from(left)).pop(0))
    else:
        chunks += [piece for stream in streams for piece in stream]
    if draw(st.booleans()):
        said["extra_content"] = {"google": {"content": ["x"]}}
        chunks.append(chunk({"extra_content": said["extra_content"]}))
    finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length", "content_filter"]))
    return whole(said, finish), [*chunks, chunk({}, finish), COUNTED]


@given(answers())
def test_the_sdk_puts_a_stream_together_as_the_whole_answer(both: tuple[dict[str, Any], list[Chunk]]) -> None:
    types = pytest.importorskip("anthropic.types")
    streaming = pytest.importorskip("anthropic.lib.streaming._messages")
    event_type = pytest.importorskip("pydantic").TypeAdapter(types.RawMessageStreamEvent)
    answer, chunks = both
    snapshot: Any = None
    pieces: dict[int, bytes] = {}
    for event in events(*chunks):
        read = event_type.validate_python(event)
        snapshot = streaming.accumulate_event(event=read, current_snapshot=snapshot, json_bufs=pieces)
    expected = types.Message.model_validate(message(answer, id="1"))
    assert json.loads(snapshot.model_dump_json(exclude_none=True)) == json.loads(
        expected.model_dump_json(exclude_none=True)
    )


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_has_the_type_of_its_status(status: int, kind: str) -> None:
    body = {"type": "error", "error": {"type": kind, "message": "why"}, "request_id": "1"}
    assert json.loads(envelope(status, "why", "1")) == body
    assert error_event(status, "why", "1") == b"event: error\ndata: " + envelope(status, "why", "1") + b"\n\n"


def test_a_prompt_that_is_too_long_is_said_as_clients_look_for_it() -> None:
    assert said_of(BadRequest("Too much.", code="context_length_exceeded")) == "prompt is too long: Too much."
    assert said_of(RateLimited("Wait.")) == "Wait."


def test_what_stays_in_the_cache_for_an_hour_is_told_where_it_is_known() -> None:
    assert tokens(Usage(10, 7, cached_input=3, cache_write=2, cache_write_1h=1)) == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 2,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 1},
        "cache_read_input_tokens": 3,
        "output_tokens": 7,
    }
