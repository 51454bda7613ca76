"""Somebody at the door, for tests."""

from __future__ import annotations

from ipaddress import ip_address

from msgspec import Struct

from gateway.keys.credential import Address
from gateway.types import Networks

__all__ = ["Guest"]


class Guest(Struct, frozen=True):
    """Shows a credential, and comes from an address."""

    credential: str | None
    at: str = "192.0.2.1"

    def address(self, proxies: Networks) -> Address | None:
        """Where it comes from."""
        return ip_address(self.at)
