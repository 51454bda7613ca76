"""Every recorded answer, stream and error of Converse, told in canonical words. Read next: test_bedrock.py."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from gateway.errors import Failure
from gateway.providers.protocol import Answer
from gateway.providers.registry import protocol_of
from gateway.types import Call, Deployment
from tests import make
from tests.providers.streams import deliver
from tests.recordings import Recording, events, invalid, load, skeleton

PROTOCOL = protocol_of("bedrock")
#: Streams up to this many bytes are cut at every place, longer ones at random places.
EVERY_CUT = 4096


def call() -> Call:
    return make.call(stream=True, include_usage=True)


def target(recorded: Recording) -> Deployment:
    return make.deployment(recorded.model or "some.model")


def delivered(recorded: Recording, *cuts: int) -> bytes:
    got = deliver(PROTOCOL.feed(call(), target(recorded)), recorded.body, list(cuts))
    assert got.done, f"{recorded.id}: {got.failure}"
    return got.data


def texts(body: dict[str, Any]) -> str:
    """The text of an answer as Converse says it, read in the plainest way there is."""
    found = ""
    for block in body["output"]["message"]["content"]:
        found += block.get("text") or ""
        found += "".join(piece["text"] for piece in block.get("citationsContent", {}).get("content", ()))
    return found


def test_every_recorded_answer_becomes_a_valid_and_whole_one() -> None:
    counted: Counter[str] = Counter()
    for recorded in load("bedrock", "converse"):
        if recorded.status != 200:
            continue
        answer = PROTOCOL.parse(recorded.body, call(), target(recorded))
        assert isinstance(answer, Answer), f"{recorded.id}: {answer}"
        body, said = json.loads(answer.body), json.loads(recorded.body)
        assert not invalid(body), recorded.id
        choice = body["choices"][0]
        message = choice["message"]
        assert (message["content"] or "") == texts(said), recorded.id
        uses = [block["toolUse"] for block in said["output"]["message"]["content"] if "toolUse" in block]
        mine = [use for use in uses if use.get("type") != "server_tool_use"]
        assert [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls", ())
        ] == [(use["toolUseId"], use["name"], use["input"]) for use in mine], recorded.id
        assert choice["native_finish_reason"] == said["stopReason"]
        if "totalTokens" in said["usage"]:
            assert body["usage"]["total_tokens"] == said["usage"]["totalTokens"], recorded.id
        counted[choice["finish_reason"]] += 1
    assert set(counted) <= {"stop", "length", "tool_calls", "content_filter"}
    assert counted["tool_calls"] >= 50


def test_every_recorded_stream_becomes_a_valid_one_that_ends() -> None:
    for recorded in load("bedrock", "converse-stream"):
        if recorded.status != 200:
            continue
        chunks = events(delivered(recorded))
        shapes = {skeleton(chunk): chunk for chunk in chunks}
        assert not [fault for chunk in shapes.values() for fault in invalid(chunk)], recorded.id
        assert sum(bool(choice["finish_reason"]) for chunk in chunks for choice in chunk["choices"]) == 1, recorded.id
        assert len({chunk["id"] for chunk in chunks}) == 1


def test_every_cut_of_a_recorded_stream_gives_the_same_chunks() -> None:
    dice = random.Random(20261121)
    for recorded in load("bedrock", "converse-stream"):
        if recorded.status != 200:
            continue
        whole = delivered(recorded)
        size = len(recorded.body)
        if size <= EVERY_CUT:
            places = [[cut] for cut in range(1, size)] + [list(range(1, size))]
        else:
            places = [sorted(dice.sample(range(size), 12)) for _ in range(3)]
        for cuts in places:
            assert delivered(recorded, *cuts) == whole, (recorded.id, cuts)


def test_a_recorded_stream_that_breaks_off_is_never_a_whole_one() -> None:
    dice = random.Random(20261122)
    for recorded in load("bedrock", "converse-stream"):
        if recorded.status != 200:
            continue
        stop = recorded.body.index(b"messageStop")
        cut = recorded.body[: dice.randrange(stop)]
        got = deliver(PROTOCOL.feed(call(), target(recorded)), cut, [])
        assert not got.done
        assert got.failure is not None
        assert got.failure.kind == "truncated"


def test_a_stream_gathered_is_what_its_chunks_say() -> None:
    for recorded in load("bedrock", "converse-stream"):
        if recorded.status != 200:
            continue
        collect = PROTOCOL.collect(call(), target(recorded))
        size = len(recorded.body)
        pieces = [collect.feed(recorded.body[a:b]) for a, b in pairwise([0, size // 3, size // 2, size])]
        pieces.append(collect.close())
        assert any(piece.done for piece in pieces), recorded.id
        assert collect.answer is not None
        body = json.loads(collect.answer.body)
        assert not invalid(body), recorded.id
        deltas = [choice["delta"] for chunk in events(delivered(recorded)) for choice in chunk["choices"]]
        said = "".join(delta.get("content") or "" for delta in deltas)
        assert (body["choices"][0]["message"]["content"] or "") == said, recorded.id


#: What the recorded errors are, by the beginning of their messages.
ERRORS = {
    "The security token included": "auth",
    "The provided model identifier is invalid": "client",
    "This model doesn't support": "client",
    "The model returned the following errors": "client",
}


def test_every_recorded_error_is_what_it_is() -> None:
    for api in ("converse", "converse-stream"):
        for recorded in load("bedrock", api):
            if recorded.status == 200:
                continue
            failure = PROTOCOL.fault(recorded.status, recorded.headers, recorded.body, target(recorded))
            said = json.loads(recorded.body)["message"]
            kind = next(kind for words, kind in ERRORS.items() if said.startswith(words))
            assert (failure.kind, failure.status, failure.message) == (kind, recorded.status, said), recorded.id


def test_what_a_turn_keeps_is_said_again_word_for_word() -> None:
    """An answer with reasoning, citations or tools of the provider's goes back as it came."""
    kept = 0
    for recorded in load("bedrock", "converse"):
        if recorded.status != 200:
            continue
        answer = PROTOCOL.parse(recorded.body, call(), target(recorded))
        assert not isinstance(answer, Failure)
        message = json.loads(answer.body)["choices"][0]["message"]
        if "extra_content" not in message:
            continue
        kept += 1
        messages = [{"role": "user", "content": "hello"}, message, {"role": "user", "content": "go on"}]
        sent = PROTOCOL.render(make.call(fields={"messages": messages}), target(recorded), stream=False)
        back = msgspec.json.decode(sent.body)["messages"][1]
        assert back == {"role": "assistant", "content": message["extra_content"]["bedrock"]["content"]}, recorded.id
    if not kept:
        pytest.fail("no recorded answer keeps anything: the recordings are not what they were")
    assert kept == 31
