"""The keys of all issuers, kept for as long as configurations name them. Read next: keyring.py, then tokens.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from gateway.identity.keyring import Keyring
from gateway.identity.source import Source
from gateway.identity.tokens import Tokens
from gateway.types import Issuer

__all__ = ["Keyrings"]

#: What makes it the same keys, whatever else a configuration says of the issuer.
Where = tuple[str, str | None, bool]


class Keyrings:
    """One for each place that keys come from; ``clock`` is in monotonic seconds, ``say`` writes to the log."""

    def __init__(self, clock: Callable[[], float], say: Callable[..., None]) -> None:
        self._clock = clock
        self._say = say
        self._rings: dict[Where, Keyring] = {}
        self._named: dict[str, Keyring] = {}

    def __repr__(self) -> str:
        return "; ".join(map(repr, self._rings.values())) or "no issuers"

    def tokens(self, issuers: Iterable[Issuer]) -> Tokens | None:
        """Those of the issuers that are in use now; None where there are none. Keys of all others are forgotten."""
        known = tuple(issuers)
        signatures = import_module("gateway.identity.signatures") if known else None
        before, self._rings = self._rings, {}
        rings = {}
        for issuer in known:
            where = (issuer.issuer, issuer.jwks, issuer.allow_private)
            ring = self._rings.get(where) or before.get(where) or self._ring(issuer, signatures)
            rings[issuer] = self._rings[where] = ring
        self._named = {issuer.name: ring for issuer, ring in rings.items()}
        return Tokens(rings, signatures.verify) if signatures is not None else None

    def tick(self) -> None:
        """Fetch what is due."""
        for ring in self._rings.values():
            ring.tick()

    def gauges(self) -> dict[str, dict[tuple[str, ...], float]]:
        """What a scrape says of them, by the names and labels of telemetry/catalogue.py."""
        return {
            "gateway_identity_keys": {(name,): ring.count for name, ring in self._named.items()},
            "gateway_identity_keys_age_seconds": {(name,): ring.age_s for name, ring in self._named.items()},
        }

    async def aclose(self) -> None:
        """End what is under way."""
        for ring in self._rings.values():
            await ring.aclose()

    def _ring(self, issuer: Issuer, signatures: Any) -> Keyring:
        return Keyring(issuer.issuer, Source(issuer, signatures.read).load, self._clock, self._say)
