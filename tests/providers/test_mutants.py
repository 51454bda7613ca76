"""Recorded answers that were changed and say the same are delivered the same, and what lost something is a failure.

Read next: mutants.py, the changes; tests/conformance/said.py, the form in which two answers are compared. The
recordings are read where they are (tests/recordings.py); SIGNALBOX_REPLAY=all takes every one of them.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gateway.errors import Failure
from gateway.providers.registry import protocol_of
from gateway.providers.rows import ROWS
from gateway.types import Account, Call, Deployment
from tests import make
from tests.conformance.answers import Got, faults_in, fed, is_served, kind_of
from tests.conformance.oracle import SDK
from tests.conformance.said import of_answer, of_chunks
from tests.providers.mutants import FRAMES, SPOILS, STREAMS, WHOLES, Mutate, is_frames
from tests.recordings import Recording, files_of, recorded, row_of

ALL = os.environ.get("SIGNALBOX_REPLAY") == "all"
#: How many answers of each provider are changed, whole ones and streams, and how large they may be.
MANY = 100_000 if ALL else 2
LARGEST = 10**9 if ALL else 12_000
SEED = 20261128


def kind(one: Recording) -> str | None:
    if (one.provider, one.api) in SDK:
        return kind_of(one)
    return row_of(one.provider).kind if one.api == "chat.completions" else None


def target(one: Recording) -> Deployment:
    name = kind(one) or ""
    base = ROWS[name].base_url or "https://provider.invalid/v1"
    return make.deployment(one.model or "some-model", account=Account(name, name, base, region="us-east-1"))


def call(one: Recording) -> Call:
    return make.call(stream=one.stream, include_usage=True)


@pytest.fixture(scope="module")
def chosen() -> list[Recording]:
    """Some answers of every provider, always the same ones."""
    if not files_of(None):
        pytest.skip("no recorded traffic: set SIGNALBOX_SHARED to where it is")
    found: dict[tuple[str | None, bool], list[Recording]] = {}
    for one in recorded():
        if one.status < 300 and len(one.body) < LARGEST and (name := kind(one)) is not None and is_served(name):
            found.setdefault((name, one.stream), []).append(one)
    dice = random.Random(SEED)
    return [one for those in found.values() for one in dice.sample(those, min(MANY, len(those)))]


def delivered(one: Recording, body: bytes, cuts: Sequence[int] = ()) -> tuple[list[dict[str, Any]], Failure | None]:
    """What is delivered of an answer: it, or its chunks, and the failure that ended it."""
    protocol = protocol_of(kind(one) or "")
    if not one.stream:
        answer = protocol.parse(body, call(one), target(one))
        return ([], answer) if isinstance(answer, Failure) else ([json.loads(answer.body)], None)
    data, failure = fed(protocol.feed(call(one), target(one)), body, cuts)
    return [json.loads(event.removeprefix(b"data: ")) for event in data.split(b"\n\n") if event], failure


def said(one: Recording, body: bytes, cuts: Sequence[int] = ()) -> tuple[Got, list[str]]:
    """What an answer says when it is delivered, and what the schema has against it."""
    bodies, failure = delivered(one, body, cuts)
    return failure or (of_chunks(bodies) if one.stream else of_answer(bodies[0])), faults_in(bodies)


def table(one: Recording) -> dict[str, Mutate]:
    return dict(WHOLES if not one.stream else FRAMES if is_frames(one.body) else STREAMS)


def cuts(body: bytes, dice: random.Random) -> list[int]:
    return sorted(dice.randrange(len(body) + 1) for _ in range(dice.choice((0, 1, 5))))


def test_what_says_the_same_is_delivered_the_same(chosen: list[Recording]) -> None:
    found: list[Any] = []
    for one in chosen:
        want, _ = said(one, one.body)
        for name, mutate in table(one).items():
            dice = random.Random(f"{one.id} {name}")
            body = mutate(one.body, dice)
            got, invalid = said(one, body, cuts(body, dice))
            if invalid or (got != want and not isinstance(want, Failure)):
                found.append((one.id, name, invalid or got))
    assert not found, found[:3]


def test_what_lost_its_end_is_a_failure(chosen: list[Recording]) -> None:
    passed = [
        (one.id, len(body))
        for one in chosen
        for body in cut_off(one)
        if not isinstance(said(one, body, cuts(body, random.Random(len(body))))[0], Failure)
    ]
    assert not passed


def cut_off(one: Recording) -> Iterator[bytes]:
    """The answer as it is when it breaks off: a stream before the event with the first finish reason."""
    dice = random.Random(one.id)
    body = one.body.rstrip()
    end = next(filter(lambda at: at > 0, map(body.find, marks(one))), 0) if one.stream else len(body)
    yield from (body[: dice.randrange(end)] for _ in range(4 if end else 0))


def marks(one: Recording) -> tuple[bytes, ...]:
    if kind(one) == "anthropic":
        return (b"event: message_delta", b'"message_delta"')
    return (
        (b"messageStop",) if is_frames(one.body) else (b'"finishReason"', b'"finish_reason":"', b'"finish_reason": "')
    )


def test_whatever_an_answer_is_made_of_it_is_valid_or_a_failure(chosen: list[Recording]) -> None:
    found: list[Any] = []
    for one in chosen:
        for number in range(12):
            dice = random.Random(f"{one.id} {number}")
            body = spoilt(one, dice)
            bodies, _ = delivered(one, body)
            if invalid := faults_in(bodies):
                found.append((one.id, number, invalid))
    assert not found, found[:3]


def spoilt(one: Recording, dice: random.Random) -> bytes:
    """The answer with values that nobody expects: text where a list should be, nothing where a number should."""
    whole, stream, frames = SPOILS
    spoil = whole if not one.stream else frames if is_frames(one.body) else stream
    return spoil(one.body, dice)
