"""Keys as text: what is made is read, what is not one is nobody's, and HMAC is HMAC."""

from __future__ import annotations

import hmac
import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.keys.form import LONGEST, Pepper, id_of, is_run_time_id, mint, new_id

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}", fullmatch=True)


@given(id=IDS, pepper=st.text(max_size=100))
def test_a_key_names_its_id_and_has_a_hash_that_only_its_pepper_gives(id: str, pepper: str) -> None:
    key, digest = mint(id, Pepper(pepper))
    assert re.fullmatch(r"gw_" + re.escape(id) + r"_[A-Za-z0-9_-]{43}", key)
    assert id_of(key) == id
    secret = pepper.encode("utf-8", "surrogatepass")
    assert digest == hmac.digest(secret, key.encode(), "sha256").hex()
    assert Pepper(pepper + "x").digest(key) != digest


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_whatever_is_sent_has_an_id_or_none_and_a_hash(sent: str) -> None:
    assert id_of(sent) is None or f"gw_{id_of(sent)}_{sent[-43:]}" == sent
    assert len(Pepper("p").digest(sent[:LONGEST])) == 64


@given(IDS, st.integers(0, 42))
def test_a_key_that_lacks_something_names_nobody_or_somebody_else(id: str, cut: int) -> None:
    key, _ = mint(id)
    assert id_of(key[: len(key) - 43 + cut]) != id
    assert id_of("x" + key) is None


def test_two_keys_of_one_id_have_different_secrets() -> None:
    assert len({mint("a")[0] for _ in range(100)}) == 100


def test_ids_that_are_made_up_are_ids() -> None:
    made = {new_id() for _ in range(100)}
    assert len(made) == 100
    assert all(map(is_run_time_id, made))
    assert not any(map(is_run_time_id, ("", "A", "-a", "a_b", "a/b", "a" * 33, "a\n", "é")))


def test_a_pepper_shows_itself_to_nobody() -> None:
    assert repr(Pepper("salt")) == "Pepper(…)"
