"""Deployments made ready to be called: the protocol, the transport, an endpoint for each key. Read next: run.py."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gateway.providers.protocol import Protocol
from gateway.providers.registry import ROWS, protocol_of
from gateway.types import Deployment, Endpoint, World
from gateway.upstream.credentials.credential import Credential
from gateway.upstream.credentials.make import Credentials
from gateway.upstream.fetch import Fetcher
from gateway.upstream.transport import Transport

__all__ = ["Target", "make_ready"]


class Target(Struct, frozen=True, eq=False):
    """A deployment and all that a call to it needs.

    ``endpoints`` has one for each key of the account, at least one, and ``streams`` those for streams;
    ``models`` is where it lists its models. ``credential`` has what each request carries where a login opens the
    account. ``fetcher`` is there where files must be fetched for it, and may be.
    """

    deployment: Deployment
    protocol: Protocol
    transport: Transport
    endpoints: tuple[Endpoint, ...]
    streams: tuple[Endpoint, ...]
    models: Endpoint
    credential: Credential | None = None
    fetcher: Fetcher | None = None


def make_ready(
    world: World, transports: Mapping[str, Transport], credentials: Credentials | None = None
) -> Mapping[str, Target]:
    """Every deployment of a world, by name. ``transports`` are by the names that accounts use.

    ``credentials`` keep what they know of logins that the last world had too.
    """
    credentials = credentials or Credentials()
    credentials.know(deployment.account for deployment in world.deployments.values())
    fetcher = Fetcher(world.fetch) if world.fetch.allow else None
    return {
        name: _target(deployment, transports, credentials, fetcher) for name, deployment in world.deployments.items()
    }


def _target(
    deployment: Deployment, transports: Mapping[str, Transport], credentials: Credentials, fetcher: Fetcher | None
) -> Target:
    account = deployment.account
    protocol = protocol_of(account.kind)
    keys = account.keys or (None,)
    return Target(
        deployment=deployment,
        protocol=protocol,
        transport=transports[account.transport],
        endpoints=tuple([protocol.endpoint(deployment, key, stream=False) for key in keys]),
        streams=tuple([protocol.endpoint(deployment, key, stream=True) for key in keys]),
        models=protocol.models(deployment, keys[0]),
        credential=credentials.of(account),
        fetcher=fetcher if ROWS[account.kind].inlines else None,
    )
