"""Every recorded answer of a provider whose words are translated: valid, whole, and the same however it is cut.

Read next: ../conformance/answers.py, how they are delivered; ../conformance/translation.py, where the providers' own
SDKs say whether the content is right too (`make conformance`).
"""

from __future__ import annotations

import random

import pytest

from gateway.errors import Failure
from tests.conformance import answers
from tests.conformance.answers import Got
from tests.conformance.oracle import SDK
from tests.recordings import Recording, files_of, recorded

NAMES = sorted(set(SDK.values()))
#: How often a stream is cut at random places here; `make conformance` does it more often.
TIMES = 2
#: What an answer has that says why it ended.
ENDED = (b"inish", b"stop_reason", b"stopReason", b"messageStop", b'"blockReason"')


@pytest.fixture(params=NAMES)
def recordings(request: pytest.FixtureRequest) -> list[Recording]:
    """Those in one provider's words."""
    return of(request.param)


def of(sdk: str) -> list[Recording]:
    if not answers.is_served(answers.KIND.get(sdk, sdk)):
        pytest.skip(f"there is no row for {sdk}")
    providers = sorted({provider for (provider, _), reader in SDK.items() if reader == sdk})
    if not any(map(files_of, providers)):
        pytest.skip(f"no recorded traffic of {sdk}: set SIGNALBOX_SHARED to where it is")
    return [one for provider in providers for one in answers.recorded_answers(list(recorded(provider)), sdk)]


def ended(one: Recording, got: Got) -> bool:
    """Whether it is an answer, or none for a reason that can be seen in it."""
    return not isinstance(got, Failure) or not any(sign in one.body for sign in ENDED)


def test_every_whole_answer_becomes_a_valid_one(recordings: list[Recording]) -> None:
    wrong = []
    for one in recordings:
        if one.status < 300 and not one.stream:
            got, invalid = answers.whole(one)
            if invalid or not ended(one, got):
                wrong.append((one.id, invalid or got))
    assert wrong == []


def test_every_stream_becomes_valid_chunks_that_say_the_same_wherever_it_is_cut(recordings: list[Recording]) -> None:
    wrong = []
    for one in recordings:
        if one.status < 300 and one.stream:
            told = [answers.delivered(one, one.body, cuts) for cuts in answers.cuts_of(one, TIMES)]
            told.append(answers.gathered(one, []))
            if any(got != told[0][0] or invalid for got, invalid in told) or not ended(one, told[0][0]):
                wrong.append((one.id, told))
    assert wrong == []


def test_every_stream_that_breaks_off_before_its_finish_reason_is_a_failure(recordings: list[Recording]) -> None:
    passed = [
        one.id
        for one in recordings
        if one.status < 300 and one.stream
        for body in answers.cut_short(one, TIMES)
        if not isinstance(answers.delivered(one, body, [])[0], Failure)
    ]
    assert passed == []


def test_every_error_becomes_one_of_openai_s_with_a_kind_that_fits(recordings: list[Recording]) -> None:
    wrong = [(one.id, found) for one in recordings if one.status >= 400 and (found := answers.fault_of(one))]
    assert wrong == []


def test_a_frame_of_an_event_stream_that_was_damaged_is_a_failure() -> None:
    dice = random.Random(7)
    for one in of("bedrock"):
        if one.status < 300 and one.stream:
            at = dice.randrange(len(one.body))
            damaged = bytes([*one.body[:at], one.body[at] ^ 1, *one.body[at + 1 :]])
            assert isinstance(answers.delivered(one, damaged, [])[0], Failure), (one.id, at)
