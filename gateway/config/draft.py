"""A configuration half made: accounts and deployments with every default filled in, as far as they can be.

Read next: check.py, which judges a draft; build.py, which makes a World of a sound one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from gateway.config.addresses import privacy
from gateway.config.kinds import Kind, kind_of
from gateway.config.logins import first_set, login_of, place_of
from gateway.config.prices import price_of
from gateway.config.schema import Config, DeploymentEntry, ProviderEntry, TimeoutsEntry
from gateway.config.source import Node
from gateway.data.catalogue import facts
from gateway.types import Account, Deployment, Secret, Timeouts

__all__ = ["Draft", "draft", "uses_usual_key"]


class Draft(Struct, frozen=True):
    """What checks look at. Entries whose references lead nowhere are in ``config`` alone."""

    config: Config
    root: Node
    accounts: Mapping[str, Account]
    deployments: Mapping[str, Deployment]

    def pool_of(self, names: tuple[str, ...] | None) -> tuple[str, ...]:
        """The deployments that a pool names and that there are; all of them when it names none."""
        if names is None:
            return tuple(self.deployments)
        return tuple(name for name in names if name in self.deployments)


def draft(config: Config, root: Node, environ: Mapping[str, str]) -> Draft:
    """Fill in what kinds of providers, the environment and the catalogue know."""
    accounts = dict(_accounts(config, environ))
    deployments = {
        name: _deployment(name, entry, accounts[entry.provider], fetches=config.fetch.allow)
        for name, entry in config.deployments.items()
        if entry.provider in accounts
    }
    return Draft(config, root, accounts, deployments)


def _accounts(config: Config, environ: Mapping[str, str]) -> Iterator[tuple[str, Account]]:
    for name, entry in config.providers.items():
        kind = kind_of(entry.kind or name)
        base_url = (entry.base_url or entry.endpoint or (kind.base_url if kind is not None else None) or "").rstrip("/")
        if kind is not None and base_url:
            yield name, _account(name, entry, kind, base_url, environ)


def _account(name: str, entry: ProviderEntry, kind: Kind, base_url: str, environ: Mapping[str, str]) -> Account:
    own = entry.base_url is None and entry.endpoint is None and privacy(base_url) is not None
    usual = uses_usual_key(entry, kind)
    keys = entry.api_key or (_usual_key(kind, environ) if usual and entry.auth is None else ())
    login = login_of(entry.auth, kind.login if usual and not keys else None, environ)
    place = place_of(entry, login.kind if login is not None else kind.login, environ)
    return Account(
        name=name,
        kind=kind.kind,
        base_url=place.fill(base_url),
        keys=keys,
        auth=login,
        region=place.region,
        project=place.project,
        company=entry.company or kind.company,
        headers=tuple((header.lower(), value) for header, value in entry.headers.items()),
        api_version=entry.api_version,
        allow_private=entry.allow_private or own,
        transport=entry.transport or ("simulated" if kind.simulated else "http1"),
        timeouts=_timeouts(entry.timeouts),
        max_connections=entry.max_connections,
    )


def uses_usual_key(entry: ProviderEntry, kind: Kind) -> bool:
    """Whether the key or login of the environment is meant: not at another address than the provider's own, if any."""
    return kind.base_url is None or (entry.base_url or entry.endpoint or kind.base_url).rstrip("/") == kind.base_url


def _usual_key(kind: Kind, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    name = first_set(environ, *kind.env)
    return (Secret(environ[name].strip()),) if name is not None else ()


def _timeouts(entry: TimeoutsEntry) -> Timeouts:
    return Timeouts(
        connect=entry.connect,
        first_byte=entry.first_byte,
        first_token=entry.first_token,
        stall=entry.stall,
        no_content=entry.no_content,
        total=entry.total,
    )


def _deployment(name: str, entry: DeploymentEntry, account: Account, *, fetches: bool) -> Deployment:
    known = facts(account.base_url, entry.model)
    kind = kind_of(account.kind)
    prefill = known.prefill and kind is not None and kind.protocol != "openai"
    return Deployment(
        name=name,
        account=account,
        model=entry.model,
        price=price_of(entry.price, known.price) if entry.price is not None else known.price,
        context_window=entry.context_window or known.context_window,
        max_output=entry.max_output or known.max_output,
        capabilities=known.capabilities if entry.capabilities is None else frozenset(entry.capabilities),
        quality=dict(entry.quality),
        prefill=prefill if entry.prefill is None else entry.prefill,
        reasoning=known.reasoning if entry.reasoning is None else entry.reasoning,
        thinking=known.thinking if entry.thinking is None else entry.thinking,
        cannot=kind.cannot - ({"file_urls"} if fetches else set()) if kind is not None else frozenset(),
        weight=entry.weight,
        rpm=entry.limits.rpm,
        tpm=entry.limits.tpm,
        image_tokens=entry.image_tokens or known.image_tokens,
        concurrency=entry.limits.concurrency,
    )
