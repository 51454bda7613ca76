"""How a pool is put in order: one frozen class per strategy. Add one: a file with a class, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.policy.strategies.cost import Cost
from gateway.policy.strategies.ordered import Ordered
from gateway.policy.strategies.strategy import Parameters
from gateway.policy.strategies.weighted import Weighted

__all__ = ["STRATEGIES", "Cost", "Ordered", "Parameters", "Weighted"]

STRATEGIES: Mapping[str, type[Cost] | type[Weighted] | type[Ordered]] = MappingProxyType(
    {strategy.name: strategy for strategy in (Cost, Weighted, Ordered)}
)
