"""A sound draft made into an immutable World. Read next: ../types.py, for what a World is."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import msgspec
from pydantic import BaseModel

from gateway.config.callers import issuer_of, key_of, micros, networks_of, teams_of
from gateway.config.draft import Draft
from gateway.config.schema import Config, FetchEntry, PolicyEntry, RouteEntry, ServerEntry, WhenEntry
from gateway.types import (
    Admission,
    Backoff,
    Fetch,
    Hedge,
    IntentRule,
    Journal,
    Match,
    Money,
    Policy,
    Reliability,
    Requirements,
    Route,
    Secret,
    Server,
    Shift,
    World,
)

__all__ = ["DEFAULT_ROUTE", "build", "resolve"]

#: The route that there is when the file names none: everything, in the order listed.
DEFAULT_ROUTE = RouteEntry(name="default")


def build(draft: Draft, source: str) -> World:
    """The World of a draft that has no errors. Its version is the same for what means the same."""
    config = draft.config
    teams = teams_of(config)
    world = World(
        version="",
        deployments=draft.deployments,
        routes=tuple(_route(entry, draft) for entry in config.routes or (DEFAULT_ROUTE,)),
        aliases={alias: resolve(alias, config.aliases) for alias in config.aliases},
        keys={entry.id: key_of(entry, teams) for entry in config.keys},
        pepper=config.pepper,
        issuers=tuple(issuer_of(entry, teams) for entry in config.identity),
        auth=bool(config.keys or config.identity) if config.auth is None else config.auth,
        intents=tuple(IntentRule(label, entry.keywords, entry.patterns) for label, entry in config.intents.items()),
        server=_server(config.server),
        admission=Admission(
            config.admission.max_inflight,
            config.admission.queue,
            config.admission.queue_wait,
            config.admission.loop_lag,
        ),
        reliability=_reliability(config),
        fetch=_fetch(config.fetch),
        teams=teams,
        money=_money(config),
        journal=Journal(config.journal.path, config.journal.max_size),
        state=config.state,
        source=source,
    )
    return msgspec.structs.replace(world, version=version(world))


def version(world: World) -> str:
    """Twelve hexadecimal digits over all that the World means. Secrets enter as hashes, if at all.

    Where a process listens and writes is its own: replicas that do the same have the same.
    """
    replace = msgspec.structs.replace
    server = replace(world.server, admin_token=None, host="", port=0, admin_host="", admin_port=0)
    journal, money = replace(world.journal, path=None), replace(world.money, ledger=None)
    bare = replace(world, version="", source="", state=None, pepper=None, server=server, journal=journal, money=money)
    canonical = msgspec.json.encode(bare, enc_hook=_plain, order="sorted")
    return hashlib.sha256(canonical).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return hashlib.sha256(value.reveal().encode()).hexdigest()
    if isinstance(value, IPv4Network | IPv6Network):
        return str(value)
    if isinstance(value, BaseModel):
        return [type(value).__name__, value.model_dump()]
    raise NotImplementedError(type(value).__name__)


def resolve(alias: str, aliases: dict[str, str]) -> str:
    """What an alias comes to in the end; the alias itself when it goes round in a circle."""
    seen, name = {alias}, aliases[alias]
    while name in aliases:
        if name in seen:
            return alias
        seen.add(name)
        name = aliases[name]
    return name


def _route(entry: RouteEntry, draft: Draft) -> Route:
    return Route(entry.name, _match(entry.when), _policy(entry.policy, draft))


def _match(when: WhenEntry) -> Match:
    return Match(
        intents=frozenset(when.intent or ()),
        needs=frozenset(when.needs),
        tags={tag: frozenset(values) for tag, values in when.tags.items()},
        models=frozenset(when.model or ()),
        keys=frozenset(when.key or ()),
        min_input_tokens=when.input_tokens.min,
        max_input_tokens=when.input_tokens.max,
    )


def _policy(entry: PolicyEntry, draft: Draft) -> Policy:
    retry = entry.retry
    return Policy(
        pool=draft.pool_of(entry.pool),
        strategy=entry.chosen(),
        fallback=entry.fallback,
        require=Requirements(frozenset(entry.require.region or ()), frozenset(entry.require.company or ())),
        attempts=retry.attempts,
        same_target=retry.same_target,
        total_s=entry.timeout,
        backoff=Backoff(retry.base, retry.base_rate_limited, retry.cap, retry.retry_after_max),
        rescue=entry.rescue,
        degrade_s=entry.degrade.max_age if entry.degrade is not None else None,
        hedge=Hedge(entry.hedge.after, entry.hedge.extra) if entry.hedge is not None else None,
        shift=Shift(entry.budget_shift.since, entry.budget_shift.to) if entry.budget_shift is not None else None,
        lower_max_tokens=entry.lower_max_tokens,
        reference=entry.reference,
    )


def _reliability(config: Config) -> Reliability:
    breaker = config.reliability.breaker
    return Reliability(
        min_failures=breaker.min_failures,
        ratio=breaker.ratio,
        window_s=breaker.window,
        open_s=breaker.open,
        idle_probe_s=breaker.idle_probe,
        keepalive_s=config.reliability.keep_alive,
        stream=config.upstream.stream,
    )


def _fetch(entry: FetchEntry) -> Fetch:
    hosts = frozenset(host.lower().rstrip(".") for host in entry.hosts)
    return Fetch(entry.allow, entry.max_bytes, entry.timeout, hosts, entry.allow_private)


def _money(config: Config) -> Money:
    entry = config.budgets
    ledger = entry.ledger or ("signalbox.ledger" if config.state is None else None)
    alerts = entry.alerts
    return Money(
        entry.on_state_loss,
        micros(entry.grace_usd),
        entry.unknown_price,
        ledger,
        alerts.webhook if alerts is not None else None,
        alerts.secret if alerts is not None else None,
    )


def _server(entry: ServerEntry) -> Server:
    return Server(
        host=entry.host,
        port=entry.port,
        admin_host=entry.admin_host,
        admin_port=entry.admin_port,
        admin_token=entry.admin_token,
        max_body=entry.max_body,
        header_timeout_s=entry.header_timeout,
        body_timeout_s=entry.body_timeout,
        drain_delay_s=entry.drain_delay,
        drain_s=entry.drain,
        trusted_proxies=networks_of(entry.trusted_proxies),
    )
