"""The judge of answers: every recorded one through our protocol, held against what the provider's own SDK reads.

Read next: answers.py, how they are delivered; said.py, what is compared; requests.py, the other direction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.errors import Failure
from tests.conformance import answers, messages
from tests.conformance.answers import Got
from tests.conformance.judged import Judged
from tests.conformance.oracle import SDK, Said, answers_of
from tests.conformance.said import Form, differences, expected
from tests.recordings import Recording

__all__ = ["judged"]

#: How often each stream is cut at random places, and how often it is broken off.
TIMES = 6


async def judged(recordings: Sequence[Recording], folder: Path) -> list[Judged]:
    """The answers of every provider that has a row: whole, streamed, broken off, refused; and in Anthropic's words."""
    served = [one for one in recordings if (one.provider, one.api) in SDK and answers.is_served(answers.kind_of(one))]
    said = await answers_of([one for one in served if one.status < 300], folder)
    told = [
        one for sdk in dict.fromkeys(SDK.values()) for one in of_sdk(sdk, answers.recorded_answers(served, sdk), said)
    ]
    return [one for one in [*told, *await messages.judged(served, said, folder)] if one.asked]


def of_sdk(sdk: str, recordings: Sequence[Recording], said: Mapping[str, Said]) -> Iterator[Judged]:
    good = [one for one in recordings if one.status < 300]
    streams = [one for one in good if one.stream]
    yield of_whole(f"{sdk} answers", [one for one in good if not one.stream], said)
    yield of_streams(f"{sdk} streams, however they are cut", streams, said)
    yield of_gathered(f"{sdk} streams made one answer", streams, said)
    yield of_broken(f"{sdk} streams that break off are failures", streams)
    yield of_errors(f"{sdk} errors", [one for one in recordings if one.status >= 400])


def of_whole(name: str, recordings: Sequence[Recording], said: Mapping[str, Said]) -> Judged:
    judged = Judged(name)
    for one in recordings:
        got, invalid = safely(answers.whole, one)
        judged.hold(one.id, invalid + compared(said[one.id], got, judged.notes))
    return judged


def of_streams(name: str, recordings: Sequence[Recording], said: Mapping[str, Said]) -> Judged:
    judged = Judged(name)
    for one in recordings:
        found: list[str] = []
        first: Got | None = None
        for number, cuts in enumerate(answers.cuts_of(one, TIMES)):
            got, invalid = safely(answers.delivered, one, one.body, cuts)
            found += invalid
            if number == 0:
                first = got
                found += compared(said[one.id], got, judged.notes)
            elif got != first:
                found.append(f"cut at {cuts[:3]}… it is another: {got!r:.200}")
        judged.hold(one.id, found)
    return judged


def of_gathered(name: str, recordings: Sequence[Recording], said: Mapping[str, Said]) -> Judged:
    judged = Judged(name)
    for one in recordings:
        *_, cuts = answers.cuts_of(one, 1)
        got, invalid = safely(answers.gathered, one, cuts)
        judged.hold(one.id, invalid + compared(said[one.id], got, judged.notes))
    return judged


def of_broken(name: str, recordings: Sequence[Recording]) -> Judged:
    judged = Judged(name)
    for one in recordings:
        ends = [safely(answers.delivered, one, body, []) for body in answers.cut_short(one, TIMES)]
        found = [invalid for _, faults in ends for invalid in faults]
        found += [f"a cut stream passes for {got!r:.120}" for got, _ in ends if not isinstance(got, Failure)]
        judged.hold(one.id, found)
    return judged


def of_errors(name: str, recordings: Sequence[Recording]) -> Judged:
    judged = Judged(name)
    for one in recordings:
        judged.hold(one.id, answers.fault_of(one))
    return judged


def safely(deliver, *args) -> tuple[Got | None, list[str]]:  # type: ignore[no-untyped-def]
    """What is delivered; an exception is a finding like any other."""
    try:
        got, invalid = deliver(*args)
    except Exception as error:  # noqa: BLE001
        return None, [f"raised {type(error).__name__}: {error}"[:300]]
    return got, invalid


def compared(said: Said, got: Got | None, notes: Counter[str]) -> list[str]:
    """What is said otherwise than the SDK reads it."""
    if said.mended:
        notes["read by the SDK only when mended"] += 1
    if said.said is None:
        notes["that no SDK reads"] += 1
        return []
    wanted: Form | None = expected(said.said)
    if got is None:
        return []
    if isinstance(got, Failure):
        if wanted is None:
            notes["not an answer, and a failure"] += 1
            return []
        return [f"a failure: {got.kind}: {got.message[:120]}"]
    return ["not a whole answer, and no failure"] if wanted is None else list(differences(wanted, got))
