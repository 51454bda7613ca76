"""Where the keys of an issuer are: a file, an address, or the address that the issuer's own configuration names.

Read next: keyring.py, which keeps them; ../upstream/public.py. Source: OpenID Connect Discovery 1.0, section 4.

Only the operator's configuration, or what the issuer at that address says, chooses what is asked: a token never does.
An address is asked as those that clients name are (upstream/fetch.py), and where it leads elsewhere that is a failure.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2

from gateway.identity.keyring import KeySet, Unreached
from gateway.identity.token import parsed
from gateway.types import Issuer
from gateway.upstream.fetch import TRIES, Resolve, host_of, sent
from gateway.upstream.public import addresses_of, is_public

__all__ = ["Source"]

#: What a document may have at most, in bytes, and how long all of them may take, in seconds.
MOST: Final = 256 * 1024
TIMEOUT_S: Final = 5.0


class Source:
    """The keys of one issuer as they are now; ``read`` makes keys of a document, and raises ValueError."""

    def __init__(
        self,
        issuer: Issuer,
        read: Callable[[bytes], KeySet],
        *,
        resolve: Resolve = addresses_of,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._issuer = issuer
        self._read = read
        self._resolve = resolve
        self._context = context

    async def load(self) -> KeySet:
        """All of them. Raises Unreached."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                document = await self._document()
        except TimeoutError:
            raise Unreached(f"no keys within {TIMEOUT_S:g} s") from None
        try:
            return await asyncio.to_thread(self._read, document)
        except ValueError as error:
            raise Unreached(str(error)) from None

    async def _document(self) -> bytes:
        where = self._issuer.jwks
        if where is not None and "://" not in where:
            return await asyncio.to_thread(_of_file, where)
        # All certificates of the machine are read for it, which takes tens of milliseconds.
        if (context := self._context) is None:
            context = self._context = await asyncio.to_thread(ssl.create_default_context)
        alone = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(verify=context, trust_env=False, timeout=None, limits=alone) as client:
            return await self._at(client, where if where is not None else await self._discovered(client))

    async def _discovered(self, client: httpx2.AsyncClient) -> str:
        """The address of the keys, as the issuer names it: but only if it is that issuer who says so."""
        address = f"{self._issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            said = parsed(await self._at(client, address))
        except (ValueError, RecursionError):
            raise Unreached(f"{address} is no configuration") from None
        if said.get("issuer") != self._issuer.issuer:
            raise Unreached(f"{address} is the configuration of another issuer")
        where = said.get("jwks_uri")
        if type(where) is not str:
            raise Unreached(f"{address} names no keys")
        return where

    async def _at(self, client: httpx2.AsyncClient, address: str) -> bytes:
        try:
            return await self._asked(client, httpx2.URL(address))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Unreached(f"{address.partition('?')[0]} cannot be asked ({type(error).__name__})") from None

    async def _asked(self, client: httpx2.AsyncClient, url: httpx2.URL) -> bytes:
        where, private = str(url).partition("?")[0], self._issuer.allow_private
        if not (url.scheme == "https" or (private and url.scheme == "http")) or url.userinfo or not url.host:
            raise Unreached(f"{where} is no address that keys may come from")
        addresses = await self._resolve(host_of(url), url.port or (443 if url.scheme == "https" else 80))
        if not private and not all(is_public(address) for address in addresses):
            raise Unreached(f"{where} is not on the public network")
        response = await sent(client, url, addresses[:TRIES])
        try:
            return await _body(response, where)
        finally:
            await response.aclose()


async def _body(response: httpx2.Response, where: str) -> bytes:
    if response.status_code != 200:
        raise Unreached(f"{where} answered {response.status_code}")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unreached(f"{where} answered with something packed")
    data = bytearray()
    async for piece in response.aiter_raw():
        data += piece
        if len(data) > MOST:
            raise Unreached(f"{where} answered with more than {MOST} bytes")
    return bytes(data)


def _of_file(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise Unreached(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > MOST:
        raise Unreached(f"{name} has more than {MOST} bytes")
    return data
