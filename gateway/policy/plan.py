"""An order of deployments, written out as tries. Read next: ../reliability/attempts.py, which carries a plan out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from msgspec.structs import replace

from gateway.types import Plan, Policy, Try

__all__ = ["wait_for", "write_out"]

Spare = tuple[tuple[str, int], ...]


@lru_cache(maxsize=4096)
def write_out(order: tuple[str, ...], fallback: tuple[str, ...], policy: Policy, spare: Spare = ()) -> Plan:
    """The tries for deployments in order of preference: ``A, A, B, C``.

    The first deployment gets its extra tries (``policy.same_target``) beside itself; the others are tried once
    each, and again, in order, while the plan has room. ``spare`` says how many more keys a deployment has: a refused
    key costs next to no time, so that a try with another one stands in addition to ``policy.attempts``.
    """
    targets = list(dict.fromkeys((*order, *fallback)))
    plan = Plan((), policy.total_s, policy.backoff, policy.rescue, policy.hedge)
    if not targets:
        return plan
    first, rest = targets[0], targets[1:]
    tries = [Try(first), *(Try(first, "retry") for _ in range(policy.same_target))]
    tries += [Try(name, "fallback") for name in rest]
    tries += [Try(name, "retry") for name in rest for _ in range(policy.same_target)]
    tries = tries[: policy.attempts]
    for name, keys in spare:
        at = next((n for n, t in enumerate(tries) if t.deployment == name), None)
        if at is not None:
            tries[at + 1 : at + 1] = [Try(name, "key")] * keys
    return replace(plan, tries=tuple(tries))


def wait_for(plan: Plan, waits: Mapping[str, float]) -> Plan:
    """The plan with no try at these deployments before so many seconds have passed."""
    if not waits:
        return plan
    return replace(plan, tries=tuple([replace(t, wait_s=waits.get(t.deployment, 0.0)) for t in plan.tries]))
