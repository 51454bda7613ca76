"""How a pool is put in order: one frozen class per strategy. Add one: a file with a class, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.policy.strategies.affinity import Affinity
from gateway.policy.strategies.cost import Cost
from gateway.policy.strategies.headroom import Headroom
from gateway.policy.strategies.latency import Latency
from gateway.policy.strategies.least_busy import LeastBusy
from gateway.policy.strategies.ordered import Ordered
from gateway.policy.strategies.round_robin import RoundRobin
from gateway.policy.strategies.strategy import Parameters
from gateway.policy.strategies.weighted import Weighted

__all__ = [
    "STRATEGIES",
    "Affinity",
    "Cost",
    "Headroom",
    "Latency",
    "LeastBusy",
    "Ordered",
    "Parameters",
    "RoundRobin",
    "Weighted",
]

STRATEGIES: Mapping[str, type[Parameters]] = MappingProxyType(
    {
        strategy.name: strategy
        for strategy in (Cost, Weighted, Ordered, Latency, LeastBusy, RoundRobin, Affinity, Headroom)
    }
)
