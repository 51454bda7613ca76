"""``signalbox keys``: ``new`` by itself, everything else at the admin port of a running gateway.

Read next: ../keys/locksmith.py, who does it there; docs/keys.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from gateway.commands.admin import TOKEN_HELP, Admin, token_of
from gateway.config.expand import Expander
from gateway.config.source import parse
from gateway.errors import ConfigError, GatewayError, Problem
from gateway.keys.form import Pepper, is_run_time_id, mint

__all__ = ["add_arguments", "run"]

ADMIN: Final = "http://127.0.0.1:9464"
OK, FAILED, WRONG = 0, 1, 2
#: What a line of a list says of a key, in this order.
COLUMNS: Final = ("id", "source", "team", "enabled", "secrets", "expires", "problem")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    admin = argparse.ArgumentParser(add_help=False)
    admin.add_argument("--admin", default=ADMIN, metavar="URL", help=f"the admin port; default: {ADMIN}")
    admin.add_argument("--token", metavar="TOKEN", help=TOKEN_HELP)
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    new = actions.add_parser("new", help="make a key for the configuration, and print what goes there")
    new.add_argument("id", help="its name in the configuration, as team-a")
    create = actions.add_parser("create", parents=[admin], help="make a key at run time")
    create.add_argument("id", help="its name, as team-a")
    _add_terms(create)
    actions.add_parser("list", parents=[admin], help="list all keys")
    actions.add_parser("show", parents=[admin], help="show one").add_argument("id")
    change = actions.add_parser("set", parents=[admin], help="change what a key may do")
    change.add_argument("id")
    _add_terms(change)
    rotate = actions.add_parser("rotate", parents=[admin], help="make a new secret; the old one works on for a while")
    rotate.add_argument("id")
    end = rotate.add_mutually_exclusive_group()
    end.add_argument("--until", metavar="WHEN", help="when the old one ends, as 2027-01-31T12:00:00Z")
    end.add_argument("--retire", action="store_true", help="make none, but end the old one now")
    actions.add_parser("revoke", parents=[admin], help="let a key open nothing any more").add_argument("id")


def _add_terms(parser: argparse.ArgumentParser) -> None:
    what = (
        "as in the configuration: team=support 'models=[a, b]' 'budget={usd: 5, per: day}'; nothing behind = for none"
    )
    parser.add_argument("terms", nargs="*", metavar="NAME=VALUE", help=what)


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says; the exit status."""
    if arguments.action == "new":
        return _new(arguments.id)
    try:
        terms = _terms(getattr(arguments, "terms", ()))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return WRONG
    try:
        _ask(Admin(arguments.admin, token_of(arguments.token, os.environ)), arguments, terms)
    except GatewayError as error:
        print(error, file=sys.stderr)
        return FAILED
    return OK


def _new(id: str) -> int:
    if not is_run_time_id(id):
        print(f"{id!r} is no id for a key: use up to 32 of a-z, 0-9 and -", file=sys.stderr)
        return WRONG
    pepper = os.environ.get("KEY_PEPPER", "")
    key, digest = mint(id, Pepper(pepper))
    print(f"{key}\n\nGive this to the client now: it is not kept anywhere. Put this into the configuration:\n")
    print("pepper: ${KEY_PEPPER}" if pepper else "# without a pepper, since KEY_PEPPER is not set here")
    print(f"keys:\n  - id: {id}\n    secret_hash: {digest}")
    return OK


def _terms(written: Sequence[str]) -> dict[str, Any]:
    """What was written as YAML, by name. Raises ConfigError with what cannot be read."""
    terms = {}
    for one in written:
        name, is_said, value = one.partition("=")
        if not is_said:
            # Nothing behind the = takes a term out: to forget the = must not.
            raise ConfigError([Problem(one, 0, 0, "write NAME=VALUE", hint=f"{one}= for none")])
        root, problems = parse(f"{name}: {value}", one, Expander({}, _no_file))
        if problems or root is None:
            raise ConfigError(problems)
        terms.update(root.plain())
    return terms


def _no_file(path: str) -> str:
    raise FileNotFoundError(2, "not on a command line", path)


def _ask(admin: Admin, arguments: argparse.Namespace, terms: Mapping[str, Any]) -> None:
    """One call of the admin listener, and what it says. Raises GatewayError where it refuses."""
    action = arguments.action
    if action == "list":
        _list(admin.get("/admin/keys").json()["keys"])
        return
    address = f"/admin/keys/{quote(arguments.id, safe='')}"
    if action == "revoke":
        admin.ask("DELETE", address)
        print(f"Key {arguments.id} is revoked.")
    elif action == "show":
        _show(admin.get(address).json())
    elif action == "create":
        _show(admin.ask("POST", "/admin/keys", {"id": arguments.id, **terms}).json())
    elif action == "set":
        _show(admin.ask("PATCH", address, terms).json())
    elif arguments.retire:
        _show(admin.ask("POST", f"{address}/retire", {}).json())
    else:
        until = {"until": arguments.until} if arguments.until else {}
        _show(admin.ask("POST", f"{address}/rotate", until).json())


def _list(views: Sequence[Mapping[str, Any]]) -> None:
    rows = [COLUMNS, *([_word(view.get(name)) for name in COLUMNS] for view in views)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def _show(view: dict[str, Any]) -> None:
    """The key first, where there is a new one, so that a script can take the first line."""
    key = view.pop("key", None)
    said = f"{key}\n\nGive this to the client now: it is not kept anywhere.\n\n" if key is not None else ""
    print(said + json.dumps(view, indent=2))


def _word(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
