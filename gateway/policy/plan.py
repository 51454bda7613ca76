"""An order of deployments, written out as tries. Read next: ../reliability/attempts.py, which carries a plan out."""

from __future__ import annotations

from functools import lru_cache

from gateway.types import Plan, Policy, Try

__all__ = ["write_out"]


@lru_cache(maxsize=4096)
def write_out(order: tuple[str, ...], fallback: tuple[str, ...], policy: Policy) -> Plan:
    """The tries for deployments in order of preference: ``A, A, B, C``.

    The first deployment gets its extra tries (``policy.same_target``) beside itself; the others are tried once
    each, and again, in order, while the plan has room.
    """
    targets = list(dict.fromkeys((*order, *fallback)))
    if not targets:
        return Plan(tries=(), total_s=policy.total_s, backoff=policy.backoff)
    first, rest = targets[0], targets[1:]
    tries = [Try(first), *(Try(first, "retry") for _ in range(policy.same_target))]
    tries += [Try(name, "fallback") for name in rest]
    tries += [Try(name, "retry") for name in rest for _ in range(policy.same_target)]
    return Plan(tries=tuple(tries[: policy.attempts]), total_s=policy.total_s, backoff=policy.backoff)
