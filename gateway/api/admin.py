"""The operator's listener: metrics, decisions and the configuration in use. Loopback unless told otherwise.

Read next: ../app.py, which says what is behind it.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway import __version__
from gateway.api.admin_keys import KeyDesk, add_keys
from gateway.api.public import Ready, add_health, refuse, refuse_parameter, refuse_plain
from gateway.api.spending import add_spending
from gateway.errors import GatewayError, NotFound, Unauthorized
from gateway.policy.explain import explain
from gateway.report import Report
from gateway.spending import Spending
from gateway.state.verbs import Health
from gateway.telemetry.metrics import CONTENT_TYPE
from gateway.types import Exchange, Secret

__all__ = ["Desk", "make_admin"]


class Desk(KeyDesk, Protocol):
    """What operators can look at and do."""

    async def find(self, id: str) -> Exchange | None:
        """The exchange of that id, from this process or the fleet."""
        ...

    def recent(self, limit: int, outcome: str | None, route: str | None, deployment: str | None) -> list[Exchange]:
        """The newest exchanges of this process."""
        ...

    async def scrape(self) -> bytes:
        """All metrics."""
        ...

    def condition(self) -> Report:
        """How the deployments and this process fare."""
        ...

    def configuration(self) -> dict[str, Any]:
        """Which configuration is in use, and how the last reload went. No secrets."""
        ...

    async def reload(self) -> bool:
        """Read the configuration again; whether it is in use now."""
        ...

    def state(self) -> Health:
        """How the shared state does."""
        ...

    @property
    def spending(self) -> Spending:
        """What was used, and what it cost."""
        ...


def make_admin(desk: Desk, ready: Ready, token: Secret | None) -> FastAPI:
    """The application. With a ``token`` everything but the health asks for it as a bearer."""
    # A redirect would be made of the Host that was sent.
    app = FastAPI(title="Signalbox administration", version=__version__, redirect_slashes=False)
    app.add_exception_handler(GatewayError, refuse)
    app.add_exception_handler(HTTPException, refuse_plain)
    app.add_exception_handler(RequestValidationError, refuse_parameter)
    add_health(app, ready)
    guarded = [Depends(_guard(token))]

    @app.get("/metrics", dependencies=guarded)
    async def metrics() -> Response:
        """Everything that Prometheus scrapes."""
        return Response(await desk.scrape(), media_type=CONTENT_TYPE)

    @app.get("/admin/health", dependencies=guarded)
    async def health(request: Request) -> Response:
        """How each deployment fares, and this process; as lines of plain text where that is asked for."""
        condition = desk.condition()
        return _text(condition.lines()) if _wants_text(request) else _json(condition)

    @app.get("/admin/decisions", dependencies=guarded)
    async def decisions(
        limit: int = 50, outcome: str | None = None, route: str | None = None, deployment: str | None = None
    ) -> Response:
        """The newest decisions of this process, newest first."""
        found = desk.recent(max(1, min(limit, 500)), outcome, route, deployment)
        return _json({"decisions": found})

    @app.get("/admin/decisions/{id}", dependencies=guarded)
    async def decision(id: str, request: Request) -> Response:
        """One decision: its record, and the story it tells; as plain text where that is asked for."""
        exchange = await desk.find(id)
        if exchange is None:
            raise NotFound(f"No decision {id[:64]!r} is kept here (any more).", code="decision_not_found")
        story = explain(exchange)
        return _text(story) if _wants_text(request) else _json({"record": exchange, "story": story})

    @app.get("/admin/config", dependencies=guarded)
    async def config() -> dict[str, Any]:
        """The configuration in use and the last attempt to change it."""
        return desk.configuration()

    @app.post("/admin/config/reload", dependencies=guarded)
    async def reload(response: Response) -> dict[str, Any]:
        """Read the file again now. 422 when it has errors: the configuration in use then stays."""
        response.status_code = 200 if await desk.reload() else 422
        return desk.configuration()

    add_keys(app, desk, guarded, time.time)

    @app.get("/admin/state", dependencies=guarded)
    async def state() -> Response:
        """Whether the shared state answers."""
        return _json(desk.state())

    add_spending(app, lambda: desk.spending, guarded)
    return app


def _guard(token: Secret | None) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        if token is None:
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.reveal().encode()):
            raise Unauthorized("The admin token is missing or wrong: send it as Authorization: Bearer <token>.")

    return check


def _wants_text(request: Request) -> bool:
    return "text/plain" in request.headers.get("accept", "")


def _text(lines: list[str]) -> Response:
    return Response("\n".join(lines) + "\n", media_type="text/plain")


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
