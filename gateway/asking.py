"""Commands that ask a gateway which runs, at its admin listener. Read next: api/admin.py, which answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlencode

import httpx2

from gateway.errors import GatewayError, Unavailable
from gateway.types import Secret, Server

__all__ = ["TOKEN_HELP", "Admin", "address_of", "csv_of_usage", "table_of_usage", "token_of"]

#: Variables that may hold the admin token, in this order.
VARIABLES: Final = ("SIGNALBOX_ADMIN_TOKEN", "ADMIN_TOKEN")
TOKEN_HELP: Final = f"what it asks for; default: ${VARIABLES[0]}, ${VARIABLES[1]}"

#: What a table shows beside what rows are told apart by: the column, and its heading.
SHOWN: Final = {
    "requests": "requests",
    "failed": "failed",
    "input_tokens": "tokens in",
    "output_tokens": "out",
    "cost_usd": "cost USD",
    "saving_usd": "saved USD",
}
PATIENCE_S: Final = 60.0
PAGE: Final = 10_000


class Admin:
    """The admin listener at ``url``, and the token it asks for. It is asked directly, past any proxy."""

    def __init__(self, url: str, token: Secret | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token.reveal()}"} if token is not None else {}

    def __repr__(self) -> str:
        return f"the admin listener at {self.url}"

    def get(self, path: str) -> httpx2.Response:
        """Its answer. Raises GatewayError with what it said, or that nobody is there."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx2.Response:
        """As ``get``, whatever the method, with a body as JSON."""
        send = partial(httpx2.request, method, f"{self.url}{path}", headers=self._headers, trust_env=False)
        try:
            answer = send(timeout=PATIENCE_S) if body is None else send(timeout=PATIENCE_S, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            hint = "Start it, or name its admin listener with --admin."
            raise Unavailable(f"No gateway answers at {self.url}: {error}. {hint}") from error
        if not answer.is_success:
            raise GatewayError(f"{self.url} refused: {_said(answer)}")
        return answer


def token_of(given: str | None, environ: Mapping[str, str]) -> Secret | None:
    """The token given on a command line, else that of the environment."""
    token = given or next(filter(None, map(environ.get, VARIABLES)), None)
    return Secret(token) if token else None


def address_of(server: Server) -> str:
    """Where the admin listener of a configuration can be reached from this machine."""
    host = server.admin_host
    with contextlib.suppress(ValueError):
        address = ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{server.admin_port}" if ":" in host else f"http://{host}:{server.admin_port}"


def csv_of_usage(admin: Admin, asked: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The answer as CSV, page after page, with one line of headings."""
    path = f"/admin/usage?{urlencode([*asked, ('format', 'csv'), ('limit', str(PAGE))])}"
    first = True
    while path:
        answer = admin.get(path)
        yield answer.text if first else answer.text.partition("\r\n")[2]
        first = False
        path = answer.links.get("next", {}).get("url", "")


def table_of_usage(admin: Admin, asked: Sequence[tuple[str, str]]) -> list[str]:
    """The answer as lines of a table: by day, then the dearest first."""
    rows: list[Mapping[str, Any]] = []
    offset: int | None = 0
    answer: dict[str, Any] = {}
    while offset is not None:
        page = urlencode([*asked, ("limit", str(PAGE)), ("offset", str(offset))])
        answer = admin.get(f"/admin/usage?{page}").json()
        rows += answer["rows"]
        offset = answer["next_offset"]
    by = answer["by"]
    rows.sort(key=lambda row: (row.get("day", ""), -row["cost_micros"]))
    cells = [[*(row[name] or "–" for name in by), *_figures(row)] for row in rows]
    total = [*("total" if n == 0 else "" for n in range(len(by))), *_figures(answer["totals"])]
    lines = _aligned([[*by, *SHOWN.values()], *cells, *([total] if by else [])], len(by))
    if answer["others"]:
        lines.append(f"{answer['others']} requests are those of `other`: too many end users or features in a day.")
    return [f"{answer['from']} to {answer['to']} (UTC)", *lines]


def _figures(row: Mapping[str, Any]) -> list[str]:
    return ["–" if row[name] is None else str(row[name]) for name in SHOWN]


def _aligned(table: Sequence[Sequence[str]], names: int) -> list[str]:
    """Names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if n < names else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _said(refused: httpx2.Response) -> str:
    try:
        return str(refused.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {refused.status_code}"
