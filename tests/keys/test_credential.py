"""Where a request comes from, whoever stands in between."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keys.credential import address_of, credential

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "lines", "said"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # no proxy: it may say what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),  # what stands before was sent by the client
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1", "10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("fd00::1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, unknown"], None),
        ("10.0.0.1", ["1.1.1.1, "], None),
        (None, ["1.1.1.1"], None),
        ("/run/socket", ["1.1.1.1"], None),
    ],
)
def test_the_last_that_is_no_proxy_counts(peer: str | None, lines: list[str], said: str | None) -> None:
    head = [(b"x-forwarded-for", line.encode()) for line in lines]
    assert address_of(peer, head, PROXIES) == (ip_address(said) if said else None)


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_whatever_a_proxy_says_is_an_address_or_none(lines: list[bytes]) -> None:
    address_of("10.0.0.1", [(b"x-forwarded-for", line) for line in lines], PROXIES)


@given(st.dictionaries(st.sampled_from([b"authorization", b"api-key", b"x-api-key"]), st.binary(max_size=80)))
def test_whatever_a_head_holds_is_a_credential_or_none(head: dict[bytes, bytes]) -> None:
    assert isinstance(credential(head), str | None)
