"""`python -m gateway.testing`: a simulated provider to start by hand, for trials and load tests.

Read next: server.py, which it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import uvloop

from gateway.testing.faults import FAULTS
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider


def options(arguments: list[str]) -> argparse.Namespace:
    """The command line, read; it exits with 2 when it is wrong."""
    parser = argparse.ArgumentParser("python -m gateway.testing", description="A simulated OpenAI-compatible provider.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (the default)")
    parser.add_argument("--first", type=float, default=0.0, metavar="SECONDS", help="until the first token")
    parser.add_argument("--token", type=float, default=0.0, metavar="SECONDS", help="for each token after it")
    parser.add_argument("--words", type=int, default=None, help="length of an answer")
    parser.add_argument("--fault", default=None, choices=sorted(FAULTS), help="what goes wrong every time")
    return parser.parse_args(arguments)


async def serve(chosen: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM. The first line printed is the base URL."""
    script = Script(words=chosen.words, pace=Pace(chosen.first, chosen.token), fault=chosen.fault)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with SimulatedProvider(script, host=chosen.host, port=chosen.port, keep=0) as provider:
        print(provider.url, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(serve(options(sys.argv[1:])))
