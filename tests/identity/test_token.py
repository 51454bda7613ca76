"""Tokens taken apart: one way to read each, and nothing but Wrong for whatever is none."""

from __future__ import annotations

import base64
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.token import LONGEST, Wrong, _bytes, is_token, parsed, taken_apart
from tests.identity.issuing import CLAIMS, by_hand, signer

HEADER = {"alg": "RS256", "kid": "one"}
SEGMENT = st.text(string.ascii_letters + string.digits + "-_=+/ \n", max_size=40)


def wrong(text: str) -> str:
    with pytest.raises(Wrong) as raised:
        taken_apart(text)
    return raised.value.reason


def test_a_token_is_its_header_its_claims_and_what_is_signed() -> None:
    text = signer().token()
    token = taken_apart(text)
    assert (token.algorithm, token.kid, token.claims) == ("RS256", "one", CLAIMS)
    assert (token.signed.decode(), len(token.signature)) == (text.rpartition(".")[0], 256)


@pytest.mark.parametrize(
    ("credential", "token"),
    [("a.b.c", True), ("gw_a.b_c.d", False), ("gw_x_y", False), ("a.b", False), ("a.b.c.d.e", False), ("..", True)],
)
def test_a_token_has_two_dots_and_does_not_begin_as_a_key(credential: str, token: bool) -> None:
    assert is_token(credential) is token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "a.b.c",
        by_hand(HEADER) + "=",
        by_hand(HEADER) + "\n",
        by_hand(HEADER).replace(".", ". ", 1),
        by_hand(HEADER) + ".x",
        by_hand(HEADER, signature=b"-")[:-1] + "R",  # other bits that no byte needs, for the same byte
        by_hand("[]"),
        by_hand("null"),
        by_hand(HEADER, "[1]"),
        by_hand(HEADER, b"\xff{}"),
        by_hand(HEADER, '{"sub": "a", "sub": "b"}'),
        by_hand('{"alg": "RS256", "alg": "none"}'),
        by_hand(HEADER, '{"a": {"b": 1, "b": 2}}'),
        by_hand(HEADER, '{"exp": NaN}'),
        by_hand(HEADER, '{"exp": Infinity}'),
        by_hand(HEADER, '{"exp": ' + "9" * 5000 + "}"),
        by_hand(HEADER, "[" * 5000),
        by_hand(HEADER, '{"a": ' + "[" * 5000 + "]" * 5000 + "}"),
        by_hand(HEADER, json.dumps(CLAIMS) + "x"),
        by_hand(HEADER, {"padding": "x" * LONGEST}),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_garbled(text: str) -> None:
    assert wrong(text) == "garbled"


@pytest.mark.parametrize(
    "more",
    [{"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"b64": False}, {"b64": None}, {"kid": 7}, {"kid": ["one"]}],
)
def test_a_header_that_asks_for_what_we_do_not_do_is_refused(more: dict[str, object]) -> None:
    assert wrong(by_hand({**HEADER, **more})) == "header"


@pytest.mark.parametrize("algorithm", [None, 7, ["RS256"], {"RS256": 1}])
def test_an_algorithm_is_a_name(algorithm: object) -> None:
    assert wrong(by_hand({"alg": algorithm})) == "algorithm"


def test_what_a_token_says_of_keys_is_passed_over() -> None:
    elsewhere = {
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/c",
        "jwk": signer().jwk(),
        "x5c": ["-"],
    }
    token = taken_apart(by_hand({**HEADER, **elsewhere}))
    assert (token.algorithm, token.kid) == ("RS256", "one")


@given(st.text(max_size=200) | st.builds("{}.{}.{}".format, SEGMENT, SEGMENT, SEGMENT))
def test_garbage_is_wrong_and_nothing_else(text: str) -> None:
    with pytest.raises(Wrong):
        taken_apart(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON)
def test_whatever_json_stands_in_a_token_it_is_read_or_wrong(header: object, claims: object) -> None:
    try:
        token = taken_apart(by_hand(header, claims))
    except Wrong:
        return
    assert (type(token.algorithm), type(token.claims)) == (str, dict)


@given(st.dictionaries(st.text(max_size=8), JSON.filter(lambda v: v == v), max_size=4))
def test_an_object_is_read_as_any_other_reader_would(value: dict[str, object]) -> None:
    text = json.dumps(value)
    try:
        assert parsed(text.encode()) == json.loads(text)
    except ValueError:
        assert "NaN" in text or "Infinity" in text


@given(st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=9))
def test_bytes_are_read_only_as_they_would_be_written(part: str) -> None:
    try:
        read = _bytes(part)
    except ValueError:
        padded = part + "=" * (-len(part) % 4)
        assert len(part) % 4 == 1 or base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)).decode() != padded
        return
    assert base64.urlsafe_b64encode(read).rstrip(b"=").decode() == part
