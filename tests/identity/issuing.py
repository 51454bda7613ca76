"""An issuer of tokens for tests: keys that are made here, tokens signed with them, and wrong ones put together by hand.

Read next: ../credentials/cloud.py, the server that its keys are fetched from.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from msgspec import Struct

from gateway.identity.keyring import KeySet
from gateway.identity.signatures import read
from gateway.types import Caller, Issuer

__all__ = ["AUDIENCE", "ISS", "NOW", "Signer", "by_hand", "document", "issuer", "keys_of", "signer"]

ISS: Final = "https://login.example/"
AUDIENCE: Final = "signalbox"
NOW: Final = 1_800_000_000.0
CLAIMS: Final = {"iss": ISS, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 600, "iat": NOW, "groups": ["support"]}
CURVES: Final = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


class Signer(Struct, frozen=True, eq=False):
    """A private key of an issuer."""

    kid: str
    algorithm: str
    private: Any

    def jwk(self, **more: Any) -> dict[str, Any]:
        """The public part, as the issuer shows it."""
        made = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        return {**made, "kid": self.kid, "use": "sig", **more}

    def token(self, header: Mapping[str, Any] = {}, /, **claims: Any) -> str:
        """A token with these claims beside or in place of the usual ones; None is left out."""
        said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
        text: str = jwt.encode(said, self.private, self.algorithm, headers={"kid": self.kid, **header})
        return text


def signer(algorithm: str = "RS256", kid: str = "one") -> Signer:
    """One for each algorithm and id; the same for the whole run, for an RSA key takes long to make."""
    return _made(algorithm, kid)


@cache
def _made(algorithm: str, kid: str) -> Signer:
    if algorithm in CURVES:
        return Signer(kid, algorithm, ec.generate_private_key(CURVES[algorithm]))
    if algorithm == "EdDSA":
        return Signer(kid, algorithm, ed25519.Ed25519PrivateKey.generate())
    return Signer(kid, algorithm, rsa.generate_private_key(65537, 2048))


def document(*signers: Signer) -> dict[str, Any]:
    """A JWK Set."""
    return {"keys": [one.jwk() for one in signers]}


def keys_of(*jwks: Mapping[str, Any]) -> KeySet:
    """These keys, read."""
    return read(json.dumps({"keys": jwks}).encode())


def by_hand(header: object, claims: object = CLAIMS, signature: bytes = b"-") -> str:
    """A token that no library would make: anything as header and claims, text and bytes as they stand."""
    return ".".join(map(_part, (header, claims, signature)))


def _part(value: object) -> str:
    data = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def issuer(**more: Any) -> Issuer:
    """An issuer of two teams, named by ``groups``."""
    callers = {team: Caller(id="jwt:corp", team=team, tags={"team": team}) for team in ("support", "legal")}
    usual = {"audiences": frozenset({AUDIENCE}), "algorithms": frozenset({"RS256", "ES256", "EdDSA"})}
    return Issuer(**{"name": "corp", "issuer": ISS, "team": ("groups",), "callers": callers, **usual, **more})
