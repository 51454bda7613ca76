"""Signatures of AWS, as botocore makes them. Read next: test_kept.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.types import Endpoint, Secret
from gateway.upstream.credentials.sigv4 import Keys, sign

AT = 1_764_000_000.25
KEYS = Keys("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
HEADERS = ((b"content-type", b"application/json"), (b"user-agent", b"signalbox/1"), (b"x-amz-meta", b"a  b "))
BEDROCK = "bedrock-runtime.eu-west-1.amazonaws.com"

UNRESERVED = "abcXYZ019-_.~"
SEGMENTS = st.one_of(
    st.text(UNRESERVED + ":@!$&'()*+,;=", max_size=6),
    st.sampled_from(["%3A", "%2F", "%25", "a%20b", "..", ".", "", "model", "arn%3Aaws%3Abedrock%3Aeu%3A1%3Ax%2Fy"]),
)
TARGETS = st.builds(
    lambda segments, query: "/" + "/".join(segments) + (f"?{query}" if query else ""),
    st.lists(SEGMENTS, max_size=5),
    st.lists(st.tuples(st.text("abAB1%-", max_size=3), st.text("ab=2", max_size=3)), max_size=3).map(
        lambda pairs: "&".join(f"{name.replace('%', '%2F')}={value}" for name, value in pairs)
    ),
)


def endpoint(target: str, host: str = BEDROCK, **more: Any) -> Endpoint:
    return Endpoint(**{"scheme": "https", "host": host, "port": 443, "method": "POST", **more, "target": target})


def by_botocore(where: Endpoint, body: bytes, keys: Keys) -> dict[str, str]:
    """The same request, signed by botocore at the same time."""
    auth = pytest.importorskip("botocore.auth", reason="the extra aws is not installed")
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - only where it is installed
    from botocore.credentials import Credentials  # noqa: PLC0415

    names = {name.decode(): value.decode() for name, value in where.headers if name != b"user-agent"}
    request = AWSRequest(where.method, f"{where.origin}{where.target}".replace(":443/", "/"), names, body)
    token = keys.token.reveal() if keys.token is not None else None
    signer = auth.SigV4Auth(Credentials(keys.id, keys.secret.reveal(), token), "bedrock", "eu-west-1")
    request.context["timestamp"] = datetime.fromtimestamp(AT, UTC).strftime("%Y%m%dT%H%M%SZ")
    before = auth.get_current_datetime
    auth.get_current_datetime = lambda remove_tzinfo=True: datetime.fromtimestamp(AT, UTC)
    try:
        signer.add_auth(request)
    finally:
        auth.get_current_datetime = before
    return {name.lower(): value for name, value in request.headers.items() if name.lower() not in names}


def ours(where: Endpoint, body: bytes, keys: Keys) -> dict[str, str]:
    return sign(where, body, keys, region="eu-west-1", service="bedrock", at=AT)


@given(TARGETS, st.binary(max_size=20), st.booleans())
def test_a_request_is_signed_as_botocore_signs_it(target: str, body: bytes, token: bool) -> None:
    keys = Keys(KEYS.id, KEYS.secret, Secret("a/session+token==")) if token else KEYS
    where = endpoint(target, headers=HEADERS)
    assert ours(where, body, keys) == by_botocore(where, body, keys)


@pytest.mark.parametrize(
    "target",
    [
        "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
        "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/converse",
        "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile%2Fab1c/converse",
        "/foundation-models?byProvider=a%2Fb&byOutputModality=TEXT",
    ],
)
def test_models_and_arns_are_signed_as_botocore_signs_them(target: str) -> None:
    for where in (endpoint(target, headers=HEADERS), endpoint(target, method="GET")):
        assert ours(where, b"{}", KEYS) == by_botocore(where, b"{}", KEYS)


def test_a_port_of_its_own_is_part_of_the_host_that_is_signed() -> None:
    where = endpoint("/model/m/converse", "127.0.0.1", scheme="http", port=8123, headers=HEADERS)
    assert ours(where, b"{}", KEYS) == by_botocore(where, b"{}", KEYS)


def test_the_example_of_the_documentation_has_its_signature() -> None:
    """Of "Examples of the complete Signature Version 4 signing process" (AWS General Reference)."""
    where = Endpoint(
        scheme="https",
        host="iam.amazonaws.com",
        port=443,
        method="GET",
        target="/?Action=ListUsers&Version=2010-05-08",
        headers=((b"content-type", b"application/x-www-form-urlencoded; charset=utf-8"),),
    )
    at = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
    secret = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    assert sign(where, b"", Keys("AKIDEXAMPLE", secret), region="us-east-1", service="iam", at=at) == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }


def test_keys_show_their_secret_to_nobody() -> None:
    assert "wJalr" not in repr(KEYS)
