"""Answers and streams of generateContent in canonical words.

Read next: test_recordings.py, the same on real traffic.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Failure
from gateway.providers.google.elements import Elements
from gateway.providers.sse import EventTooLarge
from gateway.types import Usage
from tests import make
from tests.providers.google.saying import (
    candidate,
    choice,
    chunk,
    collect,
    feed,
    message,
    protocol,
    sse,
    target,
    whole,
)
from tests.providers.streams import deliver
from tests.recordings import events

Body = dict[str, Any]


def streamed(*chunks: Body, cuts: list[int] | None = None) -> list[Body]:
    """The canonical chunks of a stream."""
    got = deliver(feed(), sse(*chunks), cuts or [])
    assert got.failure is None, got.failure
    return events(got.data)


def deltas(*chunks: Body) -> list[Body]:
    """The deltas of a stream, each with the reason beside it where it has one."""
    found = []
    for event in streamed(*chunks):
        for one in event["choices"]:
            beside = {name: one[name] for name in ("finish_reason", "native_finish_reason") if one.get(name)}
            found.append({**one["delta"], **beside})
    return found


# --- whole answers ----------------------------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    usage = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 20,
        "totalTokenCount": 42,
        "cachedContentTokenCount": 4,
    }
    got = whole(candidate({"text": "Hm", "thought": True}, {"text": "Hel"}, {"text": "lo"}), usageMetadata=usage)
    assert got == {
        "id": "r1",
        "object": "chat.completion",
        "created": 0,
        "model": "gemini-2.5-flash",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None, "reasoning_content": "Hm"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 27,
            "total_tokens": 42,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
    }


def test_tokens_of_candidates_that_were_left_out_are_what_the_total_says() -> None:
    counts = {"promptTokenCount": 10, "thoughtsTokenCount": 20, "totalTokenCount": 33}
    got = protocol().parse(
        json.dumps(chunk(candidate({"text": "x"}), usageMetadata=counts)).encode(), make.call(), target()
    )
    assert not isinstance(got, Failure)
    assert got.usage == Usage(input=10, output=23, reasoning=20)


def test_sound_and_pictures_are_told_from_text_in_words_or_numbers() -> None:
    counts = {
        "promptTokenCount": 110,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 1300,
        "totalTokenCount": 1415,
        "cachedContentTokenCount": 40,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 60}, {"modality": "AUDIO", "tokenCount": 50}],
        "toolUsePromptTokensDetails": [{"modality": 4, "tokenCount": 5}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}, {"modality": "TEXT", "tokenCount": 10}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}, {"modality": "AUDIO"}, 7],
    }
    got = protocol().parse(
        json.dumps(chunk(candidate({"text": "x"}), usageMetadata=counts)).encode(), make.call(), target()
    )
    assert not isinstance(got, Failure)
    assert got.usage == Usage(115, 1300, cached_input=40, audio_input=55, cached_audio=30, image_output=1290)
    assert json.loads(got.body)["usage"] == {
        "prompt_tokens": 115,
        "completion_tokens": 1300,
        "total_tokens": 1415,
        "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 55},
        "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 1290},
    }


@pytest.mark.parametrize("details", [{}, "x", [[]], [{"modality": ["AUDIO"], "tokenCount": "many"}]])
def test_details_of_tokens_that_are_none_do_no_harm(details: Any) -> None:
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 2, "promptTokensDetails": details}
    got = protocol().parse(
        json.dumps(chunk(candidate({"text": "x"}), usageMetadata=counts)).encode(), make.call(), target()
    )
    assert not isinstance(got, Failure)
    assert got.usage == Usage(10, 2)


def test_calls_get_ids_and_arguments_where_they_have_none() -> None:
    got = choice({"functionCall": {"name": "f"}}, {"functionCall": {"name": "g", "args": {"a": [1]}, "id": "x"}})
    assert got["finish_reason"] == "tool_calls"
    assert got["message"]["content"] is None
    assert "extra_content" not in got["message"]
    first, second = got["message"]["tool_calls"]
    assert first.pop("id").startswith("call_")
    assert first == {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert second == {"id": "x", "type": "function", "function": {"name": "g", "arguments": '{"a":[1]}'}}


def test_signatures_are_kept_with_the_whole_turn_and_beside_their_call() -> None:
    parts: list[Body] = [
        {"text": "Hm", "thought": True},
        {"text": "So", "thoughtSignature": "s1"},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s2"},
    ]
    got = message(*parts)
    assert got["extra_content"] == {"google": {"content": parts}}
    assert got["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s2"}}


def test_what_google_ran_is_kept_and_is_no_call_of_the_clients() -> None:
    parts: list[Body] = [
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        {"text": "Two."},
        {"inlineData": {"mimeType": "audio/L16", "data": "AAAA"}},
    ]
    got = choice(*parts)
    assert got["finish_reason"] == "stop"
    assert got["message"] == {
        "role": "assistant",
        "content": "Two.",
        "refusal": None,
        "extra_content": {"google": {"content": parts}},
    }


def test_a_picture_is_an_image() -> None:
    got = message({"text": "Here."}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0K"}})
    assert got["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}]
    assert "extra_content" not in got


def test_sources_become_citations_whose_places_are_characters() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.test", "title": "A"}}, {"maps": {"uri": "https://b.test"}}, {}],
        "groundingSupports": [
            {"segment": {"endIndex": 4, "text": "Äö"}, "groundingChunkIndices": [0, 1, 2, 9]},
            {"segment": {"startIndex": 0, "endIndex": 3, "text": "end"}, "groundingChunkIndices": [0]},
        ],
    }
    got = message({"text": "Äö – end"}, groundingMetadata=grounding)
    assert [one["url_citation"] for one in got["annotations"]] == [
        {"start_index": 0, "end_index": 2, "url": "https://a.test", "title": "A"},
        {"start_index": 0, "end_index": 2, "url": "https://b.test", "title": "https://b.test"},
        {"start_index": 5, "end_index": 8, "url": "https://a.test", "title": "A"},
    ]
    assert got["extra_content"]["google"]["content"] == [{"text": "Äö – end"}, {"groundingMetadata": grounding}]


def test_what_was_recited_is_cited() -> None:
    cited = {"citationSources": [{"startIndex": 1, "endIndex": 3, "uri": "https://a.test"}, {"uri": ""}]}
    assert message({"text": "abcd"}, citationMetadata=cited)["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 1, "end_index": 3, "url": "https://a.test", "title": "https://a.test"},
        }
    ]


@pytest.mark.parametrize(
    ("word", "reason", "native"),
    [
        ("STOP", "stop", None),
        (1, "stop", None),
        ("MAX_TOKENS", "length", "MAX_TOKENS"),
        (2, "length", "MAX_TOKENS"),
        *(
            (word, "content_filter", word)
            for word in (
                "SAFETY",
                "RECITATION",
                "BLOCKLIST",
                "PROHIBITED_CONTENT",
                "SPII",
                "MODEL_ARMOR",
                "IMAGE_SAFETY",
                "IMAGE_PROHIBITED_CONTENT",
            )
        ),
        *(
            (word, "stop", word)
            for word in (
                "MALFORMED_FUNCTION_CALL",
                "UNEXPECTED_TOOL_CALL",
                "OTHER",
                "LANGUAGE",
                "NO_IMAGE",
                "NEVER_SEEN",
            )
        ),
        (77, "stop", "77"),
    ],
)
def test_reasons_to_finish(word: str | int, reason: str, native: str | None) -> None:
    got = choice({"text": "x"}, finish=word)
    assert (got["finish_reason"], got.get("native_finish_reason")) == (reason, native)


def test_a_blocked_prompt_is_an_empty_answer_that_was_filtered() -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    got = protocol().parse(json.dumps(blocked).encode(), make.call(), target())
    assert not isinstance(got, Failure)
    assert json.loads(got.body)["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": "content_filter",
            "native_finish_reason": "PROHIBITED_CONTENT",
        }
    ]
    assert deltas(blocked)[-1] == {
        "finish_reason": "content_filter",
        "native_finish_reason": "PROHIBITED_CONTENT",
    }


def test_several_candidates_are_several_choices() -> None:
    got = whole(candidate({"text": "a"}), candidate({"text": "b"}, index=1, finish="MAX_TOKENS"))
    assert not isinstance(got, Failure)
    assert [(one["index"], one["message"]["content"], one["finish_reason"]) for one in got["choices"]] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"candidates": []}', "truncated"),
        (json.dumps(chunk(candidate({"text": "x"}, finish=None))).encode(), "truncated"),
        (b'{"candidates": 1}', "garbage"),
        (b"<html>", "garbage"),
        (b"\xff", "garbage"),
        (b'{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}', "overloaded"),
        (b'[{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}]', "rate"),
    ],
)
def test_what_is_no_answer_is_a_failure(body: bytes, kind: str) -> None:
    got = protocol().parse(body, make.call(), target())
    assert isinstance(got, Failure)
    assert got.kind == kind


# --- streams ----------------------------------------------------------------------------------------------------


def test_a_stream() -> None:
    early = {"promptTokenCount": 5, "totalTokenCount": 5}
    got = streamed(
        chunk(candidate({"text": "Hm", "thought": True}, finish=None), usageMetadata=early),
        chunk(candidate({"text": "Hel"}, finish=None), usageMetadata=early),
        chunk(candidate({"text": "lo"})),
    )
    assert {(one["id"], one["model"]) for one in got} == {("r1", "gemini-2.5-flash")}
    assert [one["choices"][0]["delta"] for one in got[:-1]] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm"},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [one["choices"][0]["finish_reason"] for one in got[:-1]] == [None] * 4 + ["stop"]
    assert got[-1]["choices"] == []
    assert got[-1]["usage"]["total_tokens"] == 7


def test_a_signature_on_an_empty_last_part_is_kept_in_its_place() -> None:
    got = deltas(
        chunk(candidate({"text": "Hel"}, finish=None)),
        chunk(candidate({"text": "lo"}, finish=None)),
        chunk(candidate({"text": "", "thoughtSignature": "s"})),
    )
    assert got[-2:] == [
        {"extra_content": {"google": {"content": [{"text": "Hello"}, {"text": "", "thoughtSignature": "s"}]}}},
        {"finish_reason": "stop"},
    ]


def test_calls_in_several_chunks_are_numbered_and_end_in_tool_calls() -> None:
    got = deltas(
        chunk(candidate({"functionCall": {"name": "f", "args": {"a": 1}, "id": "x"}}, finish=None)),
        chunk(candidate({"functionCall": {"name": "g", "id": "y"}}, finish=None)),
        chunk(candidate({"text": ""})),
    )
    assert got == [
        {"role": "assistant", "content": ""},
        {"tool_calls": [{"index": 0, "id": "x", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
        {"tool_calls": [{"index": 1, "id": "y", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {"finish_reason": "tool_calls"},
    ]


def test_arguments_that_come_value_by_value_are_put_together() -> None:
    def more(*pieces: Body, on: bool = True) -> Body:
        call: Body = {"partialArgs": list(pieces)} if pieces else {}
        return chunk(candidate({"functionCall": {**call, **({"willContinue": True} if on else {})}}, finish=None))

    text = "$.items[1]['a.b'].name"
    got = deltas(
        chunk(candidate({"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "s"}, finish=None)),
        more({"jsonPath": "$.on", "boolValue": True}, {"jsonPath": text, "stringValue": "Fr", "willContinue": True}),
        more({"jsonPath": text, "stringValue": "ed"}),
        more({"jsonPath": "$.n", "numberValue": 2}, {"jsonPath": "$.nil", "nullValue": "NULL_VALUE"}, {"jsonPath": ""}),
        more(on=False),
        chunk(candidate({"functionCall": {"name": "g"}})),
    )
    arguments = {"on": True, "items": [None, {"a.b": {"name": "Fred"}}], "n": 2, "nil": None}
    assert json.loads(got[2]["tool_calls"][0]["function"]["arguments"]) == arguments
    assert got[4] == {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}
    assert got[5] == {
        "extra_content": {
            "google": {
                "content": [
                    {"functionCall": {"name": "f", "args": arguments}, "thoughtSignature": "s"},
                    {"functionCall": {"name": "g"}},
                ]
            }
        }
    }


def test_the_oldest_streams_name_a_reason_in_every_chunk_and_the_last_counts() -> None:
    bare = {"usageMetadata": None}
    assert deltas(
        chunk(candidate({"text": "a"}), **bare), chunk(candidate({"text": "b"}, finish="MAX_TOKENS"), **bare)
    ) == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"content": "b"},
        {"finish_reason": "length", "native_finish_reason": "MAX_TOKENS"},
    ]


def test_a_stream_is_complete_before_its_connection_closes() -> None:
    reading = feed()
    piece = reading.feed(sse(chunk(candidate({"text": "a"}))))
    assert (piece.content, piece.done, reading.complete, reading.finish) == (True, False, True, "stop")
    # A count that comes after it is still taken.
    later = {"promptTokenCount": 6, "candidatesTokenCount": 3, "totalTokenCount": 9}
    reading.feed(sse({"usageMetadata": later}))
    assert reading.close().done
    assert reading.usage == Usage(input=6, output=3)


def test_a_stream_without_a_reason_is_cut() -> None:
    reading = feed()
    reading.feed(sse(chunk(candidate({"text": "a"}, finish=None))))
    closed = reading.close()
    assert closed.failure is not None
    assert closed.failure.kind == "truncated"


def test_an_error_in_a_stream_ends_it_and_what_came_before_goes_out() -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    piece = feed().feed(sse(chunk(candidate({"text": "a"}, finish=None)), error))
    assert events(piece.data)[-1]["choices"][0]["delta"] == {"content": "a"}
    assert piece.failure == Failure(
        "overloaded", "The model is overloaded.", status=503, type="UNAVAILABLE", code="503", in_band=True
    )


def test_a_chunk_that_cannot_be_read_is_a_failure_and_half_a_one_at_the_end_is_not() -> None:
    piece = feed().feed(b"data: {nonsense}\r\n\r\n")
    assert piece.failure is not None
    assert piece.failure.kind == "garbage"
    reading = feed()
    reading.feed(sse(chunk(candidate({"text": "a"}))) + b'data: {"candid')
    assert reading.close().done


@pytest.mark.parametrize("indent", [None, 2])
def test_a_stream_may_be_an_array(indent: int | None) -> None:
    chunks = [chunk(candidate({"text": 'H\\"}{["'}, finish=None)), chunk(candidate({"text": "o"}))]
    raw = b" \r\n" + json.dumps(chunks, indent=indent).encode()
    want = deliver(feed(), sse(*chunks), []).data
    for cut in range(len(raw)):
        assert deliver(feed(), raw, [cut]).data == want
    assert deliver(feed(), raw, list(range(1, len(raw)))).data == want


def test_an_error_where_a_stream_was_asked_for() -> None:
    piece = feed().feed(b'[{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}\n]')
    assert piece.failure is not None
    assert piece.failure.kind == "overloaded"


def test_a_stream_makes_one_answer_for_a_client_that_wants_json() -> None:
    gather = collect()
    gather.feed(sse(chunk(candidate({"text": "Hel"}, finish=None)), chunk(candidate({"text": "lo"}))))
    assert gather.close().done
    assert gather.answer is not None
    assert json.loads(gather.answer.body) == whole(candidate({"text": "Hello"}))


def test_a_large_picture_comes_in_one_event() -> None:
    data = "A" * (3 * 1024 * 1024)
    got = deltas(chunk(candidate({"inlineData": {"mimeType": "image/png", "data": data}})))
    assert got[1]["images"][0]["image_url"]["url"] == f"data:image/png;base64,{data}"


# --- arrays -----------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a"\\{}[]é,'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"{\\', max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=4), st.data())
def test_the_elements_of_an_array_are_its_objects_however_it_is_cut(objects: list[Body], data: st.DataObject) -> None:
    raw = json.dumps(objects, ensure_ascii=data.draw(st.booleans())).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    elements, found = Elements(1000), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += elements.feed(raw[start:end])
    assert [json.loads(one) for one in found] == objects


def test_an_element_that_never_ends_is_too_large() -> None:
    elements = Elements(100)
    assert elements.feed(b"[" + b" " * 1000) == []
    with pytest.raises(EventTooLarge):
        elements.feed(b'{"a": "' + b"x" * 100)
