"""A replica that cannot ask the fleet counts on its own share of what providers allow. Read next: gateway/health."""

from __future__ import annotations

from gateway.config.load import load_text
from gateway.health.health import Health
from gateway.state.memory import Memory
from gateway.types import Features

CONFIG = """
providers: {sim: {kind: simulated}}
deployments: {a: {provider: sim, model: a, limits: {rpm: 60}}}
"""
ONE = Features(10, None, 1, frozenset(), 1)


class Fleet(Memory):
    """Four replicas, whose store can be gone."""

    gone = False

    def alone(self, now: float) -> bool:
        return self.gone

    def replicas(self) -> int:
        return 4


def served(health: Health, now: float) -> int:
    """How many requests are let through at once."""
    deployment = health.lanes()["a"].deployment
    n = 0
    while (leave := health.leave(deployment, ONE, now)) is not None:
        leave.ended(None, None, now)
        n += 1
    return n


async def test_alone_it_takes_its_share_and_with_the_fleet_all_of_it_again() -> None:
    fleet = Fleet()
    health = Health(fleet, load_text(CONFIG, {}), 1000.0)
    await fleet.sync(1000.0)
    health.tick(1000.0)
    whole = served(health, 1000.0)
    await fleet.sync(1000.1)
    fleet.gone = True
    await fleet.sync(1200.0)
    health.tick(1200.0)
    alone = served(health, 1200.0)
    await fleet.sync(1200.1)
    fleet.gone = False
    await fleet.sync(1400.0)
    health.tick(1400.0)
    assert (whole, alone, served(health, 1400.0)) == (9, 2, 9)
