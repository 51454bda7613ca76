"""R16: a key that the provider refuses is not used again, by nobody, and no caller notices. Read next: overload.py.

Three keys of one account: one that is not known any more, one whose credit is used up, one that is good. Two replicas
ask, which share a Redis: one after the other, since what is under way when a key is refused could not know.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.figures.client import Clients
from bench.figures.figure import Figure, at_most
from bench.figures.ground import account, gateways
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider

__all__ = ["keys", "rotate"]

#: Requests to one replica, and then to the other.
EACH = 200
KEYS = {"sk-dead": "unauthorized", "sk-spent": "insufficient_quota", "sk-good": None}


async def keys(directory: Path) -> list[Figure]:
    """R16."""
    errors, uses = await rotate(directory, EACH)
    return [
        at_most("R16", "requests with a key that was refused with 401, of a fleet", uses["sk-dead"], 1),
        at_most("R16", "requests with a key whose credit is used up, of a fleet", uses["sk-spent"], 1),
        at_most("R16", f"errors that callers saw, of {2 * EACH} requests", errors, 0),
    ]


async def rotate(directory: Path, each: int) -> tuple[int, Counter[str]]:
    """How many callers saw an error, and how often each key was used, by two replicas in turn."""
    async with SimulatedProvider(Script(words=12)) as provider:
        provider.scripts.keys |= {key: fault for key, fault in KEYS.items() if fault is not None}
        config = {
            "providers": {"sim": account(provider, api_key=[f"${{{name(key)}:-{key}}}" for key in KEYS])},
            "deployments": {"a": {"provider": "sim", "model": "a"}},
        }
        errors = 0
        async with gateways(directory, config, 2) as crew:
            for gateway in crew:
                async with Clients(gateway.port) as asking:
                    for n in range(each):
                        errors += (await asking.ask("auto", stream=n % 2 == 0)).ended != "whole"
        used = Counter(request.headers["authorization"].removeprefix("Bearer ") for request in provider.requests)
        return errors, used


def name(key: str) -> str:
    """The variable that holds a key: a key may not be written out."""
    return key.upper().replace("-", "_")
