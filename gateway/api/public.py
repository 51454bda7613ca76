"""Everything of the public listener but the hot paths: the models, the health, and errors in the envelope.

Read next: edge.py, which stands in front of it; admin.py, the other listener.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway import __version__
from gateway.api.client import JSON
from gateway.api.heads import about_error
from gateway.dialects import anthropic_models as models
from gateway.dialects.anthropic_errors import envelope
from gateway.errors import BadRequest, Forbidden, GatewayError, MethodNotAllowed, NotFound
from gateway.keys.credential import Address, address_of, credential
from gateway.pipeline import Pipeline
from gateway.policy.match import AUTO
from gateway.types import Caller, Networks, World

__all__ = ["Ready", "add_health", "make_public", "refuse", "refuse_parameter", "refuse_plain"]

Ready = Callable[[], str | None]


def make_public(pipeline: Pipeline, ready: Ready) -> FastAPI:
    """The application. ``ready`` says why not to send requests here, None when there is no reason."""
    app = FastAPI(
        title="Signalbox",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A redirect would be made of the Host that the client sent.
        redirect_slashes=False,
    )
    app.add_exception_handler(GatewayError, refuse)
    app.add_exception_handler(HTTPException, refuse_plain)

    add_health(app, ready)

    @app.get("/v1/models")
    @app.get("/models")
    async def list_models(request: Request) -> dict[str, Any]:
        """All that this caller may name as a model."""
        live = pipeline.live
        world = live.world
        caller = await pipeline.who(_Visitor(request), live)
        names = _names(world, caller)
        if _speaks_anthropic(request):
            return models.listed([name for name, _ in names], CREATED)
        return {"object": "list", "data": [_model(name, owner) for name, owner in names]}

    @app.get("/v1/models/{model:path}")
    @app.get("/models/{model:path}")
    async def model(model: str, request: Request) -> dict[str, Any]:
        """One of them."""
        live = pipeline.live
        world = live.world
        caller = await pipeline.who(_Visitor(request), live)
        for name, owner in _names(world, caller):
            if name == model:
                return models.one(name, CREATED) if _speaks_anthropic(request) else _model(name, owner)
        if model in dict(_names(world, Caller("anonymous"))):
            raise Forbidden(f"Key {caller.id} may not use {model[:64]!r}.", code="model_not_allowed", param="model")
        raise NotFound(f"The model {model[:64]!r} does not exist here.", code="model_not_found", param="model")

    @app.api_route("/v1/chat/completions", methods=NOT_POST)
    @app.api_route("/chat/completions", methods=NOT_POST)
    @app.api_route("/v1/messages", methods=NOT_POST)
    @app.api_route("/messages", methods=NOT_POST)
    @app.api_route("/v1/messages/count_tokens", methods=NOT_POST)
    @app.api_route("/messages/count_tokens", methods=NOT_POST)
    async def it_is_posted() -> None:
        raise MethodNotAllowed("Answers are asked for with POST.")

    return app


def add_health(app: FastAPI, ready: Ready) -> None:
    """The two questions of an orchestrator: does the process live, may requests be sent to it?"""

    @app.get("/healthz")
    @app.head("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz")
    @app.head("/readyz", include_in_schema=False)
    async def readyz(response: Response) -> dict[str, str]:
        """New requests are welcome."""
        why_not = ready()
        response.status_code = 503 if why_not else 200
        return {"status": why_not or "ok"}


class _Visitor:
    """Who sends a request, for keys/porter.py."""

    def __init__(self, request: Request) -> None:
        self.credential = credential(dict(request.scope["headers"]))
        self._request = request

    def address(self, proxies: Networks) -> Address | None:
        peer = self._request.client
        return address_of(peer.host if peer is not None else None, self._request.scope["headers"], proxies)


def _names(world: World, caller: Caller) -> list[tuple[str, str]]:
    """Model names and who owns them: ``auto``, routes, deployments and aliases, as far as the caller may use them."""
    routes = [r.name for r in world.routes if caller.routes is None or r.name in caller.routes]
    deployments = {
        d.name: d.account.name for d in world.deployments.values() if caller.models is None or d.name in caller.models
    }
    owners = {AUTO: "signalbox", **dict.fromkeys(routes, "signalbox"), **deployments}
    aliases = {alias: owners[name] for alias, name in world.aliases.items() if name in owners}
    return list({**owners, **aliases}.items())


NOT_POST: Final = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]

#: Models have no birthday here; clients require a number.
CREATED: Final = 1_735_689_600


def _model(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": owner}


async def refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    headers = {name.decode(): value.decode() for name, value in (JSON, *about_error(error))}
    return Response(_said(request, error), error.status, headers)


async def refuse_plain(request: Request, error: Exception) -> Response:
    """FastAPI's own refusals, in the envelope."""
    assert isinstance(error, HTTPException)
    message, code = {
        404: ("There is nothing at this address.", "not_found"),
        405: (f"{request.method[:16]} is not allowed here.", "method_not_allowed"),
    }.get(error.status_code, (str(error.detail), "invalid_request"))
    refusal = BadRequest(message, code=code)
    refusal.status = error.status_code
    headers = {JSON[0].decode(): JSON[1].decode(), **(error.headers or {})}
    return Response(_said(request, refusal), error.status_code, headers)


async def refuse_parameter(request: Request, error: Exception) -> Response:
    """A parameter of an address that is none, in the envelope; what it was is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return await refuse(request, BadRequest(f"{name}: {first['msg']}.", code="invalid_value", param=name))


def _speaks_anthropic(request: Request) -> bool:
    """Whether who asks is a client of Anthropic's dialect: all of them name its version."""
    return "anthropic-version" in request.headers


def _said(request: Request, error: GatewayError) -> bytes:
    """An error in the words of who asks."""
    if _speaks_anthropic(request) or request.url.path.removeprefix("/v1").startswith("/messages"):
        return envelope(error.status, error.message, None)
    return error.envelope()
