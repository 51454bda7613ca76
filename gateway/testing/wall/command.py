"""``signalbox bench faults``: the suite against our own gateway, or against any other.

Read next: suite.py, what is asked; own.py, our own gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.testing.wall.caller import Caller
from gateway.testing.wall.own import NotServing, config, own_gateway
from gateway.testing.wall.scenarios import PROFILES, SCENARIOS, Scenario
from gateway.testing.wall.server import Wall
from gateway.testing.wall.suite import AT_ONCE, Result, Suite
from gateway.testing.wall.table import as_json, lines, passed

__all__ = ["add_arguments", "run"]

#: Where the wall is for a gateway that has to be told beforehand.
WALL_PORT = 9099
OK, FAILED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--against", metavar="URL", help="base URL of a gateway that has the wall behind it; else ours")
    parser.add_argument("--key", default="none", help="what it takes for an API key")
    parser.add_argument(
        "--header",
        type=header,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="sent with every call; {model} and {fallback} in it are filled in",
    )
    parser.add_argument("--wall-port", type=int, metavar="N", help=f"default: {WALL_PORT}; before ours, a free one")
    parser.add_argument("--profile", choices=list(PROFILES), default="fast", help="fast divides all times by five")
    parser.add_argument("--no-stream", action="store_true", help="ask for JSON instead of streams")
    parser.add_argument("--only", type=scenarios, default=[*SCENARIOS.values()], metavar="IDS", help="as s01,x03")
    parser.add_argument("--repeat", type=positive, default=1, metavar="N", help="rounds")
    parser.add_argument(
        "--at-once", type=positive, default=AT_ONCE, metavar="N", help=f"scenarios at the same time; default: {AT_ONCE}"
    )
    parser.add_argument("--json", metavar="FILE", help="write all that was seen there")
    parser.add_argument("--show-config", action="store_true", help="print the configuration for ours, and end")


def scenarios(text: str) -> list[Scenario]:
    """Scenarios by their ids. Raises ArgumentTypeError for one that there is not."""
    ids = text.lower().split(",")
    if unknown := [name for name in ids if name not in SCENARIOS]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}")
    return [SCENARIOS[name] for name in ids]


def header(text: str) -> tuple[str, str]:
    """Name and value. Raises ArgumentTypeError."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not 'name: value'")
    return name.strip(), value.strip()


def positive(text: str) -> int:
    """A whole number above zero. Raises ArgumentTypeError."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Ask, judge, print. The exit status: 0 when everything passes, else 1."""
    if arguments.show_config:
        wall = f"http://127.0.0.1:{arguments.wall_port or WALL_PORT}/v1"
        print(config(wall, PROFILES[arguments.profile]), end="")
        return OK
    try:
        results = asyncio.run(judged(arguments))
    except (NotServing, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED
    print("\n".join(lines(results)))
    if arguments.json:
        about = {"against": arguments.against, "profile": arguments.profile, "stream": not arguments.no_stream}
        Path(arguments.json).write_text(json.dumps(as_json(results, about), indent=1), encoding="utf-8")
    return OK if passed(results) else FAILED


async def judged(arguments: argparse.Namespace) -> Sequence[Result]:
    """The results. Raises NotServing when there is nothing to judge, OSError when the wall's port is taken."""
    profile = PROFILES[arguments.profile]
    port = arguments.wall_port if arguments.wall_port is not None else WALL_PORT if arguments.against else 0
    async with (
        Wall(profile, port=port) as wall,
        before(wall, arguments.against) as url,
        Caller(url, arguments.key, dict(arguments.header)) as caller,
    ):
        suite = Suite(wall, caller, stream=not arguments.no_stream, at_once=arguments.at_once)
        how = "JSON" if arguments.no_stream else "streams"
        print(f"{url} before the wall at {wall.url}, {profile.name} profile, {how}", flush=True)
        if (down := await suite.ready()) is not None:
            raise NotServing(f"a call of the model 'healthy' at {url} fails ({down}): see docs/faults.md")
        return await suite.run(arguments.only, arguments.repeat)


@asynccontextmanager
async def before(wall: Wall, against: str | None) -> AsyncIterator[str]:
    """The base URL of what is judged."""
    if against is not None:
        yield against
        return
    async with own_gateway(config(wall.url, wall.profile)) as url:
        yield url
