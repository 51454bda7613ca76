"""Public keys of an issuer, and signatures that they verify. Imported where it is wanted: it needs the extra ``jwt``.

Read next: keyring.py, which keeps the keys. Source: RFC 7517 and 7518; PyJWT makes the keys and verifies.

Which signatures a key is good for is what the key is, never what a token says: an RSA key verifies no HMAC. Keys that
are secret, shared, short or for encryption are passed over, and so are those of which one cannot tell which is meant.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.identity.keyring import Key, KeySet
from gateway.identity.token import Token, Wrong, parsed

__all__ = ["read", "verify"]

RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
#: Bits of an RSA key: less can be broken, more takes long.
SHORTEST: Final = 2048
LONGEST: Final = 8192
#: Keys of one issuer, at most.
MOST: Final = 100


def read(document: bytes) -> KeySet:
    """The keys of a JWK Set that are good for signatures. Raises ValueError when it is none, or has none."""
    try:
        listed = parsed(document).get("keys")
    except (ValueError, RecursionError):
        raise ValueError("what came is not JSON") from None
    if type(listed) is not list or len(listed) > MOST:
        raise ValueError(f"what came is no list of at most {MOST} keys")
    keys = _told_apart([key for one in listed if type(one) is dict and (key := _key(one)) is not None])
    if not keys:
        raise ValueError(f"none of {len(listed)} keys can verify a signature")
    return KeySet(keys)


def verify(token: Token, key: Key) -> None:
    """The issuer has signed this. Raises Wrong where it has not."""
    # Held here as well as where keys are found: nothing else may lie between a token and a wrong kind of signature.
    if token.algorithm not in key.algorithms:
        raise Wrong("algorithm")
    if not jwt.get_algorithm_by_name(token.algorithm).verify(token.signed, key.public, token.signature):
        raise Wrong("signature")


def _key(said: dict[str, Any]) -> Key | None:
    kid = said.get("kid")
    operations = said.get("key_ops", ["verify"])
    if said.get("use", "sig") != "sig" or type(operations) is not list or "verify" not in operations:
        return None
    if not (kid is None or type(kid) is str):
        return None
    try:
        public = jwt.PyJWK({name: value for name, value in said.items() if name != "alg"}).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, AttributeError):
        return None
    algorithms = _good_for(public)
    if "alg" in said:
        algorithms &= {said["alg"]} if type(said["alg"]) is str else set()
    return Key(kid, algorithms, public, json.dumps(said, sort_keys=True)) if algorithms else None


def _good_for(public: object) -> frozenset[str]:
    """Nothing for a private key or a shared secret: neither should be where it was found."""
    if isinstance(public, RSAPublicKey) and SHORTEST <= public.key_size <= LONGEST:
        return RSA
    if isinstance(public, EllipticCurvePublicKey) and public.curve.name in CURVES:
        return frozenset({CURVES[public.curve.name]})
    return frozenset({"EdDSA"}) if isinstance(public, Ed25519PublicKey) else frozenset()


def _told_apart(keys: Iterable[Key]) -> tuple[Key, ...]:
    """Those that no other has the id of, for the same signatures. A key that is there twice counts once."""
    once = {key.said: key for key in keys}.values()
    times = Counter((key.kid, algorithm) for key in once for algorithm in key.algorithms)
    return tuple(key for key in once if key.kid is None or all(times[key.kid, name] == 1 for name in key.algorithms))
