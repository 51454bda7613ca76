"""What operators ask about money: usage, as JSON and CSV. Read next: ../usage/query.py, what may be asked.

Only on the admin listener: what a team spends is not for whoever holds one of its keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response

from gateway.spending import Spending
from gateway.usage.query import PARAMETERS, Query, parse
from gateway.usage.sums import iso
from gateway.usage.written import as_csv, as_json

__all__ = ["add_spending"]

_DESCRIBED: Final[dict[str, Any]] = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "description": what, "schema": {"type": "string"}}
        for name, what in PARAMETERS.items()
    ]
}


def add_spending(app: FastAPI, spending: Spending, guarded: Sequence[Any]) -> None:
    """Add the addresses to an application; ``guarded`` is what each of them depends on."""

    @app.get("/admin/usage", dependencies=guarded, openapi_extra=_DESCRIBED)
    async def usage(request: Request) -> Response:
        """What was used on some days, by organisation, team, key, user, model, route, feature or day."""
        query = parse(request.query_params.multi_items(), spending.today)
        answer = await spending.usage(query)
        if (query.format or _wanted(request)) == "csv":
            return _csv(as_csv(answer), query, answer.found, _next(request, answer.next_offset))
        return Response(msgspec.json.encode(as_json(answer)), media_type="application/json")


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
