"""Files that clients name by their address, fetched where the operator allows it and a protocol needs the bytes.

Read next: public.py, where nothing is fetched from; ../providers/links.py, where the addresses stand in a request.

A client chooses the address, so it is fetched as a stranger would: without a key, a cookie or a proxy, from the public
network alone. A name is looked up once and the connection goes to the address that was judged, so that it cannot mean
another host a moment later; each redirect is judged anew. What comes is bounded in size and time, and never unpacked.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Final

import httpx2
from msgspec.structs import replace

from gateway import __version__
from gateway.errors import CannotSay
from gateway.providers.links import Link, inlined, links
from gateway.types import Call, Fetch
from gateway.upstream.public import addresses_of, is_public

__all__ = ["TRIES", "Fetcher", "Resolve", "host_of", "sent"]

Resolve = Callable[[str, int], Awaitable[list[str]]]

#: The most addresses of one request, how many are fetched beside each other, and how often one may lead elsewhere.
MOST: Final = 20
AT_ONCE: Final = 4
REDIRECTS: Final = 3
#: How many addresses of one host are tried.
TRIES: Final = 2
MOVED: Final = frozenset({301, 302, 303, 307, 308})
IMAGE: Final = re.compile(r"image/[a-z0-9][a-z0-9.+-]*")
DOCUMENTS: Final = frozenset({"application/pdf", "text/plain"})
HEADERS: Final = {"user-agent": f"signalbox/{__version__}", "accept": "*/*", "accept-encoding": "identity"}
NOT_PUBLIC: Final = "its host cannot be reached on the public network"


class Fetcher:
    """Fetches within the rules. ``resolve`` gives a host's addresses, ``context`` is what https is verified with."""

    def __init__(self, rules: Fetch, *, resolve: Resolve = addresses_of, context: ssl.SSLContext | None = None) -> None:
        self._rules = rules
        self._resolve = resolve
        self._given = context

    def __repr__(self) -> str:
        where = ", ".join(sorted(self._rules.hosts)) or "anywhere"
        return f"fetches up to {self._rules.max_bytes} bytes from {where}"

    async def inline(self, call: Call, known: dict[str, str], within_s: float) -> Call:
        """The call with data URLs in place of addresses. ``known`` has by its address what was fetched before.

        Raises CannotSay when anything cannot be fetched, in so many seconds.
        """
        wanted = [link for link in links(call.fields) if link.url not in known]
        if len(wanted) > MOST:
            raise refused(f"The request names {len(wanted)} files by their address; {MOST} are fetched at most.")
        if wanted:
            await self._fetch(wanted, known, min(within_s, self._rules.timeout_s))
        return replace(call, fields=inlined(call.fields, known)) if known else call

    async def _fetch(self, wanted: list[Link], known: dict[str, str], within_s: float) -> None:
        gate, room = asyncio.Semaphore(AT_ONCE), Room(self._rules.max_bytes)

        async def one(link: Link) -> None:
            async with gate:
                known[link.url] = await self._followed(client, link, room)

        # A connection that is used again could belong to another host at the same address.
        alone = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(verify=self._context, trust_env=False, timeout=None, limits=alone) as client:
            tasks = [asyncio.create_task(one(link)) for link in wanted]
            try:
                async with asyncio.timeout(max(within_s, 0.0)):
                    await asyncio.gather(*tasks)
            except TimeoutError:
                missing = next(link for link in wanted if link.url not in known)
                raise refused(f"{shown(missing.url)} was not fetched within {within_s:.3g} s.") from None
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _followed(self, client: httpx2.AsyncClient, link: Link, room: Room) -> str:
        """What is at an address, wherever it leads; a data URL."""
        url = httpx2.URL("")
        try:
            url = httpx2.URL(link.url)
            for _ in range(1 + REDIRECTS):
                async with self._opened(client, url) as response:
                    if response.status_code not in MOVED:
                        return await self._data(response, link, room)
                    url = url.join(response.headers.get("location", ""))
            why = f"it leads elsewhere more than {REDIRECTS} times"
        except Refused as error:
            why = str(error)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
            # Whatever else went wrong is nothing that a stranger should learn of a network.
            why = NOT_PUBLIC if url.host else "it is not a valid URL"
        raise refused(f"{shown(link.url)} was not fetched: {why}.")

    @asynccontextmanager
    async def _opened(self, client: httpx2.AsyncClient, url: httpx2.URL) -> AsyncIterator[httpx2.Response]:
        """The answer of a host, from an address that was judged."""
        self._judge(url)
        host, port = host_of(url), url.port or (443 if url.scheme == "https" else 80)
        addresses = await self._resolve(host, port)
        if not self._rules.allow_private and not all(is_public(address) for address in addresses):
            raise Refused(NOT_PUBLIC)
        response = await sent(client, url, addresses[:TRIES])
        try:
            yield response
        finally:
            await response.aclose()

    def _judge(self, url: httpx2.URL) -> None:
        """May this be asked for at all? Raises Refused."""
        rules = self._rules
        if url.scheme != "https" and not (rules.allow_private and url.scheme == "http"):
            raise Refused("only https is fetched")
        if url.userinfo:
            raise Refused("it holds a user name or password")
        if url.port not in (None, 443) and not rules.allow_private:
            raise Refused("it names a port of its own")
        if rules.hosts and not is_listed(host_of(url).rstrip("."), rules.hosts):
            raise Refused("its host is not among those that the operator allows")

    async def _data(self, response: httpx2.Response, link: Link, room: Room) -> str:
        if response.status_code != 200:
            raise Refused(f"the answer was {response.status_code}")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused("the answer is packed")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if IMAGE.fullmatch(kind) is None and (link.image or kind not in DOCUMENTS):
            raise Refused("it is no picture" if link.image else "it is neither a picture nor a PDF nor plain text")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > room.left:
            raise room.full()
        data = bytearray()
        async for piece in response.aiter_raw():
            room.take(len(piece))
            data += piece
        if not data:
            raise Refused("it is empty")
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self._given or ssl.create_default_context()


