"""What the head of a request says of who sends it: a key, and an address. Read next: porter.py, who asks for both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain
from typing import Protocol

from gateway.types import Networks

__all__ = ["Address", "Visitor", "address_of", "credential", "within"]

Address = IPv4Address | IPv6Address


class Visitor(Protocol):
    """Whoever comes to be let in."""

    @property
    def credential(self) -> str | None:
        """The key that came with the request, as it came."""
        ...

    def address(self, proxies: Networks) -> Address | None:
        """Where it comes from: who connects, or whom these proxies speak for. None where that cannot be said."""
        ...


def credential(headers: Mapping[bytes, bytes]) -> str | None:
    """The key of a request, where the SDKs of OpenAI, of Azure or of Anthropic put it; names in lower case."""
    said = headers.get(b"authorization")
    if said is not None:
        scheme, _, token = said.partition(b" ")
        return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else None
    said = headers.get(b"api-key") or headers.get(b"x-api-key")
    return said.decode("latin-1") if said is not None else None


def address_of(peer: str | None, head: Iterable[tuple[bytes, bytes]], proxies: Networks) -> Address | None:
    """Who sent a request that came from ``peer``: the last of those named by ``X-Forwarded-For`` that is no proxy.

    Each proxy adds to the end of it whom it had the request from. What stands before an address that is not to be
    trusted may have been made up by whoever has that address, and so may all of it where ``peer`` is no proxy.
    """
    here = _parsed(peer) if peer is not None else None
    if here is None or not proxies or not within(here, proxies):
        return here
    lines = [value.decode("latin-1") for name, value in head if name == b"x-forwarded-for"]
    hops = list(chain.from_iterable(line.split(",") for line in lines))
    return _behind(here, hops, proxies)


def _behind(here: Address, hops: Sequence[str], proxies: Networks) -> Address | None:
    for hop in reversed(hops):
        found = _parsed(hop)
        if found is None or not within(found, proxies):
            return found
        here = found
    return here


def within(address: Address, networks: Networks) -> bool:
    """Whether an address is in one of these networks."""
    return any(address in network for network in networks)


def _parsed(text: str) -> Address | None:
    """An address as proxies write it: perhaps with a port, or with an IPv4 address in the clothes of IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found
