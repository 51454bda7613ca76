"""Every kind of block, part, delta, word for the end and status that the providers' own types know, read one by one.

Read next: test_mutants.py. The tables are written from the types of anthropic 2.14, google-genai 3.6 and botocore 1.44;
where the SDK is installed it says whether a kind is missing.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.errors import Failure
from gateway.providers.bedrock.frames import framed
from gateway.providers.protocol import Answer
from gateway.providers.registry import protocol_of
from gateway.providers.rows import ROWS
from gateway.reliability.failures import to_client
from gateway.types import Account
from tests import make
from tests.conformance.answers import faults_in
from tests.conformance.said import of_answer, of_chunks
from tests.providers.streams import deliver

Body = dict[str, Any]
CALL = make.call(stream=True, include_usage=True)


def target(kind: str) -> Any:
    base = ROWS[kind].base_url or "https://provider.invalid/v1"
    return make.deployment("m", account=Account(kind, kind, base, region="us-east-1"))


def parsed(kind: str, body: Body) -> Body:
    """A whole answer as it is delivered; it is valid."""
    got = protocol_of(kind).parse(json.dumps(body).encode(), CALL, target(kind))
    assert isinstance(got, Answer), got
    delivered: Body = json.loads(got.body)
    assert not faults_in([delivered])
    return delivered


def streamed(kind: str, data: bytes) -> list[Body]:
    """The chunks of a stream as they are delivered; they are valid, and the stream is complete."""
    delivered = deliver(protocol_of(kind).feed(CALL, target(kind)), data, list(range(0, len(data), 7))[1:])
    assert delivered.done, delivered.failure
    assert not faults_in(delivered.events)
    return delivered.events


def kept(chunks: list[Body], dialect: str) -> list[Body] | None:
    """What is kept of a turn for its provider."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    found = [delta["extra_content"][dialect]["content"] for delta in deltas if "extra_content" in delta]
    return found[0] if found else None


def kept_whole(answer: Body, dialect: str) -> list[Body] | None:
    extra = answer["choices"][0]["message"].get("extra_content")
    return None if extra is None else extra[dialect]["content"]


# --- Anthropic --------------------------------------------------------------------------------------------------

#: Blocks of which canonical members say all: by their type, text, reasoning and names of calls.
PLAIN: dict[str, tuple[Body, str, str, list[str]]] = {
    "text": ({"text": "Hi"}, "Hi", "", []),
    "thinking": ({"thinking": "Hm", "signature": ""}, "", "Hm", []),
    "tool_use": ({"id": "t", "name": "look", "input": {"a": [1]}}, "", "", ["look"]),
}
SERVER = {"id": "s", "name": "web_search", "input": {"query": "x"}}
RESULT = {"tool_use_id": "s", "content": [{"type": "x", "y": 1}]}
#: Blocks that only Anthropic understands: they are kept word for word, and say nothing else.
KEPT: dict[str, Body] = {
    "redacted_thinking": {"data": "AA=="},
    "server_tool_use": SERVER,
    "mcp_tool_use": {**SERVER, "server_name": "m"},
    "mcp_tool_listing": {"mcp_server_name": "m", "tools": []},
    "container_upload": {"file_id": "f"},
    "compaction": {"content": "before"},
    "fallback": {"from": {"model": "a"}, "to": {"model": "b"}},
    "never_seen": {"deep": {"er": [None]}},
    **{
        f"{name}_tool_result": RESULT
        for name in """
        web_search web_fetch code_execution bash_code_execution text_editor_code_execution tool_search mcp advisor
        """.split()
    },
}


def message(*blocks: Body, reason: str | None = "end_turn", **more: Any) -> Body:
    usage = {"input_tokens": 5, "output_tokens": 2}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(blocks),
        "stop_reason": reason,
        "usage": usage,
        **more,
    }


def events(*said: Body) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), msgspec.json.encode(one)) for one in said)


def stream_of(message: Body) -> bytes:
    """The stream of a message whose blocks come whole."""
    said: list[Body] = [{"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}]
    for index, block in enumerate(message["content"]):
        said += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "ping"},
            {"type": "content_block_stop", "index": index},
        ]
    delta = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in message}
    return events(*said, {"type": "message_delta", "delta": delta, "usage": message["usage"]}, {"type": "message_stop"})


@pytest.mark.parametrize("type", PLAIN)
def test_blocks_of_anthropics_that_canonical_members_can_say(type: str) -> None:
    block, text, reasoning, calls = PLAIN[type]
    said = message({"type": type, **block})
    form = of_answer(parsed("anthropic", said))
    [choice] = form["choices"]
    assert (choice["text"], choice["reasoning"], [call["name"] for call in choice["calls"]]) == (text, reasoning, calls)
    assert of_chunks(streamed("anthropic", stream_of(said))) == form
    assert kept_whole(parsed("anthropic", said), "anthropic") is None


