"""Where a base_url leads: to the public, into a private network, or to a cloud's metadata. Read next: checks/safety.py.

Judged by what is written, without a look-up: names that only a private resolver knows count as private.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final, Literal
from urllib.parse import urlsplit

__all__ = ["Privacy", "host_of", "is_loopback", "privacy"]

Privacy = Literal["loopback", "private", "metadata"]

#: Addresses at which clouds hand out credentials to whoever asks.
_METADATA: Final = frozenset(
    {"169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "metadata.google.internal", "metadata"}
)
_PRIVATE_SUFFIXES: Final = (".internal", ".local", ".lan", ".home.arpa", ".svc", ".cluster.local", ".intranet")
_SHARED: Final = ipaddress.ip_network("100.64.0.0/10")


def host_of(url: str) -> str | None:
    """The host of a URL in lower case, None when it has none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".") or None
    except ValueError:
        return None


def privacy(url: str) -> Privacy | None:
    """In what way the host of a URL is not public; None when it is, or when there is no host."""
    host = host_of(url)
    return _privacy(host) if host is not None else None


def is_loopback(host: str) -> bool:
    """Whether a listener on this host is reached from this machine alone."""
    return _privacy(host.strip("[]").lower()) == "loopback"


def _privacy(host: str) -> Privacy | None:
    if host in _METADATA:
        return "metadata"
    if host == "localhost" or host.endswith(".localhost"):
        return "loopback"
    address = _address(host)
    if address is not None:
        return _of_address(address)
    return "private" if "." not in host or host.endswith(_PRIVATE_SUFFIXES) else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, in any of the ways that the C library reads one: 127.1, 0x7f000001, 2130706433."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _of_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Privacy | None:
    if str(address) in _METADATA:
        return "metadata"
    if address.is_loopback:
        return "loopback"
    shared = isinstance(address, ipaddress.IPv4Address) and address in _SHARED
    return "private" if shared or not address.is_global or address.is_multicast else None
