"""Which addresses are those of the public network, after a look-up. Read next: fetch.py, which connects to no others.

config/addresses.py judges what is written; here a name has become an address, and nothing is left to guess.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Final

__all__ = ["addresses_of", "is_public"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Public by its number, but answered by the cloud that one runs in: Azure's agent.
OF_A_CLOUD: Final = frozenset({ipaddress.ip_address("168.63.129.16")})
#: Not public either, whatever the version of Python says: carriers' own, protocol assignments and Teredo, NAT64 of
#: one's own, 6to4 (given up by RFC 7526), documentation, segment routing,
#: and what sites had of their own before fc00::/7.
OF_A_NETWORK: Final = tuple(
    map(
        ipaddress.ip_network,
        "100.64.0.0/10 192.0.0.0/24 64:ff9b:1::/48 2001::/23 2002::/16 3fff::/20 5f00::/16 fec0::/10".split(),
    )
)
#: Networks of IPv6 in whose addresses an address of IPv4 stands last: compatible ones, and NAT64.
ENDING_IN_IPV4: Final = (ipaddress.ip_network("::/96"), ipaddress.ip_network("64:ff9b::/96"))


async def addresses_of(host: str, port: int) -> list[str]:
    """All addresses of a host, in the order in which to try them. Raises OSError when there are none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("it is no name of a host") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(text: str) -> bool:
    """Whether an address, and whatever address of IPv4 it leads to, is one of the public network."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return _is_public(_meant(address))


def _is_public(address: Address) -> bool:
    if address in OF_A_CLOUD or any(address in network for network in OF_A_NETWORK):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _meant(address: Address) -> Address:
    """Where packets to an address end: those to an address of IPv6 may do so at one of IPv4 that stands in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if (mapped := address.ipv4_mapped) is not None:
        return mapped
    if any(address in network for network in ENDING_IN_IPV4):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
