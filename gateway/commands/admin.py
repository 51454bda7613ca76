"""The admin listener of a gateway which runs, as commands ask it. Read next: ../api/admin.py, which answers."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

import httpx2

from gateway.errors import GatewayError, Unavailable
from gateway.types import Secret, Server, World

__all__ = ["TOKEN_HELP", "Admin", "add_address", "address_of", "admin_of", "aligned", "token_of"]

#: Variables that may hold the admin token, in this order.
VARIABLES: Final = ("SIGNALBOX_ADMIN_TOKEN", "ADMIN_TOKEN")
TOKEN_HELP: Final = f"what it asks for; default: ${VARIABLES[0]}, ${VARIABLES[1]}"

PATIENCE_S: Final = 60.0


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


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add what names a gateway other than that of ``--config``."""
    parser.add_argument("--admin", metavar="URL", help="its admin listener, not the configuration's")
    parser.add_argument("--token", metavar="TOKEN", help=f"with --admin: {TOKEN_HELP}")


def admin_of(arguments: argparse.Namespace, load: Callable[[str], World]) -> Admin:
    """The gateway that a command line names. ``load`` reads a configuration, where no address is given."""
    if arguments.admin is not None:
        return Admin(arguments.admin, token_of(arguments.token, os.environ))
    server = load(arguments.config).server
    return Admin(address_of(server), server.admin_token)


def aligned(table: Sequence[Sequence[str]], names: int) -> list[str]:
    """A table as lines: names to the left, figures to the right."""
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
