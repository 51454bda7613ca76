"""Our own gateway before every fault of the wall, in the fast profile: nothing below pass, as streams and as JSON.

Read next: docs/faults.md; ``make faults-full`` is the same at full length.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT


async def bench(*options: str) -> tuple[int | None, str]:
    """The exit status of the command, and the table that it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "bench", "faults", *options), stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_sixteen_of_sixteen_and_fifteen_of_fifteen_pass_as_streams_and_as_json() -> None:
    for status, table in await asyncio.gather(bench(), bench("--no-stream")):
        assert table.splitlines()[-1] == "16 of 16 pass, 15 of 15 pass", table
        assert status == 0
