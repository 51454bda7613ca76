"""Every recorded answer and stream of a provider that speaks OpenAI's protocol, replayed through its row.

Read next: ../recordings.py, which says what may differ.
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
from gateway.providers.registry import protocol_of
from gateway.providers.shapes import WHOLE
from tests import make
from tests.providers.streams import deliver
from tests.recordings import Recording, differences, events, invalid, load, row_of, skeleton

#: What a message is, whichever way it came: its texts, its tool calls by name and text, its finish reason.
Said = dict[int, tuple[dict[str, str], list[list[str]], str | None]]

#: Answers that are broken as recorded: an error or the end came inside a stream, or a test had its own made up.
BROKEN = {
    "groq-f4163b485db1": "client",
    "gpustack-f7996323b752": "overloaded",
    "openai-cdb2c760fdd0": "truncated",
}


def replay(recorded: Recording, include_usage: bool, dice: random.Random) -> bytes | Failure:
    """What the client gets of a recording, its bytes cut at random places."""
    row = row_of(recorded.provider)
    protocol = protocol_of(row.kind)
    call = make.call(stream=recorded.stream, include_usage=include_usage)
    target = make.deployment("some-model")
    if not recorded.stream:
        parsed = protocol.parse(recorded.body, call, target)
        return parsed.body if isinstance(parsed, Answer) else parsed
    cuts = sorted(dice.randrange(len(recorded.body) + 1) for _ in range(dice.randrange(12)))
    delivered = deliver(protocol.feed(call, target), recorded.body, cuts)
    assert delivered.done != (delivered.failure is not None), recorded.id
    return delivered.failure or delivered.data


def test_every_recorded_answer_is_delivered_valid_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(20261121)
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    for recorded in load():
        if recorded.status != 200:
            continue
        include_usage = dice.random() < 0.5
        got = replay(recorded, include_usage, dice)
        kind = "streams" if recorded.stream else "answers"
        if isinstance(got, Failure):
            assert (recorded.id, got.kind) in BROKEN.items(), f"{recorded.id}: {got}"
            counts[kind, "broken as recorded, and refused"] += 1
            continue
        found = differences(recorded, got, row_of(recorded.provider), include_usage=include_usage)
        bodies = events(got) if recorded.stream else [json.loads(got)]
        found += [fault for body in {skeleton(body): body for body in bodies}.values() for fault in invalid(body)]
        wrong += [f"{recorded.id}: {fault}" for fault in found[:3]]
        counts[kind, "not whole" if found else "untouched" if got == recorded.body else "whole"] += 1
    with capsys.disabled():
        print("\nreplayed:", ", ".join(f"{n} {kind} {how}" for (kind, how), n in sorted(counts.items())))
    assert not wrong, "\n".join(wrong)


def pieces(body: bytes, dice: random.Random) -> list[bytes]:
    places = sorted(dice.randrange(len(body) + 1) for _ in range(dice.randrange(12)))
    return [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]


def gathered(recorded: Recording, dice: random.Random) -> Answer | Failure:
    """What a client that wants JSON gets of a recording, its bytes cut at random places."""
    feed = protocol_of(row_of(recorded.provider).kind).collect(make.call(), make.deployment("some-model"))
    ends = [feed.feed(data) for data in pieces(recorded.body, dice)] + [feed.close()]
    assert not any(piece.data for piece in ends), recorded.id
    (failure,) = {piece.failure for piece in ends if piece.done or piece.failure}
    got = feed.answer if failure is None else failure
    assert got is not None, recorded.id
    return got


def said(bodies: list[dict[str, Any]]) -> Said:
    """What chunks, or an answer, come to: read in the plainest way there is."""
    found: dict[int, tuple[dict[str, str], dict[int, list[str]], list[str]]] = {}
    for choice in (choice for body in bodies for choice in body["choices"]):
        texts, called, finish = found.setdefault(choice["index"], ({}, {}, []))
        part = choice.get("message") if "delta" not in choice else choice["delta"]
        for name in ("content", "reasoning_content", "refusal"):
            texts[name] = texts.get(name, "") + (part.get(name) or "")
        for position, call in enumerate(part.get("tool_calls") or ()):
            known = called.setdefault(call.get("index", position), ["", "", ""])
            function = call.get("function") or {}
            for place, piece in enumerate((call.get("id"), function.get("name"), function.get("arguments"))):
                known[place] += piece or ""
        finish += [choice["finish_reason"]] if choice["finish_reason"] else []
    return {
        index: (texts, [call for _, call in sorted(called.items())], finish[0] if finish else None)
        for index, (texts, called, finish) in found.items()
    }


def test_every_recorded_stream_makes_one_valid_answer_that_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(20261122)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for recorded in load():
        if recorded.status != 200 or not recorded.stream:
            continue
        relayed, got = replay(recorded, True, dice), gathered(recorded, dice)
        if isinstance(relayed, Failure) or isinstance(got, Failure):
            assert relayed == got, recorded.id
            counts["broken as recorded, and refused"] += 1
            continue
        WHOLE.decode(got.body)
        body, chunks = json.loads(got.body), events(relayed)
        wrong += [f"{recorded.id}: {fault}" for fault in invalid(body)]
        if said([body]) != said(chunks):
            wrong.append(f"{recorded.id}: {said(chunks)} became {said([body])}")
        usage = next((event["usage"] for event in chunks if event.get("usage")), None)
        if body.get("usage") != usage:
            wrong.append(f"{recorded.id}: {usage} became {body.get('usage')}")
        counts["whole, with usage" if usage else "whole, no usage reported"] += 1
    with capsys.disabled():
        print("\ngathered:", ", ".join(f"{n} streams {how}" for how, n in sorted(counts.items())))
    assert not wrong, "\n".join(wrong)


def members(body: Any, path: str = "") -> Iterator[str]:
    """The paths of all members; an empty list is nothing that could be lost."""
    if isinstance(body, list):
        for item in body:
            yield from members(item, path + "[]")
        return
    for name, value in body.items() if isinstance(body, dict) else ():
        if value != []:
            yield f"{path}.{name}"
            yield from members(value, f"{path}.{name}")


def asked_both_ways() -> Iterator[tuple[Recording, Recording]]:
    """Each recorded stream with a whole answer to the same request, where the row says that nothing is lost."""
    found: dict[str, list[Recording]] = {}
    for recorded in load():
        if recorded.status == 200 and recorded.request and row_of(recorded.provider).aggregates:
            asked = {name: value for name, value in recorded.request.items() if not name.startswith("stream")}
            found.setdefault(recorded.provider + json.dumps(asked, sort_keys=True), []).append(recorded)
    for same in found.values():
        whole = next((recorded for recorded in same if not recorded.stream), None)
        yield from ((recorded, whole) for recorded in same if recorded.stream and whole is not None)


def test_where_a_row_aggregates_no_member_of_an_answer_is_missing_when_it_is_made_of_a_stream(
    capsys: pytest.CaptureFixture[str],
) -> None:
    dice = random.Random(20261124)
    counts: Counter[str] = Counter()
    for stream, whole in asked_both_ways():
        made, came = gathered(stream, dice), gathered(whole, dice)
        assert isinstance(made, Answer)
        assert isinstance(came, Answer)
        lost = set(members(json.loads(came.body))) - set(members(json.loads(made.body)))
        if stream.request and not (stream.request.get("stream_options") or {}).get("include_usage"):
            lost = {path for path in lost if not path.startswith(".usage")}
        assert not lost, f"{stream.id} lacks {lost} of {whole.id}"
        counts[stream.provider] += 1
    with capsys.disabled():
        print("\nasked both ways, and nothing lost:", dict(counts))


def test_every_recorded_answer_is_the_same_when_a_stream_was_asked_for() -> None:
    dice = random.Random(20261123)
    for recorded in load():
        if recorded.status == 200 and not recorded.stream:
            blank = len(recorded.body) - len(recorded.body.lstrip())
            parsed = protocol_of(row_of(recorded.provider).kind).parse(
                recorded.body[blank:], make.call(), make.deployment("some-model")
            )
            assert gathered(recorded, dice) == parsed, recorded.id


def test_recorded_errors_become_failures_with_a_message() -> None:
    protocol = protocol_of("openai_compatible")
    for recorded in load():
        if recorded.status >= 400:
            failure = protocol.fault(recorded.status, recorded.headers, recorded.body, make.deployment("m"))
            assert failure.status == recorded.status
            assert not failure.message.startswith("the provider answered"), recorded.id


def test_usage_is_what_the_provider_reported() -> None:
    for recorded in load():
        if recorded.status != 200 or recorded.stream:
            continue
        said = json.loads(recorded.body).get("usage")
        parsed = protocol_of(row_of(recorded.provider).kind).parse(recorded.body, make.call(), make.deployment("m"))
        if isinstance(parsed, Failure) or not said:
            continue
        assert parsed.usage is not None, recorded.id
        beside = (0, parsed.usage.cached_input, parsed.usage.audio_input)
        assert parsed.usage.input - said["prompt_tokens"] in beside
        assert parsed.usage.output >= (said.get("completion_tokens") or 0)
        assert parsed.usage.cached_input <= parsed.usage.input
        assert parsed.usage.reasoning <= parsed.usage.output, recorded.id
