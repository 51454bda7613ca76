"""The ``signalbox`` command. Read next: launch.py, for the commands that serve; commands/, for the others."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from gateway import __version__
from gateway.api.body import tags_of
from gateway.commands import budgets, keys, usage
from gateway.commands.dry_run import dry_run
from gateway.config.discover import Found, discover, simulated_world_parts
from gateway.config.load import check, json_schema, load, wants_discovery
from gateway.errors import ConfigError, GatewayError
from gateway.launch import Inherited, launch
from gateway.testing.wall import command as faults
from gateway.types import World
from gateway.workers import MOST, supervise

__all__ = ["main"]

DEFAULT_CONFIG: Final = "config/gateway.yaml"
OK, FAILED = 0, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line. The exit status is 0 for success, 1 when the command failed, 2 for a wrong call."""
    arguments = _parser().parse_args(argv)
    command: str = arguments.command
    try:
        status = {
            "run": _run,
            "demo": _demo,
            "check": _check,
            "schema": _schema,
            "explain": _explain,
            "keys": keys.run,
            "usage": lambda arguments: usage.run(arguments, _loaded),
            "budgets": lambda arguments: budgets.run(arguments, _loaded),
            "bench": faults.run,
        }[command](arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read has read enough, as `head` does. What Python flushes when it ends must have somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="signalbox", description="A gateway for LLM requests that explains itself.")
    parser.add_argument("--version", action="version", version=f"signalbox {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument("--config", default=DEFAULT_CONFIG, metavar="FILE", help=f"default: {DEFAULT_CONFIG}")

    run = commands.add_parser("run", parents=[config], help="serve")
    run.add_argument("--workers", type=_count, default=1, metavar="N", help="processes; more than one needs `state:`")
    run.add_argument("--worker", type=int, nargs=4, default=None, help=argparse.SUPPRESS)
    commands.add_parser("demo", parents=[config], help="serve with what is found here, else with simulated models")
    commands.add_parser("check", parents=[config], help="say everything that is wrong with a configuration")
    commands.add_parser("schema", help="print the JSON schema of configurations, for editors")
    dry = commands.add_parser("explain", parents=[config], help="say where a request would go, and why")
    dry.add_argument("prompt", nargs="?", default="Hello!", help="the user's message")
    dry.add_argument("--request", metavar="FILE", help="a whole request body as JSON instead; - for standard input")
    dry.add_argument("--model", default="auto", help="what the client names; default: auto")
    dry.add_argument("--key", metavar="ID", help="the virtual key that asks")
    dry.add_argument("--tags", default="", metavar="NAME=VALUE,…", help="as in the header x-gateway-tags")
    dry.add_argument("--user", metavar="NAME", help="the end user, as clients name them in `user`")
    dry.add_argument(
        "--budget-used",
        type=_share,
        metavar="SHARE",
        help="how much of its budgets is spent, as 0.9 or 90%%; default: 0",
    )
    keys.add_arguments(commands.add_parser("keys", help="make, change, rotate and revoke virtual keys"))
    what = "say what was used, of a gateway that runs"
    usage.add_arguments(commands.add_parser("usage", parents=[config], help=what))
    what = "say how budgets stand, of a gateway that runs"
    budgets.add_arguments(commands.add_parser("budgets", parents=[config], help=what))
    bench = commands.add_parser("bench", help="judge a gateway")
    named = bench.add_subparsers(dest="suite", required=True, metavar="suite")
    faults.add_arguments(named.add_parser("faults", help="by what it makes of providers that fail in 31 ways"))
    return parser


def _run(arguments: argparse.Namespace) -> int:
    path = arguments.config

    def read() -> World:
        return _loaded(path)

    if arguments.worker is not None:
        return launch(read, _quiet, path=path, worker=Inherited(*arguments.worker))
    if arguments.workers > 1:
        own = [sys.executable, "-m", "gateway", "run", "--config", path, "--worker"]
        return supervise(read, lambda *numbers: [*own, *map(str, numbers)], arguments.workers)
    return launch(read, _banner, path=path)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of workers from 1 to {MOST}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share of a budget, as 0.9 or 90%")
    return share


def _quiet(world: World, public: str, admin: str) -> None:
    """A worker's parent has said it all."""


def _demo(arguments: argparse.Namespace) -> int:
    """What is there serves; where nothing is, simulated models do, and every answer says so."""
    path = arguments.config
    found = asyncio.run(discover(os.environ))
    if not found:
        print("No provider key in the environment and no local model server: using simulated models.")
        found += simulated_world_parts()
    for line in found.lines:
        print(f"  found {line}")
    return launch(lambda: load(path, os.environ, found), _banner, path=path)


def _loaded(path: str) -> World:
    return load(path, os.environ, _found(path))


def _found(path: str) -> Found | None:
    """What discovery finds, if the configuration asks for it."""
    return asyncio.run(discover(os.environ)) if wants_discovery(path, os.environ) else None


def _banner(world: World, public: str, admin: str) -> None:
    what = f"{len(world.deployments)} deployments, {len(world.routes)} routes"
    print(f"Signalbox {__version__} · {what} · policy {world.version}")
    print(f"  clients  {public}/v1 (Anthropic's: {public})      operators  {admin}/metrics, {admin}/docs")
    print("  try      " + _example(world, public), flush=True)


def _example(world: World, public: str) -> str:
    key = " -H 'authorization: Bearer <key>'" if world.auth else ""
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]})
    return f"curl -i {public}/v1/chat/completions -H 'content-type: application/json'{key} -d '{body}'"


def _check(arguments: argparse.Namespace) -> int:
    found = _found(arguments.config)
    for line in found.lines if found is not None else ():
        print(f"  found {line}")
    problems = check(arguments.config, os.environ, found)
    for problem in problems:
        print(problem)
    errors = sum(problem.severity == "error" for problem in problems)
    if not errors:
        print(f"{arguments.config}: ok" + (f", {len(problems)} warnings" if problems else ""))
    return FAILED if errors else OK


def _schema(arguments: argparse.Namespace) -> int:
    print(json.dumps(json_schema(), indent=2))
    return OK


def _explain(arguments: argparse.Namespace) -> int:
    try:
        world = _loaded(arguments.config)
        body = _request(arguments)
        tags = tags_of(arguments.tags) if arguments.tags else {}
        lines = dry_run(world, body, key=arguments.key, tags=tags, user=arguments.user, used=arguments.budget_used)
    except (ConfigError, GatewayError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    print("\n".join(lines))
    return OK


def _request(arguments: argparse.Namespace) -> bytes:
    if arguments.request == "-":
        return sys.stdin.buffer.read()
    if arguments.request is not None:
        return Path(arguments.request).read_bytes()
    return msgspec.json.encode({"model": arguments.model, "messages": [{"role": "user", "content": arguments.prompt}]})
