"""Makers of the gateway's words for tests: everything has a default, a test names only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.intent import features
from gateway.intent.classify import Classifier
from gateway.policy.strategies import Ordered
from gateway.types import (
    Account,
    Asked,
    Call,
    Caller,
    Deployment,
    Match,
    Policy,
    Price,
    Route,
    Strategy,
    World,
)

ACCOUNT = Account(name="acme", kind="openai_compatible", base_url="http://127.0.0.1:9/v1", company="acme")


def deployment(name: str, *, input: int = 1_000_000, output: int = 1_000_000, **more: Any) -> Deployment:
    """A deployment of the model of the same name, one dollar a million tokens unless the test says otherwise."""
    return Deployment(**{"name": name, "account": ACCOUNT, "model": name, "price": Price(input, output), **more})


def call(text: str = "hello", *, model: str = "auto", fields: Mapping[str, Any] | None = None, **more: Any) -> Call:
    """A chat call with one user message, and whatever else ``fields`` gives."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **(fields or {})}
    return Call(
        **{
            "id": "0" * 32,
            "operation": "chat",
            "dialect": "openai",
            "model": model,
            "stream": bool(body.get("stream")),
            "include_usage": False,
            "fields": body,
            "size": len(text) + 60,
            "received_at": 0.0,
            **more,
        }
    )


def asked(
    what: Call | None = None, *, world: World | None = None, caller: Caller | None = None, seed: int = 7
) -> Asked:
    """What a decision may know of a call."""
    what = what or call()
    reading = features.read(what.fields, what.size)
    signals = Classifier(world.intents if world else ()).signals(reading)
    return Asked(what, caller or Caller("anonymous"), reading.features, signals, seed)


def policy(*pool: str, strategy: Strategy | None = None, **more: Any) -> Policy:
    """A policy over a pool, ordered unless the test says otherwise."""
    return Policy(pool=pool, strategy=strategy or Ordered(), **more)


def route(name: str, policy: Policy, **conditions: Any) -> Route:
    """A route with these conditions."""
    return Route(name, Match(**conditions), policy)


def world(*deployments: Deployment, routes: tuple[Route, ...] = (), **more: Any) -> World:
    """A world of these deployments; without routes, one route over all of them in order."""
    names = [d.name for d in deployments]
    return World(
        **{
            "version": "v1",
            "deployments": {d.name: d for d in deployments},
            "routes": routes or (route("default", policy(*names)),),
            **more,
        }
    )
