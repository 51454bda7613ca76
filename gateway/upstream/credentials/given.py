"""The two ways in which a login is used: keys that sign each request, and headers that each request carries.

Read next: make.py, which puts them together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from gateway.types import Endpoint
from gateway.upstream.credentials.credential import Headers
from gateway.upstream.credentials.sigv4 import Keys, sign

__all__ = ["Carried", "Given", "Signed", "Source"]

Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)


class Source(Protocol[Value_co]):
    """Where what a login yields comes from: kept.Kept, or Given."""

    async def get(self) -> Value_co:
        """What is valid now. Raises CredentialFailed."""
        ...

    def forget(self) -> None:
        """What was given last is not valid after all."""
        ...


class Given(Generic[Value]):
    """What stands in the configuration, and never ends."""

    def __init__(self, value: Value) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "the configuration"

    async def get(self) -> Value:
        """It."""
        return self._value

    def forget(self) -> None:
        """There is no other."""


class Signed:
    """Requests to a service of AWS in a region, signed. ``wall`` is the time in Unix seconds."""

    def __init__(self, keys: Source[Keys], region: str, wall: Callable[[], float], service: str = "bedrock") -> None:
        self._keys = keys
        self._region = region
        self._wall = wall
        self._service = service

    def __repr__(self) -> str:
        return f"signed for {self._service} in {self._region} by {self._keys!r}"

    async def headers(self, endpoint: Endpoint, body: bytes) -> Headers:
        """See Credential.headers."""
        keys = await self._keys.get()
        added = sign(endpoint, body, keys, region=self._region, service=self._service, at=self._wall())
        return tuple([(name.encode("ascii"), value.encode("ascii")) for name, value in added.items()])

    def refused(self) -> None:
        """See Credential.refused."""
        self._keys.forget()


class Carried:
    """The same headers on every request, until they expire."""

    def __init__(self, headers: Source[Headers]) -> None:
        self._headers = headers

    def __repr__(self) -> str:
        return f"a token of {self._headers!r}"

    async def headers(self, endpoint: Endpoint, body: bytes) -> Headers:
        """See Credential.headers."""
        return await self._headers.get()

    def refused(self) -> None:
        """See Credential.refused."""
        self._headers.forget()
