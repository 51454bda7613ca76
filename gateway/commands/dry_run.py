"""A request that is decided on and not carried out. Read next: ../policy/explain.py and prospects.py, its words."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.api.body import judge
from gateway.api.client import user_of
from gateway.budgets.scopes import scopes_of
from gateway.budgets.shorten import shortened
from gateway.errors import NotFound
from gateway.intent.classify import Classifier
from gateway.keys.porter import ANYBODY
from gateway.pipeline import admit, gather
from gateway.policy.decide import decide
from gateway.policy.explain import explain
from gateway.policy.prospects import funds_at, prospects
from gateway.story import Story
from gateway.types import Asked, Call, Caller, Decision, Snapshot, World

__all__ = ["dry_run"]


def dry_run(
    world: World,
    body: bytes,
    *,
    key: str | None = None,
    tags: Mapping[str, str] | None = None,
    user: str | None = None,
    used: float | None = None,
) -> list[str]:
    """The story of a request that arrives now at a gateway where all is well, one sentence a line.

    ``key`` is the id of the caller's key, ``used`` the share of each of its budgets that is spent; None: nothing is.
    Raises GatewayError for what a client would be told.
    """
    caller = _caller(world, key)
    story = Story("0" * 32, 0.0, 0.0, world, caller=caller)
    fields = judge(body)
    story.call = call = Call(
        id=story.id,
        operation="chat",
        dialect="openai",
        model=fields["model"],
        stream=fields.get("stream") is True,
        include_usage=False,
        fields=fields,
        size=len(body),
        received_at=0.0,
        tags={**(tags or {}), **caller.tags},
        user=user or user_of(fields),
    )
    admit(call, caller, world)
    asked = gather(call, caller, Classifier(world.intents))
    scopes = scopes_of(caller, call.user)
    snapshot = Snapshot(at=0.0, funds=funds_at(scopes, used or 0.0))
    asked, story.decision, story.warnings = _decided(asked, world, snapshot)
    story.call, story.features, story.signals = asked.call, asked.features, asked.signals
    lines = explain(story.close(0.0))
    return lines + (prospects(asked, story.decision, world, scopes) if key is not None or used is not None else [])


def _caller(world: World, key: str | None) -> Caller:
    callers = {entry.caller.id: entry.caller for entry in world.keys.values()}
    if key is None:
        return ANYBODY
    if key not in callers:
        known = ", ".join(sorted(callers)) or "none"
        raise NotFound(
            f"There is no key {key!r} in the configuration; it has {known}. Those made at run time are not known here."
        )
    return callers[key]


def _decided(asked: Asked, world: World, snapshot: Snapshot) -> tuple[Asked, Decision, tuple[str, ...]]:
    """The decision, on a shorter answer where only that fits into the budgets and the policy wants it."""
    decision = decide(asked, world, snapshot)
    lowers = any(route.policy.lower_max_tokens for route in world.routes if route.name == decision.route)
    if decision.plan.tries or not lowers or (shorter := shortened(asked, decision, world)) is None:
        return asked, decision, ()
    asked, warning = shorter
    return asked, decide(asked, world, snapshot), (warning,)
