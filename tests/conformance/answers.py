"""Recorded answers through our protocols: valid, the same whatever the cuts, and saying what the provider's SDK reads.

Read next: said.py, for what is compared; oracle.py, for what the SDKs say; docs/conformance.md.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from gateway.errors import Failure
from gateway.providers.protocol import Answer, Collect, Feed, Protocol
from gateway.providers.registry import protocol_of
from gateway.providers.rows import ROWS
from gateway.reliability.failures import to_client
from gateway.types import Account, Call, Deployment
from tests import make
from tests.conformance.oracle import SDK
from tests.conformance.said import of_answer, of_chunks
from tests.recordings import Recording, invalid, skeleton

__all__ = [
    "Got",
    "call_for",
    "cut_short",
    "cuts_of",
    "delivered",
    "fault_of",
    "faults_in",
    "fed",
    "gathered",
    "is_served",
    "kind_of",
    "protocol_for",
    "recorded_answers",
    "target_of",
    "whole",
]

#: What is delivered of an answer in the normal form, or why there is none.
Got = dict[str, Any] | Failure

#: Which kind of provider answers in an SDK's words.
KIND: Final[Mapping[str, str]] = {"azure": "azure_openai"}
#: Streams are cut at every byte of their beginning, and at random places after it.
EVERY_BYTE: Final = 4096
#: Where the event begins that has the (first) finish reason: a stream that ends before it is cut off.
FINISHES: Final[Mapping[str, bytes]] = {
    "anthropic": b"event: message_delta",
    "gemini": b'"finishReason"',
    "vertex": b'"finishReason"',
    "bedrock": b"messageStop",
    "azure": b'"finish_reason":"',
    "mistral": b'"finish_reason":"',
}


def kind_of(recorded: Recording) -> str:
    sdk = SDK[recorded.provider, recorded.api]
    return KIND.get(sdk, sdk)


def is_served(kind: str) -> bool:
    """Whether there is a row for this kind of provider."""
    return kind in ROWS


def protocol_for(recorded: Recording) -> Protocol:
    """The protocol that reads this recording. Raises KeyError where no row speaks it."""
    return protocol_of(kind_of(recorded))


def target_of(recorded: Recording) -> Deployment:
    """A deployment of the recorded model."""
    kind = kind_of(recorded)
    base_url = ROWS[kind].base_url or "https://provider.invalid/v1"
    account = Account(name=kind, kind=kind, base_url=base_url, region="us-east-1")
    return make.deployment(recorded.model or "some-model", account=account)


def recorded_answers(recordings: Sequence[Recording], sdk: str) -> list[Recording]:
    """Those that this SDK reads."""
    return [one for one in recordings if SDK.get((one.provider, one.api)) == sdk]


# --- delivered --------------------------------------------------------------------------------------------------


def whole(recorded: Recording) -> tuple[Got, list[str]]:
    """A whole answer, and what the schema has against it."""
    return of_parsed(protocol_for(recorded).parse(recorded.body, call_for(recorded), target_of(recorded)))


def of_parsed(parsed: Answer | Failure) -> tuple[Got, list[str]]:
    if isinstance(parsed, Failure):
        return parsed, []
    body = json.loads(parsed.body)
    return of_answer(body), faults_in([body])


def call_for(recorded: Recording) -> Call:
    return make.call(stream=recorded.stream, include_usage=True)


def delivered(recorded: Recording, body: bytes, cuts: Sequence[int]) -> tuple[Got, list[str]]:
    """A stream cut at these places, and what the schema has against its chunks."""
    feed = protocol_for(recorded).feed(call_for(recorded), target_of(recorded))
    data, failure = fed(feed, body, cuts)
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in data.split(b"\n\n") if event]
    return failure or of_chunks(chunks), faults_in(chunks)


def gathered(recorded: Recording, cuts: Sequence[int]) -> tuple[Got, list[str]]:
    """A stream made into one answer."""
    collect = protocol_for(recorded).collect(call_for(recorded), target_of(recorded))
    _, failure = fed(collect, recorded.body, cuts)
    return of_parsed(failure or answer_of(collect))


def answer_of(collect: Collect) -> Answer:
    assert collect.answer is not None, "done, and no answer"
    return collect.answer


def fed(feed: Feed, body: bytes, cuts: Sequence[int]) -> tuple[bytes, Failure | None]:
    """All that a stream gives for the client, and the failure that ended it."""
    pieces = [feed.feed(body[start:end]) for start, end in pairwise([0, *cuts, len(body)])]
    pieces.append(feed.close())
    failure = next((piece.failure for piece in pieces if piece.failure), None)
    assert failure is not None or any(piece.done for piece in pieces), "neither done nor failed"
    return b"".join(piece.data for piece in pieces), failure


# --- cut --------------------------------------------------------------------------------------------------------


def cuts_of(recorded: Recording, times: int) -> Iterator[list[int]]:
    """Nowhere; at every byte of the beginning and at random places after it; and ``times`` at random places."""
    size, dice = len(recorded.body), random.Random(recorded.id)
    yield []
    beginning = min(size, EVERY_BYTE)
    yield [*range(1, beginning), *sorted(dice.randrange(beginning, size + 1) for _ in range((size - beginning) // 50))]
    for _ in range(times):
        yield sorted(dice.randrange(size + 1) for _ in range(dice.choice((1, 2, 5, 40))))


def cut_short(recorded: Recording, times: int) -> Iterator[bytes]:
    """The stream as it is when it breaks off before its finish reason."""
    mark = recorded.body.find(FINISHES[SDK[recorded.provider, recorded.api]])
    dice = random.Random(recorded.id)
    for _ in range(times if mark > 0 else 0):
        yield recorded.body[: dice.randrange(mark)]


# --- judged -----------------------------------------------------------------------------------------------------

_valid: set[Any] = set()


def faults_in(bodies: Sequence[dict[str, Any]]) -> list[str]:
    """What OpenAI's schema has against answers, chunks or errors; bodies of one shape are asked about once."""
    found = []
    for body in bodies:
        shape = skeleton(body)
        if shape in _valid:
            continue
        if faults := invalid(body):
            found += faults
        else:
            _valid.add(shape)
    return found


def fault_of(recorded: Recording) -> list[str]:
    """What is wrong with what becomes of a recorded error: a failure of a kind that fits, in OpenAI's envelope."""
    failure = protocol_for(recorded).fault(recorded.status, recorded.headers, recorded.body, target_of(recorded))
    error = to_client(failure)
    found = [] if failure.kind in FITTING.get(recorded.status, (failure.kind,)) else [f"kind {failure.kind}"]
    return found + faults_in([msgspec.json.decode(error.envelope())])


FITTING: Final[Mapping[int, Sequence[str]]] = {
    400: ("client", "context", "filter", "auth"),
    401: ("auth",),
    403: ("auth",),
    404: ("client", "rejected", "auth"),
    429: ("rate", "quota", "overloaded"),
}
