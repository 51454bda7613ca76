"""Which route takes a request? Read next: eligible.py."""

from __future__ import annotations

from msgspec import Struct

from gateway.types import Asked, Deployment, Match, Route, World

__all__ = ["AUTO", "Chosen", "choose", "knows"]

#: The model name that asks for a route to be found.
AUTO = "auto"


class Chosen(Struct, frozen=True):
    """What a client's model name came to: a deployment it forces, or a route. ``named`` says it named the route."""

    route: Route | None = None
    forced: Deployment | None = None
    named: bool = False


def knows(world: World, model: str) -> bool:
    """Whether clients may use this model name at all."""
    name = world.aliases.get(model, model)
    return name == AUTO or name in world.deployments or any(route.name == name for route in world.routes)


def choose(world: World, asked: Asked) -> Chosen:
    """The deployment or route that the client named, else the first route whose conditions all hold.

    A Chosen with neither means that no route takes the request.
    """
    name = world.aliases.get(asked.call.model, asked.call.model)
    if (forced := world.deployments.get(name)) is not None:
        return Chosen(forced=forced)
    allowed = asked.caller.routes
    for route in world.routes:
        if route.name == name:
            return Chosen(route=route, named=True)
        if name == AUTO and (allowed is None or route.name in allowed) and holds(route.match, asked):
            return Chosen(route=route)
    return Chosen()


def holds(match: Match, asked: Asked) -> bool:
    """Whether every condition that the match states holds for this request."""
    features = asked.features
    tokens = features.input_tokens
    return (
        (not match.intents or any(s.name == "intent" and s.label in match.intents for s in asked.signals))
        and match.needs <= features.needs
        and (not match.tags or all(asked.call.tags.get(tag) in values for tag, values in match.tags.items()))
        and (not match.models or asked.call.model in match.models)
        and (not match.keys or asked.caller.id in match.keys)
        and (match.min_input_tokens is None or tokens >= match.min_input_tokens)
        and (match.max_input_tokens is None or tokens <= match.max_input_tokens)
    )