@pytest.mark.parametrize("type", KEPT)
def test_blocks_that_only_anthropic_understands_are_kept_as_they_came(type: str) -> None:
    blocks = [{"type": "text", "text": "Hi"}, {"type": type, **KEPT[type]}]
    answer, chunks = parsed("anthropic", message(*blocks)), streamed("anthropic", stream_of(message(*blocks)))
    form = of_answer(answer)
    assert of_chunks(chunks) == form
    [choice] = form["choices"]
    assert (choice["text"], choice["calls"], choice["finish"]) == ("Hi", [], "stop")
    assert kept_whole(answer, "anthropic") == kept(chunks, "anthropic") == blocks


#: Deltas, the block that each is of, and what the block is afterwards.
DELTAS: list[tuple[Body, Body, Body]] = [
    ({"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}, {"type": "text", "text": "Hi"}),
    (
        {"type": "text", "text": "Hi"},
        {"type": "citations_delta", "citation": {"type": "char_location"}},
        {"type": "text", "text": "Hi", "citations": [{"type": "char_location"}]},
    ),
    (
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "signature_delta", "signature": "sig"},
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
    ),
    (
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"query":"x"}'},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
    ),
    (
        {"type": "compaction", "content": None},
        {"type": "compaction_delta", "content": "before"},
        {"type": "compaction", "content": "before"},
    ),
    ({"type": "never_seen"}, {"type": "never_seen_delta", "more": [1]}, {"type": "never_seen", "more": [1]}),
]


@pytest.mark.parametrize(("begun", "delta", "whole"), DELTAS)
@pytest.mark.parametrize("closed", [True, False])
def test_deltas_of_anthropics_become_the_block_that_they_are_of(
    begun: Body, delta: Body, whole: Body, closed: bool
) -> None:
    said: list[Body] = [
        {"type": "message_start", "message": message(reason=None)},
        {"type": "content_block_start", "index": 0, "content_block": begun},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        *([{"type": "content_block_stop", "index": 0}] if closed else []),
        {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "x"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    assert kept(streamed("anthropic", events(*said)), "anthropic") == [
        whole,
        {"type": "redacted_thinking", "data": "x"},
    ]


def test_a_call_whose_block_is_never_closed_has_its_input() -> None:
    said = stream_of(message({"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}}, reason="tool_use"))
    [choice] = of_chunks(streamed("anthropic", said.replace(b"content_block_stop", b"content_block_what")))["choices"]
    assert choice["calls"] == [{"name": "look", "arguments": {"a": 1}}]


#: Reasons to stop, and OpenAI's.
STOPPED = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "never_seen": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "tool_use": "stop",
}


@pytest.mark.parametrize("reason", STOPPED)
def test_anthropics_reasons_to_stop_are_openais_and_stay_beside_them(reason: str) -> None:
    said = message({"type": "text", "text": "Hi"}, reason=reason, stop_sequence=None)
    for found in (of_answer(parsed("anthropic", said)), of_chunks(streamed("anthropic", stream_of(said)))):
        [choice] = found["choices"]
        assert (choice["finish"], choice["native"]) == (STOPPED[reason], reason)
        assert bool(choice["refusal"]) == (reason == "refusal")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "index": "x", "delta": {"type": "text_delta", "text": "i"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "i"}},
        {"type": "content_block_delta", "index": 0, "delta": None},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ["i"]}},
        {"type": "content_block_start", "index": 0, "content_block": None},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"error": {"message": "Overloaded"}, "type": "whatever"},
    ],
)
def test_an_event_of_anthropics_that_cannot_be_told_is_a_failure_and_no_gap(event: Body) -> None:
    head, tail = stream_of(message({"type": "text", "text": "H"})).split(b"event: content_block_stop")
    feed = protocol_of("anthropic").feed(CALL, target("anthropic"))
    delivered = deliver(feed, head + events(event) + b"event: content_block_stop" + tail)
    assert (delivered.text, delivered.done) == ("H", False)
    assert delivered.failure is not None


def test_the_tables_have_every_kind_that_anthropics_types_know() -> None:
    types = pytest.importorskip("anthropic.types")
    beta = pytest.importorskip("anthropic.types.beta")
    assert {name for union in (types.ContentBlock, beta.BetaContentBlock) for name in tags(union)} <= {*PLAIN, *KEPT}
    known = {delta["type"] for _, delta, _ in DELTAS} | {"thinking_delta"}
    assert {*tags(types.RawContentBlockDelta), *tags(beta.BetaRawContentBlockDelta)} <= known
    assert {*types.StopReason.__args__, *beta.BetaStopReason.__args__} <= STOPPED.keys()


