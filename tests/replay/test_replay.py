"""Every recorded chat exchange that is OpenAI-shaped, replayed through a running gateway, over sockets on both sides.

Read next: whole.py, which says what must hold for each; docs/recordings.md, which has the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import pytest

from gateway.types import Exchange
from tests.gateway import Running, serving
from tests.recordings import Recording, load
from tests.replay.stage import request_of, world_of
from tests.replay.upstream import Upstream
from tests.replay.whole import ending_of, faults, is_repaired
from tests.replay.wire import Got, Wire

#: Connections that are kept alive, each with one request under way.
CONNECTIONS = 16
#: OpenAI-shaped chat exchanges in the recordings.
ALL = 1625
#: How many go over the second transport, unless ``make replay`` asks for all: the tests of each day must be quick.
SAMPLE = ALL if os.environ.get("SIGNALBOX_REPLAY") == "all" else 300


async def replay(recordings: Mapping[str, Recording], gateway: Running) -> dict[str, Got]:
    """What the client got for each recording. Neighbours come from different providers."""
    shuffled = random.Random(20261121).sample(sorted(recordings), len(recordings))
    got: dict[str, Got] = {}

    async def converse(ids: Sequence[str]) -> None:
        wire = await Wire.to(gateway.url)
        for number, id in enumerate(ids):
            body = json.dumps(request_of(recordings[id]), ensure_ascii=number % 2 == 0)
            try:
                async with asyncio.timeout(10):
                    got[id] = await wire.post(body.encode())
            except (TimeoutError, asyncio.IncompleteReadError) as error:
                raise AssertionError(f"{id}: no whole answer came: {error!r}") from error
        await wire.close()

    await asyncio.gather(*(converse(shuffled[start::CONNECTIONS]) for start in range(CONNECTIONS)))
    return got


def summary(recordings: Mapping[str, Recording], got: Mapping[str, Got], wrong: Sequence[str]) -> str:
    """The figures in one line."""
    not_whole = {fault.partition(":")[0] for fault in wrong}
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for id, recorded in recordings.items():
        ending = ending_of(recorded)
        if id in not_whole:
            counts["not whole"] += 1
        elif ending is not None:
            errors[f"{recorded.status} → {ending.status} {ending.code}"] += 1
        else:
            counts["repaired" if is_repaired(recorded, got[id]) else "whole"] += 1
    kinds = ", ".join(f"{n} {kind}" for kind, n in errors.most_common())
    return (
        f"replayed {len(got)}: whole {counts['whole']}, repaired {counts['repaired']}, "
        f"errors {errors.total()} ({kinds}), not whole {counts['not whole']}"
    )


def lines_of(gateway: Running) -> Counter[str]:
    """How many lines of the log each request has, by its id."""
    lines = [msgspec.json.decode(line) for line in gateway.said]
    return Counter(line["id"] for line in lines if line["event"] == "request")


def sample(size: int) -> dict[str, Recording]:
    """So many of the recordings, by id, and always the same; among them all that are errors."""
    found = {recorded.id: recorded for recorded in load()}
    errors = [id for id, recorded in found.items() if ending_of(recorded)]
    answers = [id for id in found if id not in errors]
    chosen = random.Random(size).sample(answers, min(size - len(errors), len(answers)))
    return {id: found[id] for id in (*errors, *chosen)}


@pytest.mark.parametrize(("transport", "size"), [("http1", ALL), ("httpx2", SAMPLE)])
async def test_every_recorded_exchange_comes_through_whole(
    transport: Literal["http1", "httpx2"], size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = sample(size)
    async with (
        Upstream(recordings) as upstream,
        serving(world_of(recordings.values(), upstream.url, transport)) as gateway,
    ):
        got = await replay(recordings, gateway)
        found: dict[str, Exchange | None] = {}
        for id, answer in got.items():
            found[id] = await gateway.app.find(answer.headers["x-gateway-decision-id"])
    wrong: list[str] = []
    for id, recorded in recordings.items():
        wrong += faults(recorded, got[id], upstream.asked[id], found[id])
    lines = lines_of(gateway)
    with capsys.disabled():
        print(f"\n{transport}: {summary(recordings, got, wrong)}")
    assert not wrong, "\n".join(wrong)
    assert len(got) == len(recordings) == size
    assert lines == {answer.headers["x-gateway-decision-id"]: 1 for answer in got.values()}
