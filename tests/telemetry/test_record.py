"""The decision record: what goes in comes out, small, exact where replay needs it."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from gateway.telemetry.record import UnreadableRecord, decode, encode
from gateway.types import Exchange, Verdict
from tests.telemetry.exchanges import DECISION, exchange, plain

BARE = Exchange("x", 1.0, "chat", "anonymous", "client_error", 400, 0.001, 0.001)


def test_a_record_comes_back_as_it_was_bit_for_bit() -> None:
    assert decode(encode(exchange())) == exchange()


def test_a_record_names_its_schema_first_and_is_one_line() -> None:
    record = encode(exchange(message="two\nlines"))
    assert record.startswith(b'{"schema":1,"id":')
    assert b"\n" not in record


def test_a_refused_request_is_recorded_without_what_it_has_not() -> None:
    assert encode(BARE) == (
        b'{"schema":1,"id":"x","at":1.0,"operation":"chat","caller":"anonymous","outcome":"client_error",'
        b'"status":400,"total_s":0.001,"overhead_s":0.001}'
    )
    assert decode(encode(BARE)) == BARE


def test_a_record_of_five_candidates_and_one_try_takes_at_most_1640_bytes() -> None:
    assert len(DECISION.verdicts) == 5
    assert len(encode(plain())) <= 1640


def test_money_is_written_as_an_integer() -> None:
    assert b'"cost":5210' in encode(exchange())


def test_a_set_is_written_in_the_same_order_on_every_machine() -> None:
    assert json.loads(encode(exchange()))["features"]["needs"] == ["json", "tools"]


def test_members_of_a_later_version_are_passed_over() -> None:
    assert decode(encode(BARE)[:-1] + b',"mood":"good"}') == BARE


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"schema":1}', b'{"id":"\xff"}', encode(BARE)[:-20]])
def test_what_is_no_record_is_refused_with_a_reason(junk: bytes) -> None:
    with pytest.raises(UnreadableRecord, match="not a decision record"):
        decode(junk)


def test_a_record_of_a_schema_to_come_is_refused_rather_than_misread() -> None:
    with pytest.raises(UnreadableRecord, match="schema 2; this version reads 1"):
        decode(encode(BARE).replace(b'"schema":1', b'"schema":2'))


def test_a_score_without_end_comes_back_as_no_score() -> None:
    verdict = Verdict("gpt", float("inf"))
    back = decode(encode(exchange(decision=replace(DECISION, verdicts=(verdict,))))).decision
    assert back == replace(DECISION, verdicts=(Verdict("gpt", None),))
