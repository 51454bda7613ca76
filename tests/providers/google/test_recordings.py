"""Every recorded answer and stream of generateContent, through the gateway's own reading of it.

Read next: ../../recordings.py, where they are. What is compared is read off the recording in the plainest way.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import Failure
from gateway.providers.protocol import Answer
from tests import make
from tests.providers.google.saying import contents, protocol, target
from tests.providers.streams import deliver
from tests.recordings import Recording, events, invalid, load, skeleton

Body = dict[str, Any]

#: No answers, or ones without an end: made up by their recorders.
TRUNCATED = frozenset(
    """
    gemini-ec49fcae130f vertex-c1a1dd5ef68d vertex-9ddce2b59f24 vertex-0213abdfdb59 vertex-b6cedb09e0bb
    vertex-6a2732412419 vertex-b261ca5e2d12 vertex-e268d466bca1
    """.split()
)


def recorded(status: int = 200) -> Iterator[Recording]:
    for provider in ("gemini", "vertex"):
        for one in load(provider, None):
            if one.api in ("generateContent", "streamGenerateContent") and (one.status == 200) == (status == 200):
                yield one


def replay(one: Recording, cuts: list[int]) -> bytes | Failure:
    call = make.call(stream=one.stream, include_usage=True)
    if not one.stream:
        got = protocol(one.provider).parse(one.body, call, target(kind=one.provider))
        return got.body if isinstance(got, Answer) else got
    delivered = deliver(protocol(one.provider).feed(call, target(kind=one.provider)), one.body, cuts)
    return delivered.failure or delivered.data


def chunks(one: Recording) -> list[Body]:
    if one.body.lstrip()[:1] in (b"[", b"{"):
        said = json.loads(one.body)
        return said if isinstance(said, list) else [said]
    return events(one.body)


def expected(one: Recording) -> Body:
    """What the recording says: text, thoughts, the names and whole arguments of calls, and tokens."""
    text, thoughts = "", ""
    calls: list[Any] = []
    usage: dict[str, Any] = {}
    for chunk in chunks(one):
        usage = chunk.get("usageMetadata") or usage
        for candidate in chunk.get("candidates") or ():
            for part in candidate.get("content", {}).get("parts") or ():
                if part.get("thought"):
                    thoughts += part.get("text", "")
                else:
                    text += part.get("text", "")
                if name := part.get("functionCall", {}).get("name"):
                    calls.append(name)
    return {"text": text, "thoughts": thoughts, "calls": calls, "total": usage.get("totalTokenCount")}


def delivered(bodies: list[Body]) -> Body:
    text, thoughts, calls, total = "", "", [], None
    for body in bodies:
        total = (body.get("usage") or {}).get("total_tokens", total)
        for choice in body["choices"]:
            part = choice.get("message") or choice.get("delta") or {}
            text += part.get("content") or ""
            thoughts += part.get("reasoning_content") or ""
            calls += [call["function"]["name"] for call in part.get("tool_calls") or () if call["function"].get("name")]
    return {"text": text, "thoughts": thoughts, "calls": calls, "total": total}


#: Two answers whose total does not hold the tokens of tools that were used.
TOTALS = 2


def test_every_recorded_answer_is_delivered_valid_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(20261128)
    counts: Counter[str] = Counter()
    odd = 0
    for one in recorded():
        cuts = sorted(dice.randrange(len(one.body) + 1) for _ in range(dice.randrange(12)))
        got = replay(one, cuts)
        if isinstance(got, Failure):
            assert one.id in TRUNCATED, f"{one.id}: {got}"
            assert got.kind == "truncated", f"{one.id}: {got}"
            counts["no whole answers, and refused"] += 1
            continue
        bodies = events(got) if one.stream else [json.loads(got)]
        for body in {skeleton(body): body for body in bodies}.values():
            assert not invalid(body), one.id
        want, have = expected(one), delivered(bodies)
        if want.pop("total") != have.pop("total") and "usageMetadata" in one.body.decode():
            odd += 1
        assert have == want, one.id
        counts["streams" if one.stream else "answers"] += 1
    with capsys.disabled():
        print("\nreplayed:", ", ".join(f"{n} {what}" for what, n in sorted(counts.items())), f"; odd totals: {odd}")
    assert odd <= TOTALS


def test_a_stream_cut_anywhere_gives_the_same_chunks() -> None:
    dice = random.Random(20261129)
    for one in recorded():
        if not one.stream:
            continue
        want = replay(one, [])
        small = len(one.body) <= 4096
        places = range(1, len(one.body)) if small else dice.sample(range(1, len(one.body)), 12)
        for place in places:
            assert replay(one, [place]) == want, f"{one.id} at {place}"
        bytewise = list(range(1, len(one.body))) if small else sorted(dice.sample(range(1, len(one.body)), 200))
        assert replay(one, bytewise) == want, one.id


def test_every_recorded_stream_makes_one_answer_that_says_the_same() -> None:
    for one in recorded():
        if not one.stream:
            continue
        feed = protocol(one.provider).collect(make.call(), target(kind=one.provider))
        ends = [feed.feed(one.body), feed.close()]
        failure = next((piece.failure for piece in ends if piece.failure), None)
        if failure is not None:
            assert one.id in TRUNCATED, one.id
            continue
        assert feed.answer is not None, one.id
        body = json.loads(feed.answer.body)
        assert not invalid(body), one.id
        want, have = expected(one), delivered([body])
        assert (have["text"], have["thoughts"], have["calls"]) == (want["text"], want["thoughts"], want["calls"]), (
            one.id
        )


def test_every_recorded_error_has_a_meaning_of_its_own() -> None:
    found = {
        (one.status, failure.kind)
        for one in recorded(status=0)
        for failure in [protocol().fault(one.status, one.headers, one.body, target())]
    }
    assert found == {(400, "auth"), (400, "client"), (400, "context"), (403, "auth"), (404, "client"), (429, "rate")}


def test_every_signed_turn_goes_back_as_it_came() -> None:
    signed = 0
    for one in recorded():
        if one.stream or b"thoughtSignature" not in one.body:
            continue
        (answered,) = json.loads(one.body)["candidates"]
        got = replay(one, [])
        assert not isinstance(got, Failure), one.id
        said = json.loads(got)["choices"][0]["message"]
        history = [{"role": "user", "content": "Hi"}, json.loads(json.dumps(said))]
        assert contents(*history)[1] == {"role": "model", "parts": answered["content"]["parts"]}, one.id
        # A client that keeps only what OpenAI knows, and the calls whole, still has their signatures.
        bare = {name: said.get(name) for name in ("role", "content", "tool_calls")}
        calls = [part for part in answered["content"]["parts"] if "functionCall" in part]
        for part in calls:
            part["functionCall"].pop("id", None)
            part["functionCall"].setdefault("args", {})
        if calls:
            rebuilt = contents(history[0], bare)[1]["parts"]
            assert [part for part in rebuilt if "functionCall" in part] == calls, one.id
        signed += 1
    assert signed > 300
