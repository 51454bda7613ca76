"""What operators ask about money: usage, as JSON and CSV, and budgets. Read next: ../usage/query.py, what may be asked.

Only on the admin listener: what a team spends is not for whoever holds one of its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response

from gateway.spending import Outlook, Spending
from gateway.usage.query import PARAMETERS, Query, parse
from gateway.usage.sums import iso
from gateway.usage.written import as_csv, as_json, dollars

__all__ = ["add_spending"]

_DESCRIBED: Final[dict[str, Any]] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": what, "schema": {"type": "string"}}
        for name, what in PARAMETERS.items()
    ]
}


def add_spending(app: FastAPI, spending: Callable[[], Spending], guarded: Sequence[Any]) -> None:
    """Add the addresses to an application; ``guarded`` is what each of them depends on."""

    @app.get("/admin/usage", dependencies=guarded, openapi_extra=_DESCRIBED)
    async def usage(request: Request) -> Response:
        """What was used on some days, by organisation, team, key, user, model, route, feature or day."""
        query = parse(request.query_params.multi_items(), spending().today)
        answer = await spending().usage(query)
        if (query.format or _wanted(request)) == "csv":
            return _csv(as_csv(answer), query, answer.found, _next(request, answer.next_offset))
        return Response(msgspec.json.encode(as_json(answer)), media_type="application/json")

    @app.get("/admin/budgets", dependencies=guarded)
    async def budgets() -> Response:
        """Every budget in its running period: what is spent, leased and left, and when it will run out."""
        found = [_told(outlook) for outlook in await spending().budgets()]
        return Response(msgspec.json.encode({"budgets": found}), media_type="application/json")


def _told(outlook: Outlook) -> dict[str, Any]:
    standing, forecast = outlook.standing, outlook.forecast
    scope, span = standing.scope, standing.span
    money = {
        "limit": standing.limit,
        "spent": standing.settled,
        "leased": standing.leased,
        "unaccounted": standing.unaccounted,
        "left": max(0, standing.limit - standing.committed),
    }
    return {
        "scope": scope.name,
        "per": scope.budget.per if scope.budget is not None else None,
        "period": span.name,
        "begins_at": _moment(span.begins_at),
        "ends_at": _moment(span.ends_at),
        **{name: value for what, micros in money.items() for name, value in _money(what, micros).items()},
        "used": round(standing.committed / standing.limit, 3) if standing.limit else None,
        "forecast": {
            **_money("at_end", forecast.at_end),
            "used": round(forecast.at_end / standing.limit, 3) if standing.limit and forecast.at_end else None,
            "runs_out_at": _moment(forecast.runs_out_at),
            "by": forecast.by,
        },
    }


def _money(what: str, micros: int | None) -> dict[str, int | str | None]:
    return {f"{what}_micros": micros, f"{what}_usd": dollars(micros) if micros is not None else None}


def _moment(at: float | None) -> str | None:
    """A Unix time as 2026-11-28T00:00:00Z, cut to the second."""
    return f"{datetime.fromtimestamp(int(at), UTC):%Y-%m-%dT%H:%M:%SZ}" if at is not None else None


def _wanted(request: Request) -> str:
    return "csv" if "text/csv" in request.headers.get("accept", "") else "json"


def _csv(text: str, query: Query, found: int, more: str | None) -> Response:
    headers = {
        "content-disposition": f'attachment; filename="usage-{iso(query.first)}-{iso(query.last)}.csv"',
        "x-rows": str(found),
    }
    if more is not None:
        headers["link"] = f'<{more}>; rel="next"'
    return Response(text, media_type="text/csv; charset=utf-8; header=present", headers=headers)


def _next(request: Request, offset: int | None) -> str | None:
    if offset is None:
        return None
    url = request.url.include_query_params(offset=offset)
    return f"{url.path}?{url.query}"