class Room:
    """The bytes that the files of one request may still take, all of them together."""

    __slots__ = ("_most", "left")

    def __init__(self, most: int) -> None:
        self._most = most
        self.left = most

    def take(self, size: int) -> None:
        """So many have come. Raises Refused when they are too many."""
        self.left -= size
        if self.left < 0:
            raise self.full()

    def full(self) -> Refused:
        """That they are."""
        return Refused(f"the files of the request are larger than {self._most} bytes")


class Refused(Exception):
    """Why an address is not fetched, for the client to read."""


async def sent(client: httpx2.AsyncClient, url: httpx2.URL, addresses: list[str]) -> httpx2.Response:
    """The answer, not read yet, of the first of these addresses that can be connected to."""
    headers = {**HEADERS, "host": url.netloc.decode("ascii")}
    *others, last = addresses
    for address in others:
        try:
            return await client.send(pinned(url, address, headers), stream=True)
        except httpx2.ConnectError:
            continue
    return await client.send(pinned(url, last, headers), stream=True)


def pinned(url: httpx2.URL, address: str, headers: dict[str, str]) -> httpx2.Request:
    """A request to this address in the name of the host, whose certificate it must show."""
    return httpx2.Request(
        "GET", url.copy_with(host=address), headers=headers, extensions={"sni_hostname": host_of(url)}
    )


def host_of(url: httpx2.URL) -> str:
    """The host as it goes over the wire."""
    return url.raw_host.decode("ascii").lower()


def is_listed(host: str, hosts: frozenset[str]) -> bool:
    """Whether a host is named, or lies below one that is written with ``*.`` in front."""
    return host in hosts or any(known[:2] == "*." and host.endswith(known[1:]) for known in hosts)


def refused(message: str) -> CannotSay:
    return CannotSay(message, code="url_not_fetched", param="messages")


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    return repr(url.partition("?")[0].partition("#")[0][:120])