def tags(union: Any) -> list[str]:
    """The types of the members of a union."""
    return [one.model_fields["type"].annotation.__args__[0] for one in union.__origin__.__args__]


# --- Google -----------------------------------------------------------------------------------------------------

#: Parts: text, reasoning, calls, pictures, and whether the part is kept.
PARTS: list[tuple[Body, str, str, list[Any], int, bool]] = [
    ({"text": "Hi"}, "Hi", "", [], 0, False),
    ({"text": ""}, "", "", [], 0, False),
    ({"text": "Hm", "thought": True}, "", "Hm", [], 0, False),
    ({"text": "Hi", "thought": False}, "Hi", "", [], 0, True),
    ({"text": "Hi", "thoughtSignature": "s"}, "Hi", "", [], 0, True),
    ({"text": "Hi", "partMetadata": {"a": 1}}, "Hi", "", [], 0, True),
    ({"functionCall": {"name": "f", "args": {"a": 1}}}, "", "", [{"name": "f", "arguments": {"a": 1}}], 0, False),
    ({"functionCall": {"name": "f", "id": "i"}}, "", "", [{"name": "f", "arguments": {}}], 0, False),
    ({"functionCall": {"name": "f", "args": None}}, "", "", [{"name": "f", "arguments": {}}], 0, False),
    ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, "", "", [], 1, False),
    ({"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thought": True}, "", "", [], 0, True),
    ({"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}, "", "", [], 0, True),
    ({"fileData": {"fileUri": "gs://a"}}, "", "", [], 0, True),
    ({"executableCode": {"language": "PYTHON", "code": "1"}}, "", "", [], 0, True),
    ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, "", "", [], 0, True),
    ({"functionResponse": {"name": "f", "response": {}}}, "", "", [], 0, True),
    ({"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "t"}}, "", "", [], 0, True),
    ({"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "id": "t"}}, "", "", [], 0, True),
    ({"neverSeen": {"a": 1}}, "", "", [], 0, True),
    ({"text": None}, "", "", [], 0, True),
    ({}, "", "", [], 0, True),
]


def generated(*parts: Body, finish: str | None = "STOP", **more: Any) -> Body:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
    candidate: Body = {"content": {"parts": list(parts), "role": "model"}, "index": 0, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "g", "responseId": "r", **more}


def sse(*chunks: Body) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % msgspec.json.encode(chunk) for chunk in chunks)


@pytest.mark.parametrize(("part", "text", "reasoning", "calls", "images", "is_kept"), PARTS)
@pytest.mark.parametrize("kind", ["gemini", "vertex"])
def test_parts_of_googles(
    kind: str, part: Body, text: str, reasoning: str, calls: list[Any], images: int, is_kept: bool
) -> None:
    answer = parsed(kind, generated(part))
    form = of_answer(answer)
    [choice] = form["choices"]
    assert (choice["text"], choice["reasoning"], choice["calls"], choice["images"]) == (text, reasoning, calls, images)
    assert choice["finish"] == ("tool_calls" if calls else "stop")
    assert (kept_whole(answer, "google") == [part]) == is_kept
    assert of_chunks(streamed(kind, sse(generated(part)))) == form


#: Why it ended, or was not begun, and OpenAI's word.
FINISHED = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        """
        SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT IMAGE_RECITATION
        MODEL_ARMOR
        """.split(),
        "content_filter",
    ),
    **dict.fromkeys(
        """
        LANGUAGE OTHER MALFORMED_FUNCTION_CALL IMAGE_OTHER NO_IMAGE UNEXPECTED_TOOL_CALL TOO_MANY_TOOL_CALLS
        MISSING_THOUGHT_SIGNATURE MALFORMED_RESPONSE ESCALATION PUP_LIMITED_DISABLED CONTINUATION FAKE_ENUM
        """.split(),
        "stop",
    ),
}


@pytest.mark.parametrize("word", FINISHED)
def test_googles_reasons_to_finish_are_openais_and_stay_beside_them(word: str) -> None:
    native = None if word == "STOP" else word
    for parts in ([{"text": "Hi"}], []):
        said = generated(*parts, finish=word)
        for found in (of_answer(parsed("vertex", said)), of_chunks(streamed("vertex", sse(said)))):
            assert [(one["finish"], one["native"]) for one in found["choices"]] == [(FINISHED[word], native)]


BLOCKED = (
    "SAFETY",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "IMAGE_SAFETY",
    "MODEL_ARMOR",
    "JAILBREAK",
    "FAKE_ENUM",
)


@pytest.mark.parametrize("word", BLOCKED)
def test_a_prompt_that_google_blocks_is_an_answer_without_content(word: str) -> None:
    said = {"promptFeedback": {"blockReason": word}, "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5}}
    for found in (of_answer(parsed("vertex", said)), of_chunks(streamed("vertex", sse(said)))):
        [choice] = found["choices"]
        assert (choice["text"], choice["finish"], choice["native"]) == ("", "content_filter", word)
        assert found["usage"]["prompt"] == 5


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"candidates": []},
        {"candidates": [{}]},
        {"candidates": [{"content": {}}]},
        {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]},
        {"candidates": [{"content": "invalid", "finishReason": "STOP"}]},
        {"candidates": [{"finishReason": "FINISH_REASON_UNSPECIFIED"}]},
        {"promptFeedback": {}},
        {"this": [{"is": {"not": "an answer"}}]},
        {"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}},
        [{"error": {"code": 499, "status": "CANCELLED", "message": "gone"}}],
    ],
)
def test_what_is_no_answer_of_googles_is_a_failure(body: Any) -> None:
    raw = json.dumps(body).encode()
    assert isinstance(protocol_of("vertex").parse(raw, CALL, target("vertex")), Failure)
    feed = protocol_of("vertex").feed(CALL, target("vertex"))
    assert deliver(feed, raw if isinstance(body, list) else b"data: " + raw + b"\n\n").failure is not None


