"""Addresses of a store, as operators write them."""

from __future__ import annotations

import pytest

from gateway.state.address import Address, parse_address


@pytest.mark.parametrize(
    "text",
    [
        "redis://redis:6379/0",
        "redis://:pw@redis",
        "rediss://user:p%40w@[::1]:6380/2?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_a_plain_address_is_left_as_it_is(text: str) -> None:
    assert parse_address(f" {text}\n") == Address(text)


def test_behind_sentinels_the_hosts_are_those_to_ask_and_the_login_is_the_stores() -> None:
    assert parse_address("redis+sentinel://one:26380,two/mymaster/3") == Address(
        "redis://sentinels/3", (("one", 26380), ("two", 26379)), "mymaster"
    )
    assert parse_address(
        "rediss+sentinel://user:p%40w@[::1]:1,two:2/main?sentinel_password=s%26t&sentinel_username=u&ssl_ca_certs=/ca"
    ) == Address("rediss://user:p%40w@sentinels/?ssl_ca_certs=%2Fca", (("::1", 1), ("two", 2)), "main", "u", "s&t")


@pytest.mark.parametrize(
    ("text", "wrong"),
    {
        "hunter2": "it must begin with",
        "http://hunter2@redis": "it must begin with",
        "redis://:hunter2@": "it has no host",
        "redis://:hunter2@redis:port": "it has a port that is no number",
        "redis://:hunter2@redis:70000": "it has a port that is no number",
        "redis://:hunter2@redis/zero": "its database is not a number",
        "redis://:hunter2@[::1": "it cannot be read as a URL",
        "redis://:hunter2@one,two/0": "it has several hosts; Sentinels are",
        "redis://:hunter2@redis?socket_timeout=5": "it has an option 'socket_timeout'; known are db, ssl_ca_certs",
        "redis+sentinel://:hunter2@one,two": "it has no name behind the hosts",
        "redis+sentinel://:hunter2@one,,two/main": "it has no host",
        "redis+sentinel://:hunter2@one/main/zero": "its database is not a number",
        "unix://:hunter2@/": "it has no path of a socket",
    }.items(),
)
def test_what_is_no_address_is_told_without_its_password(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong) as refused:
        parse_address(text)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
