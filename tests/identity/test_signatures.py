"""Keys of issuers, and signatures: what a key is good for is what the key is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.keyring import Key
from gateway.identity.signatures import read, verify
from gateway.identity.token import Wrong, taken_apart
from tests.identity.issuing import CLAIMS, Signer, by_hand, keys_of, signer
from tests.identity.test_token import JSON

EVERY = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


def key_of(one: Signer, **more: Any) -> Key:
    (key,) = keys_of(one.jwk(**more)).keys
    return key


def outcome(text: str, key: Key) -> str:
    try:
        verify(taken_apart(text), key)
    except Wrong as wrong:
        return wrong.reason
    return "verified"


def changed(text: str, part: int) -> str:
    """The same with another byte in one of its parts."""
    parts = text.split(".")
    data = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    data[-2] ^= 1
    parts[part] = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    return ".".join(parts)


@pytest.mark.parametrize("algorithm", EVERY)
def test_a_signature_is_verified_and_another_is_not(algorithm: str) -> None:
    one, other = signer(algorithm), signer(algorithm, "other")
    text = one.token()
    assert outcome(text, key_of(one)) == "verified"
    assert outcome(text, key_of(other)) == "signature"
    assert outcome(changed(text, 2), key_of(one)) == "signature"
    assert outcome(other.token({"kid": "one"}), key_of(one)) == "signature"
    assert outcome(text.rpartition(".")[0] + ".AA", key_of(one)) == "signature"


def test_claims_that_were_changed_are_not_what_was_signed() -> None:
    header, _, signature = signer().token().split(".")
    claims = by_hand({}, {**CLAIMS, "sub": "root"}).split(".")[1]
    assert outcome(f"{header}.{claims}.{signature}", key_of(signer())) == "signature"


@pytest.mark.parametrize("hashing", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("form", ["pem", "der", "jwk", "n"])
def test_a_public_key_is_no_shared_secret(hashing: str, form: str) -> None:
    one = signer()
    public = one.private.public_key()
    said = {
        "pem": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(one.jwk()).encode(),
        "n": one.jwk()["n"].encode(),
    }[form]
    signed = by_hand({"alg": hashing, "kid": "one"}).rpartition(".")[0]
    made = hmac.digest(said, signed.encode(), getattr(hashlib, hashing.replace("HS", "sha")))
    text = f"{signed}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"
    assert outcome(text, key_of(one)) == "algorithm"


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "rs256", "HS256", "ES256", "EdDSA", "RSA-OAEP", "dir"]
)
def test_no_other_algorithm_is_verified_with_an_rsa_key(algorithm: str) -> None:
    assert outcome(by_hand({"alg": algorithm}), key_of(signer())) == "algorithm"


@pytest.mark.parametrize(("kind", "other"), [("ES256", "ES384"), ("EdDSA", "ES256"), ("ES512", "RS256")])
def test_a_key_is_for_the_signatures_of_its_kind_and_curve(kind: str, other: str) -> None:
    assert key_of(signer(kind)).algorithms == {kind}
    assert outcome(by_hand({"alg": other}), key_of(signer(kind))) == "algorithm"


def test_a_key_that_says_its_algorithm_is_for_no_other() -> None:
    assert len(key_of(signer()).algorithms) == 6
    assert key_of(signer(), alg="PS256").algorithms == {"PS256"}
    assert outcome(signer().token(), key_of(signer(), alg="PS256")) == "algorithm"


def short() -> dict[str, Any]:
    return Signer("short", "RS256", rsa.generate_private_key(65537, 1024)).jwk()


@pytest.mark.parametrize(
    "said",
    [
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "one"},
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "alg": "RS256", "kid": "one"},
        signer().jwk(use="enc"),
        signer().jwk(alg="RSA-OAEP"),
        signer().jwk(alg="HS256"),
        signer().jwk(alg=["RS256"]),
        signer().jwk(key_ops=["encrypt"]),
        signer().jwk(key_ops="verify"),
        signer().jwk(d="AQAB"),
        signer().jwk(kid=7),
        signer().jwk(n=7),
        signer().jwk(n="!"),
        signer().jwk(e="Ag"),
        signer("ES256").jwk(crv="secp256k1"),
        signer("ES256").jwk(x="AA"),
        signer("ES256").jwk(y=signer("ES256").jwk()["x"]),
        signer("EdDSA").jwk(crv="Ed448"),
        short(),
        signer().jwk(kid="\ud800", n=1 << 70),
        {"kty": "RSA"},
        {},
        "key",
    ],
)
def test_a_key_that_cannot_be_used_is_passed_over_and_the_others_count(said: Any) -> None:
    good = signer("ES384", "good")
    assert [key.kid for key in keys_of(said, good.jwk()).keys] == ["good"]
    with pytest.raises(ValueError, match="none of 1 keys can verify a signature"):
        keys_of(said)


def test_of_two_keys_of_one_id_nobody_knows_which_is_meant() -> None:
    one, same, other = signer(), signer("RS512", "one"), signer("RS256", "other")
    assert [key.kid for key in keys_of(one.jwk(), same.jwk(), other.jwk()).keys] == ["other"]
    assert [key.kid for key in keys_of(one.jwk(), one.jwk()).keys] == ["one"], "the same key twice is one"
    of_other_kind = keys_of(one.jwk(), signer("ES256", "one").jwk())
    assert [len(of_other_kind.fitting("one", name)) for name in ("RS256", "ES256")] == [1, 1]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"\xff",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [], "keys": []}',
        b"[" * 9999,
        b'{"keys": [' + b"[" * 9999,
        json.dumps({"keys": [{}] * 101}).encode(),
    ],
)
def test_what_is_no_list_of_keys_is_refused_as_a_whole(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"what came|none of"):
        read(document)


@given(
    st.lists(JSON, max_size=3) | st.lists(st.dictionaries(st.sampled_from(["kty", "n", "e", "crv", "x", "y"]), JSON))
)
def test_whatever_json_stands_in_a_list_of_keys_it_is_read_or_refused(keys: list[object]) -> None:
    kinds = [
        {"kty": kind, **one} if isinstance(one, dict) else one for one in keys for kind in ("RSA", "EC", "OKP", "x")
    ]
    with pytest.raises(ValueError, match=r"what came|none of"):
        read(json.dumps({"keys": kinds[:100]}).encode())


def test_what_else_an_issuer_says_of_a_key_does_no_harm() -> None:
    assert [key.kid for key in keys_of(signer().jwk(x5c=["-"], note="\ud800", number=1 << 70)).keys] == ["one"]
