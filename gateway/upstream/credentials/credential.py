"""What a login adds to each request. Read next: kept.py, for those that expire; aws.py, for one that signs."""

from __future__ import annotations

from typing import Protocol

from gateway.types import Endpoint

__all__ = ["Credential", "Headers"]

Headers = tuple[tuple[bytes, bytes], ...]


class Credential(Protocol):
    """The login of one account."""

    async def headers(self, endpoint: Endpoint, body: bytes) -> Headers:
        """The headers of this one request, with lower-case names. Waits only where nothing valid is at hand.

        Raises CredentialFailed, whose message holds no secret.
        """
        ...

    def refused(self) -> None:
        """The provider did not accept them: they are not used again, but fetched anew."""
        ...
