"""`python -m tests.conformance FOLDER [JUDGE …]`: asks outside judges; ends with 1 when one of them is not content.

Read next: checks.py, own_tests.py, verdicts.py, translation.py, requests.py, pairs.py and clients.py, the judges.
FOLDER keeps what was installed for the next time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.conformance import clients, requests, translation
from tests.conformance.own_tests import judge
from tests.conformance.pairs import pairs
from tests.conformance.running import ROOT, gateway, steady
from tests.conformance.stage import ENVIRON, stage
from tests.conformance.verdicts import verdicts
from tests.conformance.workshop import Missing, Sdk, fetch_llmock, fetch_sdk, fetch_steady
from tests.recordings import recorded

#: The newest release of each major when this was last looked at.
RELEASES: Final = ("2.54.0", "3.52.0")
#: How many findings of one kind are printed.
SHOWN: Final = 20
SHARED: Final = Path(os.environ.get("SIGNALBOX_SHARED", ROOT.parent / "shared"))
SPEC: Final = SHARED / "specs" / "openai-openapi-chat-embeddings-models.relaxed.json"


class Tally:
    """The lines said so far, by their first word."""

    def __init__(self) -> None:
        self.counts = {"ok": 0, "FAILED": 0, "skipped": 0}

    def say(self, word: str, line: str) -> None:
        """One judgement."""
        self.counts[word] += 1
        print(f"{word:<7} {line}", flush=True)


async def main(folder: Path, judges: Sequence[str]) -> int:
    """The named judges, or all. The exit status."""
    tally = Tally()
    for name in judges or JUDGES:
        await JUDGES[name](folder, tally)
    counts = tally.counts
    print(f"{counts['ok']} ok, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] else 0


async def sdks(folder: Path, tally: Tally) -> None:
    """OpenAI's SDK in its majors, and its own tests."""
    for version in RELEASES:
        try:
            sdk = await fetch_sdk(version, folder)
        except Missing as why:
            tally.say("skipped", f"openai {version}: {why}")
            continue
        await promises(sdk, tally)
        await own(sdk, folder, tally)


async def provider(folder: Path, tally: Tally) -> None:
    """llmock, as the provider."""
    try:
        command = await fetch_llmock(folder)
    except Missing as why:
        tally.say("skipped", f"llmock: {why}")
        return
    async for one in verdicts(command):
        tally.say("FAILED" if one.found else "ok", f"llmock: {one.fault.name}: {one.tries} tries; {one.ended}")
        for found in one.found:
            print(f"        {found}", flush=True)


async def translated(folder: Path, tally: Tally) -> None:
    """The SDKs of other providers, about what is translated: answers, then requests."""
    recordings = list(recorded())
    if not recordings or not SPEC.exists():
        tally.say("skipped", "translation: no recorded traffic or no schema (SIGNALBOX_SHARED names the folder above)")
        return
    try:
        results = [*await translation.judged(recordings, folder), *await requests.judged(recordings, folder)]
    except Missing as why:
        tally.say("skipped", f"translation: {why}")
        return
    for one in results:
        tally.say("FAILED" if one.wrong else "ok", str(one))
        for line in one.wrong[:SHOWN]:
            print(f"        {line}", flush=True)
        if len(one.wrong) > SHOWN:
            print(f"        … and {len(one.wrong) - SHOWN} more", flush=True)


async def others(folder: Path, tally: Tally) -> None:
    """Clients that others wrote, before aimock in every protocol."""
    try:
        async for word, line in clients.judged(folder):
            tally.say(word, line) if word in tally.counts else print(f"        {line}", flush=True)
    except Missing as why:
        tally.say("skipped", f"clients: {why}")


JUDGES: Final[Mapping[str, Callable[[Path, Tally], Awaitable[None]]]] = {
    "openai": sdks,
    "llmock": provider,
    "translation": translated,
    "pairs": pairs,
    "clients": others,
}


async def promises(sdk: Sdk, tally: Tally) -> None:
    """checks.py under this SDK."""
    async with stage() as play, gateway(play.config, ENVIRON) as url:
        process = await asyncio.create_subprocess_exec(
            *(str(sdk.python), str(ROOT / "tests" / "conformance" / "checks.py"), url, play.seen),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        heard = 0
        async for line in process.stdout:
            heard += 1
            word, _, rest = line.decode().rstrip().partition(" ")
            tally.say(word, rest.strip()) if word in tally.counts else print(line.decode().rstrip())
        if await process.wait() not in (0, 1) or not heard:
            tally.say("FAILED", f"openai {sdk.version}: checks.py ended with {process.returncode}")


async def own(sdk: Sdk, folder: Path, tally: Tally) -> None:
    """The SDK's own tests."""
    name = f"openai {sdk.version}: its own tests"
    try:
        if not SPEC.exists():
            raise Missing(f"{SPEC.name} is not there (SIGNALBOX_SHARED names the folder above it)")
        command = await fetch_steady(folder)
    except Missing as why:
        tally.say("skipped", f"{name}: {why}")
        return
    async with steady(command, SPEC) as upstream:
        result = await judge(sdk, upstream)
    passed = f"{len(result.direct)} of {result.asked} pass directly, {len(result.through)} through the gateway"
    tally.say("ok" if result.content else "FAILED", f"{name}: {passed}; {result.left_out} left out")
    for test in result.lost:
        print(f"        only through the gateway: {test}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]).resolve(), sys.argv[2:])))
