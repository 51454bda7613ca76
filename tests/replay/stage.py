"""A gateway's configuration with one account, deployment and route for each recording, and the requests to send.

Read next: whole.py, which judges what came of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from gateway.config.load import load_text
from gateway.types import World
from tests.recordings import Recording, row_of

__all__ = ["DEAD_ENDS", "model_of", "request_of", "wants_usage", "world_of"]

ROUTE = "replay/"
#: Recorded at an address that the provider itself answers with 404.
DEAD_ENDS = frozenset({"azure-501b63db012f", "azure-e558e3f84b1f", "azure-20a47ca4157e"})


def model_of(recorded: Recording) -> str:
    """The model that the provider was asked for: in the body, or in the address."""
    named = (recorded.request or {}).get("model")
    return named or deployment_in(recorded) or recorded.model or "unnamed"


def deployment_in(recorded: Recording) -> str | None:
    _, there, rest = recorded.path.partition("/deployments/")
    return rest.partition("/")[0] if there else None


def request_of(recorded: Recording) -> dict[str, Any]:
    """What the client asks: the recorded request, its model the route; where none is known, the least there is."""
    fields = recorded.request
    if fields is None:
        fields = {"messages": [{"role": "user", "content": "Hello!"}], "stream": recorded.stream}
    return {**fields, "model": ROUTE + recorded.id}


def wants_usage(recorded: Recording) -> bool:
    """Whether the client of a stream asked for its usage."""
    return bool((request_of(recorded).get("stream_options") or {}).get("include_usage"))


def world_of(recordings: Iterable[Recording], url: str, transport: Literal["http1", "httpx2"]) -> World:
    """Everything that can be asked for, read from a file as an operator would write it."""
    providers, deployments, routes = {}, {}, []
    for recorded in recordings:
        providers[recorded.id] = account(recorded, url) | {"transport": transport}
        deployments[recorded.id] = {
            "provider": recorded.id,
            "model": model_of(recorded),
            "price": {"input": 1, "output": 2},
        }
        policy = {"pool": [recorded.id], "retry": {"attempts": 1}}
        routes.append({"name": ROUTE + recorded.id, "policy": policy})
    # What was recorded as a whole answer comes as one: providers/test_recordings.py has those made of streams.
    config = {
        "providers": providers,
        "deployments": deployments,
        "routes": routes,
        "upstream": {"stream": "as_client"},
    }
    return load_text(json.dumps(config), {"KEY": "sk-provider-secret"})


def account(recorded: Recording, url: str) -> dict[str, Any]:
    """The account whose row, base address and API version lead to the recorded address."""
    row = row_of(recorded.provider)
    path, query = urlsplit(recorded.path)[2:4]
    base = path.removesuffix(row.path)
    version = parse_qs(query).get("api-version", [None])[0]
    if version and row.per_deployment and (recorded.request or {}).get("model") in (None, deployment_in(recorded)):
        base = base.removesuffix(row.per_deployment.format(model=model_of(recorded)))
    written = {"api_version": version} if version else {}
    return {
        "kind": row.kind,
        "base_url": f"{url}/{recorded.id}{base}",
        "api_key": "${KEY}",
        "allow_private": True,
        **written,
    }
