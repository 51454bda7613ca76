"""What is there without being configured: provider keys in the environment, and model servers on this machine.

Read next: ../data/well_known.py; load.py, which merges what was found under ``discover: true``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx2
from msgspec import Struct

from gateway.config.kinds import Kind, kinds
from gateway.config.logins import REGIONS, first_set, place_of
from gateway.config.schema import Config, DeploymentEntry, PriceEntry, ProviderEntry
from gateway.data.well_known import LOCAL, QUALITY, WELL_KNOWN
from gateway.policy.decide import DIRECT
from gateway.policy.match import AUTO

__all__ = ["Found", "discover", "found_in", "merge", "probe", "simulated_world_parts"]

#: How long a local server has to answer, in seconds.
PROBE_S: Final = 0.3
_MOST_MODELS: Final = 50
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")

Probe = Callable[[str], Awaitable[Sequence[str]]]


class Found(Struct, frozen=True):
    """Providers and deployments that were found, and a line about each find for people; never a key."""

    providers: Mapping[str, ProviderEntry] = {}
    deployments: Mapping[str, DeploymentEntry] = {}
    lines: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.deployments)

    def __add__(self, other: Found) -> Found:
        """Both; a deployment whose name is taken goes by ``provider/name``."""
        renamed = {
            f"{entry.provider}/{name}" if name in self.deployments else name: entry
            for name, entry in other.deployments.items()
        }
        return Found(
            {**other.providers, **self.providers}, {**self.deployments, **renamed}, (*self.lines, *other.lines)
        )


def found_in(environ: Mapping[str, str]) -> Found:
    """The providers whose usual variable is set, each with its well-known models.

    A login at a cloud is no sign that its models are to be used: only a key that is for nothing else is.
    """
    found = Found()
    for kind in kinds():
        models, key = WELL_KNOWN.get(kind.kind, ()), first_set(environ, *kind.env)
        if models and key is not None:
            nowhere = (
                "{region}" in (kind.base_url or "") and place_of(ProviderEntry(), kind.login, environ).region is None
            )
            found += _left_out(kind, key) if nowhere else _cloud(kind, key, dict(models))
    return found


def simulated_world_parts() -> Found:
    """Two simulated deployments with prices and qualities, for a demonstration without any key."""
    kind = "simulated"
    cheap, strong = PriceEntry(input=0.15, output=0.6), PriceEntry(input=2.5, output=10.0)
    deployments = {
        "sim-small": _entry(kind, "sim-small", price=cheap, context_window=128_000, quality=dict(QUALITY["cheap"])),
        "sim-large": _entry(kind, "sim-large", price=strong, context_window=128_000, quality=dict(QUALITY["strong"])),
    }
    return Found({kind: ProviderEntry()}, deployments, ("simulated: made-up answers, 2 deployments",))


def merge(config: Config, found: Found) -> Config:
    """The configuration with what was found beside it. What the file says wins, and its deployments come first."""
    taken = {AUTO, DIRECT} | {route.name for route in config.routes} | set(config.aliases) | set(config.deployments)
    fresh = {name: entry for name, entry in found.deployments.items() if name not in taken}
    return config.model_copy(
        update={
            "providers": {**found.providers, **config.providers},
            "deployments": {**config.deployments, **fresh},
        }
    )


async def probe(url: str) -> Sequence[str]:
    """The models that a server lists at ``url``; none when it does not answer in time, or not with a list."""
    try:
        # The client is made before the clock runs: reading certificates takes longer than a local answer.
        async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(PROBE_S):
            body = (await client.get(url)).raise_for_status().json()
    except (TimeoutError, httpx2.HTTPError, ValueError):
        return ()
    return list(_ids(body))


async def discover(environ: Mapping[str, str], probe: Probe = probe) -> Found:
    """Everything found in the environment and, by ``probe``, on this machine. An empty Found means nothing was."""
    return found_in(environ) + await _found_locally(probe)


def _ids(body: Any) -> Iterator[str]:
    listed = body.get("data") if isinstance(body, dict) else None
    for model in listed[:_MOST_MODELS] if isinstance(listed, list) else ():
        name = model.get("id") if isinstance(model, dict) else None
        if isinstance(name, str) and _NAME.fullmatch(name):
            yield name


async def _found_locally(probe: Probe) -> Found:
    answers = await asyncio.gather(*(probe(f"{url}/models") for url in LOCAL.values()))
    found = Found()
    for (kind, url), models in zip(LOCAL.items(), answers, strict=True):
        if models:
            found += _local(kind, url, models)
    return found


def _left_out(kind: Kind, key: str) -> Found:
    region = REGIONS[kind.login or ""][0]
    return Found(lines=(f"{kind.kind}: {key}, left out since {region} is not set",))


def _cloud(kind: Kind, key: str, models: Mapping[str, Any]) -> Found:
    deployments = {model: _entry(kind.kind, model, quality=dict(QUALITY[tier])) for model, tier in models.items()}
    return Found({kind.kind: ProviderEntry()}, deployments, (f"{kind.kind}: {key}, {_counted(len(models))}",))


def _local(kind: str, url: str, models: Sequence[str]) -> Found:
    """Local answers cost no provider anything, so their price is known: zero."""
    free = PriceEntry(input=0.0, output=0.0)
    deployments = {model: _entry(kind, model, price=free) for model in models}
    provider = ProviderEntry(base_url=url, allow_private=True)
    return Found({kind: provider}, deployments, (f"{kind}: {url}, {_counted(len(models))}",))


def _entry(provider: str, model: str, **fields: Any) -> DeploymentEntry:
    return DeploymentEntry(provider=provider, model=model, **fields)


def _counted(n: int) -> str:
    return f"{n} deployment{'s' if n != 1 else ''}"
