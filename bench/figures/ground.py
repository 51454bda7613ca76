"""What figures are measured on: gateway processes before simulated providers, with a Redis where there are several.

Read next: table.py, which puts the figures together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from bench.replica import Replica
from gateway.testing.script import Script, Scripts
from gateway.testing.server import SimulatedProvider
from tests.redis_server import RedisServer

__all__ = ["NEVER_OPENS", "Drawn", "Plain", "account", "gateways"]

#: A breaker that leaves nobody alone, so that every request meets the failure that is measured.
NEVER_OPENS: Mapping[str, Any] = {"breaker": {"min_failures": 1_000_000}}


class Drawn(Scripts):
    """What every model does is drawn anew for each request: ``draw`` is given its name."""

    def __init__(self, draw: Callable[[str], Script]) -> None:
        super().__init__()
        self._draw = draw

    def take(self, model: str, now: float) -> Script:
        """See Scripts.take."""
        return self._draw(model)


def account(provider: SimulatedProvider, kind: str = "openai_compatible", **more: Any) -> dict[str, Any]:
    """An entry of ``providers``; ``more`` is written as YAML has it."""
    key = {"api_key": "${KEY:-sk-simulated}"} if kind == "openai" else {}
    return {"kind": kind, "base_url": provider.url, "allow_private": True, **key, **more}


@asynccontextmanager
async def gateways(directory: Path, config: Mapping[str, Any], n: int = 1) -> AsyncIterator[list[Replica]]:
    """So many gateways that run, with that configuration; several share a Redis."""
    redis = RedisServer() if n > 1 else None
    state = {"state": redis.url} if redis is not None else {}
    directory.mkdir(parents=True, exist_ok=True)
    text = yaml.dump({**config, **state}, sort_keys=False, Dumper=Plain)
    crew = [Replica(directory, f"gateway-{i}", text) for i in range(n)]
    try:
        if redis is not None:
            redis.start()
        await asyncio.gather(*[replica.start() for replica in crew])
        yield crew
        for replica in crew:
            await replica.stop()
            if trouble := replica.trouble():
                raise RuntimeError(f"a gateway said what is not in its log: {trouble}")
    finally:
        for replica in crew:
            replica.kill()
        if redis is not None:
            redis.kill()


class Plain(yaml.SafeDumper):
    """YAML without anchors, which configurations do not have."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whatever occurs twice is written twice."""
        return True
