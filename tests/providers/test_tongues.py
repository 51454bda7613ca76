"""What holds for every protocol that is not OpenAI's, whichever rows speak it. Read next: test_contract.py.

A new tongue is picked up here by itself.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CannotSay, Failure
from gateway.providers.registry import ROWS, protocol_of
from gateway.types import Account, Deployment
from tests import make
from tests.providers.streams import deliver

KINDS = sorted(kind for kind, row in ROWS.items() if row.protocol != "openai")
every = pytest.mark.parametrize("kind", KINDS)


def target(kind: str) -> Deployment:
    base = ROWS[kind].base_url or "https://example.test"
    return Deployment("d", Account(name="acc", kind=kind, base_url=base), "some-model")


@every
def test_its_dialect_is_the_one_of_its_row_and_not_the_canonical(kind: str) -> None:
    assert protocol_of(kind).dialect == ROWS[kind].protocol != "openai"


@every
def test_the_callers_body_is_not_touched_and_what_is_sent_is_json(kind: str) -> None:
    call = make.call(
        "hi",
        fields={"temperature": 0.5, "seed": 7, "tools": [{"type": "function", "function": {"name": "look"}}], "x": [1]},
    )
    before = json.dumps(call.fields)
    for stream in (None, False, True):
        rendered = protocol_of(kind).render(call, target(kind), stream=stream)
        assert isinstance(json.loads(rendered.body), dict)
        assert "x" in rendered.dropped
    assert json.dumps(call.fields) == before


@every
def test_what_its_row_cannot_say_is_not_said_quietly(kind: str) -> None:
    if "choices" in ROWS[kind].cannot:
        with pytest.raises(CannotSay):
            protocol_of(kind).render(make.call(fields={"n": 2}), target(kind))
    if "logprobs" in ROWS[kind].cannot:
        with pytest.raises(CannotSay):
            protocol_of(kind).render(make.call(fields={"logprobs": True}), target(kind))


@every
@pytest.mark.parametrize(
    "body", [b"", b"\n", b"null", b"[]", b"{}", b"<html></html>", b'{"a":', b"\xff\xfe", b"[" * 9999]
)
def test_what_is_no_answer_is_a_failure_whole_or_streamed(kind: str, body: bytes) -> None:
    protocol, call = protocol_of(kind), make.call()
    assert isinstance(protocol.parse(body, call, target(kind)), Failure)
    got = deliver(protocol.feed(call, target(kind)), body)
    assert (got.data, got.done) == (b"", False)
    assert got.failure is not None


@every
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4).map(sorted))
def test_no_bytes_are_a_crash_or_an_answer(kind: str, data: bytes, cuts: list[int]) -> None:
    got = deliver(protocol_of(kind).feed(make.call(), target(kind)), data, [min(cut, len(data)) for cut in cuts])
    assert not got.done
    assert got.failure is not None


@every
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 429, 500, 503, 529])
def test_every_status_is_a_failure_with_a_message(kind: str, status: int) -> None:
    failure = protocol_of(kind).fault(status, (), b"oops", target(kind))
    assert (failure.status, bool(failure.message)) == (status, True)
