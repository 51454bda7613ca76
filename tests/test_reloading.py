"""A hundred reloads under load: no request is lost, and no poisoned file takes over. Read next: config/test_watch.py.

R21: a real file, the real Watcher in a hurry, and clients that never stop asking. Every third file is poisoned.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import cycle
from pathlib import Path

from gateway.config.load import load, load_text
from gateway.config.watch import Watcher
from gateway.testing.script import Pace, Script
from gateway.testing.server import SimulatedProvider
from tests.gateway import BODY, Running, serving

RELOADS, CLIENTS = 100, 6

#: What is replaced in a good file, by what, and a word of the reason why it is refused. None: all of the file.
POISONS = (
    ("routes:", "routes: [\nroutes:", "not YAML"),
    ("pool: [a]", "pool: [aa]", "'aa'"),
    ("input: 1,", "input: .nan,", "finite"),
    ("routes:", "auth: off\nauth: on\nroutes:", "twice"),
    ("routes:", "rotes: []\nroutes:", "did you mean 'routes'"),
    ("output: 2", "output: -2", "output"),
    ("pool: [a]", "pool: ['a", "not YAML"),
    (None, "", "empty"),
    ("routes:", "aliases: {x: y, y: x}\nroutes:", "circle"),
    ("timeout: 30", "timeout: ${NOT_SET}", "NOT_SET"),
)


async def test_a_hundred_reloads_lose_no_request_and_no_poisoned_file_takes_over(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    async with SimulatedProvider(Script(words=3, pace=Pace(0.002, 0.002))) as provider:

        def good(n: int) -> str:
            return (
                f"providers: {{sim: {{kind: openai_compatible, base_url: {provider.url}, allow_private: true}}}}\n"
                "deployments: {a: {provider: sim, model: a, price: {input: 1, output: 2}}}\n"
                f"routes: [{{name: r, policy: {{pool: [a], timeout: 30{n:03}ms}}}}]\n"
            )

        put(file, good(0))
        world = load(str(file), {})
        async with serving(world) as gateway:
            watcher = Watcher(
                str(file), lambda: load(str(file), {}), gateway.app.swap, gateway.app.refuse, debounce_s=0.002
            )
            watching = asyncio.create_task(watcher.run(0.002))
            enough = asyncio.Event()
            clients = [asyncio.create_task(client(gateway, enough, stream=n % 2 == 0)) for n in range(CLIENTS)]
            poisons, version = cycle(POISONS), world.version
            for n in range(1, RELOADS + 1):
                if n % 3:
                    put(file, good(n))
                    version = load_text(good(n), {}).version
                    await until(gateway, version, problem="")
                else:
                    what, poison, word = next(poisons)
                    put(file, good(n).replace(what, poison) if what is not None else poison)
                    await until(gateway, version, problem=word)
            enough.set()
            answers = sum(await asyncio.gather(*clients), Counter())
            watching.cancel()
            asked = answers.total()
            records = await gateway.settled(min(asked, 1000))
            assert answers == {"whole": asked}
            assert asked > RELOADS
            assert {record.outcome for record in records} == {"ok"}
            assert len({record.world for record in records}) > 10, "requests were made under many of them"
            gateway.app._log.flush()
            reloads = Counter(line.split(b'"event":"')[1].split(b'"')[0] for line in gateway.said if b"config." in line)
            assert reloads == {b"config.loaded": RELOADS - RELOADS // 3, b"config.refused": RELOADS // 3}


def put(file: Path, text: str) -> None:
    """As editors and ConfigMaps do: written beside it, and turned over."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


async def until(gateway: Running, version: str, *, problem: str) -> None:
    """Wait until that World is in use, and this is what is wrong with the file: nothing, or one that holds a word."""
    async with asyncio.timeout(10):
        while True:
            state = gateway.app.configuration()
            problems = "".join(state["problems"])
            if state["version"] == version and bool(problems) == bool(problem) and problem in problems:
                return
            await asyncio.sleep(0.002)


async def client(gateway: Running, enough: asyncio.Event, *, stream: bool) -> Counter[str]:
    """Asks until it is enough; what it was answered."""
    seen: Counter[str] = Counter()
    while not enough.is_set():
        answer = await gateway.chat({**BODY, "stream": stream})
        whole = answer.text.endswith("data: [DONE]\n\n") if stream else "finish_reason" in answer.text
        seen["whole" if answer.status_code == 200 and whole else answer.text] += 1
    return seen