def test_the_tables_have_every_kind_that_googles_types_know() -> None:
    types = pytest.importorskip("google.genai.types")
    assert {one.name for one in types.FinishReason} - {"FINISH_REASON_UNSPECIFIED"} <= FINISHED.keys()
    assert {one.name for one in types.BlockedReason} - {"BLOCKED_REASON_UNSPECIFIED"} <= {*BLOCKED}


# --- Bedrock ----------------------------------------------------------------------------------------------------

#: Whole blocks: text, reasoning, names of calls, pictures, and whether the turn is kept.
BLOCKS: list[tuple[Body, str, str, list[str], int, bool]] = [
    ({"text": "Hi"}, "Hi", "", [], 0, False),
    ({"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}, "", "", ["f"], 0, False),
    ({"toolUse": {"toolUseId": "t", "name": "f", "type": "server_tool_use", "input": {}}}, "", "", [], 0, True),
    ({"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}}, "", "Hm", [], 0, True),
    ({"reasoningContent": {"redactedContent": "AA=="}}, "", "", [], 0, True),
    ({"citationsContent": {"content": [{"text": "Hi"}], "citations": [{"title": "t"}]}}, "Hi", "", [], 0, True),
    ({"image": {"format": "png", "source": {"bytes": "AA=="}}}, "", "", [], 1, False),
    ({"toolResult": {"toolUseId": "t", "content": [{"text": "x"}]}}, "", "", [], 0, True),
    *(
        ({name: {"a": 1}}, "", "", [], 0, True)
        for name in """
        document video audio guardContent cachePoint searchResult toolAddition toolRemoval neverSeen
        """.split()
    ),
]


def conversed(*blocks: Body, reason: str = "end_turn") -> Body:
    usage = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}
    return {"output": {"message": {"role": "assistant", "content": list(blocks)}}, "stopReason": reason, "usage": usage}


def frame(kind: str, **said: Any) -> bytes:
    return framed({":message-type": "event", ":event-type": kind}, msgspec.json.encode({**said, "p": "abc"}))


@pytest.mark.parametrize(("block", "text", "reasoning", "calls", "images", "is_kept"), BLOCKS)
def test_blocks_of_converse(
    block: Body, text: str, reasoning: str, calls: list[str], images: int, is_kept: bool
) -> None:
    answer = parsed("bedrock", conversed(block))
    [choice] = of_answer(answer)["choices"]
    found = [call["name"] for call in choice["calls"]]
    assert (choice["text"], choice["reasoning"], found, choice["images"]) == (text, reasoning, calls, images)
    assert (kept_whole(answer, "bedrock") == [block]) == is_kept


#: Deltas: the member that they are, text, reasoning, and what of the turn is kept.
GROWN: list[tuple[Body, str, str, list[Body] | None]] = [
    ({"text": "Hi"}, "Hi", "", None),
    ({"reasoningContent": {"text": "Hm"}}, "", "Hm", [{"reasoningContent": {"reasoningText": {"text": "Hm"}}}]),
    (
        {"reasoningContent": {"redactedContent": "AA=="}},
        "",
        "",
        [{"reasoningContent": {"redactedContent": "AA=="}}],
    ),
    ({"citation": {"title": "t"}}, "", "", [{"citationsContent": {"citations": [{"title": "t"}]}}]),
    ({"toolResult": [{"text": "x"}]}, "", "", [{"toolResult": {"content": [{"text": "x"}]}}]),
    ({"neverSeen": {"a": 1}}, "", "", [{"neverSeen": {"a": 1}}]),
]


@pytest.mark.parametrize(("delta", "text", "reasoning", "turn"), GROWN)
def test_deltas_of_converse(delta: Body, text: str, reasoning: str, turn: list[Body] | None) -> None:
    chunks = streamed(
        "bedrock",
        frame("messageStart", role="assistant")
        + frame("contentBlockDelta", contentBlockIndex=0, delta=delta)
        + frame("contentBlockStop", contentBlockIndex=0)
        + frame("messageStop", stopReason="end_turn")
        + frame("metadata", usage={"inputTokens": 5.0, "outputTokens": 2}),
    )
    found = of_chunks(chunks)
    [choice] = found["choices"]
    assert (choice["text"], choice["reasoning"], found["usage"]["prompt"]) == (text, reasoning, 5)
    assert kept(chunks, "bedrock") == turn


#: Converse's reasons to stop, and OpenAI's.
ENDED = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
    "never_seen": "stop",
}


@pytest.mark.parametrize("reason", ENDED)
def test_converses_reasons_to_stop_are_openais_and_stay_beside_them(reason: str) -> None:
    [choice] = of_answer(parsed("bedrock", conversed({"text": "Hi"}, reason=reason)))["choices"]
    assert (choice["text"], choice["finish"], choice["native"]) == ("Hi", ENDED[reason], reason)


EXCEPTIONS = (
    "internalServerException modelStreamErrorException validationException throttlingException "
    "serviceUnavailableException modelTimeoutException neverSeenException"
).split()


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_in_a_stream_of_converse_is_a_failure_after_what_came_before_it(name: str) -> None:
    thrown = framed({":message-type": "exception", ":exception-type": name}, b'{"message":"no"}')
    text = frame("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hi"})
    delivered = deliver(protocol_of("bedrock").feed(CALL, target("bedrock")), text + thrown)
    assert (delivered.text, delivered.done) == ("Hi", False)
    assert delivered.failure is not None
    assert delivered.failure.message == "no"


@pytest.mark.parametrize("index", [{}, {"contentBlockIndex": None}, {"contentBlockIndex": "0"}])
def test_half_a_block_of_converse_is_a_failure_and_no_gap(index: Body) -> None:
    data = frame("contentBlockDelta", delta={"text": "Hi"}, **index) + frame("messageStop", stopReason="end_turn")
    delivered = deliver(protocol_of("bedrock").feed(CALL, target("bedrock")), data)
    assert delivered.failure is not None
    assert delivered.failure.kind == "garbage"


def test_the_tables_have_every_kind_that_converses_model_knows() -> None:
    session = pytest.importorskip("botocore.session")
    model = session.get_session().get_service_model("bedrock-runtime")
    assert {*model.shape_for("ContentBlock").members} <= {name for block, *_ in BLOCKS for name in block}
    known = {name for delta, *_ in GROWN for name in delta} | {"toolUse", "image"}
    assert {*model.shape_for("ContentBlockDelta").members} <= known
    assert {*model.shape_for("StopReason").enum} <= ENDED.keys()


# --- refused ----------------------------------------------------------------------------------------------------

BODIES = (
    b"",
    b"<html>busy</html>",
    b'{"error":{"message":"no","type":"t","code":1}}',
    b'{"error":"no"}',
    b'{"message":"no"}',
    b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}',
    b'[{"error":{"code":499,"message":"no","status":"CANCELLED"}}]',
    b'{"detail":[{"msg":"no"}]}',
    b"[]",
    b"null",
    b'{"error":null}',
    b"\xff\xfe",
)


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "vertex", "bedrock", "openai", "mistral", "openrouter"])
@pytest.mark.parametrize(
    "status", [*range(300, 600, 13), 301, 400, 401, 402, 403, 404, 408, 413, 422, 429, 498, 499, 529]
)
def test_every_status_and_body_of_an_error_is_a_failure_in_openais_envelope(kind: str, status: int) -> None:
    for body in BODIES:
        error = to_client(protocol_of(kind).fault(status, (), body, target(kind)))
        assert not faults_in([json.loads(error.envelope())])
        assert 400 <= error.status < 600
