"""Other gateways on the wall beside ours: ``make peers``. By hand: it installs them, and takes half an hour.

``python -m bench.peers FOLDER [NAME …]`` keeps in FOLDER what it installs and what was seen, judges the named gateways
(all of them when none is named), and writes the verdicts of all that were ever judged there into docs/faults.md.

Read next: contenders.py, what each is told; comparison.py, the table.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.comparison import Column, between_the_markers, table
from bench.contenders import CONTENDERS, KEY, Contender, NotInstalled
from bench.replica import free_port
from gateway import __version__

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "faults.md"
OURS, TITLE = "signalbox", "Signalbox"
KINDS: Final = {"streams": (), "json": ("--no-stream",)}
#: Until a gateway listens, in seconds: some load for long.
START_S: Final = 240.0


def main(arguments: Sequence[str]) -> int:
    """Judge and write. The exit status is 1 when a gateway could not be had or ours is below pass anywhere."""
    if not arguments or set(arguments[1:]) - {OURS, *CONTENDERS}:
        print(f"usage: python -m bench.peers FOLDER [{OURS} | {' | '.join(CONTENDERS)} …]", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    (folder / "results").mkdir(parents=True, exist_ok=True)
    missing = [name for name in arguments[1:] or (OURS, *CONTENDERS) if not judged(name, folder)]
    columns = list(kept(folder))
    if not columns:
        return 1
    between_the_markers(PAGE, [*table(columns), "", *facts()])
    print(f"{PAGE.relative_to(ROOT)} has {', '.join(column.name for column in columns)}")
    mine = columns[0] if columns[0].name.startswith(TITLE) else Column(TITLE, {}, {})
    return 1 if missing or {*mine.streams.values(), *mine.json.values()} - {"pass"} else 0


def judged(name: str, folder: Path) -> bool:
    """Judge one gateway in both ways and keep the verdicts; False, with a word of why, when it cannot be had."""
    try:
        title, seen = ours(folder) if name == OURS else theirs(CONTENDERS[name], folder / name)
    except NotInstalled as why:
        print(f"{name}: {why}", file=sys.stderr)
        return False
    verdicts = {kind: {one["id"]: one["verdict"] for one in told["results"]} for kind, told in seen.items()}
    result = folder / "results" / f"{name}.json"
    result.write_text(json.dumps({"name": title, **verdicts, "seen": seen}, indent=1), encoding="utf-8")
    return True


def ours(folder: Path) -> tuple[str, dict[str, Any]]:
    """Our own gateway, which the suite starts itself."""
    return f"{TITLE} {__version__}", {kind: suite(folder / f"{OURS}.json", *more) for kind, more in KINDS.items()}


def theirs(contender: Contender, folder: Path) -> tuple[str, dict[str, Any]]:
    """Another gateway, installed if need be, and started anew for each way."""
    title = f"{contender.name} {contender.install(folder)}"
    seen = {}
    for kind, more in KINDS.items():
        port, wall_port = free_port(), free_port()
        wall = f"http://127.0.0.1:{wall_port}/v1"
        headers = [f"--header={name}: {value}" for name, value in contender.headers(wall).items()]
        with running(contender, folder, port, wall):
            print(f"{title}:", flush=True)
            against = (f"--against=http://127.0.0.1:{port}/v1", f"--key={KEY}", f"--wall-port={wall_port}")
            seen[kind] = suite(folder / f"{kind}.json", *against, *headers, *more)
    return title, seen


def suite(into: Path, *more: str) -> dict[str, Any]:
    """All that the suite saw in the full profile. Raises NotInstalled when there was nothing to judge."""
    into.unlink(missing_ok=True)
    command = (sys.executable, "-m", "gateway", "bench", "faults", "--profile=full", f"--json={into}", *more)
    subprocess.run(command, cwd=ROOT, check=False)
    if not into.exists():
        raise NotInstalled("the suite found nothing to judge")
    told: dict[str, Any] = json.loads(into.read_text(encoding="utf-8"))
    return told


@contextmanager
def running(contender: Contender, folder: Path, port: int, wall: str) -> Iterator[None]:
    """The gateway in a process of its own, until the block is left. What it says is kept beside it."""
    log = folder / "gateway.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            contender.command(folder, port, wall),
            cwd=folder,
            env={**os.environ, **contender.environ},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        until_it_listens(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Raises NotInstalled when it ends or takes too long."""
    over_at = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < over_at:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise NotInstalled(f"it did not start; {log} says why")


def kept(folder: Path) -> Iterator[Column]:
    """What was ever judged there, ours first."""
    for name in (OURS, *CONTENDERS):
        result = folder / "results" / f"{name}.json"
        if result.exists():
            told = json.loads(result.read_text(encoding="utf-8"))
            yield Column(told["name"], told["streams"], told["json"])


def facts() -> Iterator[str]:
    """What the table is to be read with."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    yield "Written by `make peers`: `signalbox bench faults --profile full` before each, and again with `--no-stream`."
    yield "Two verdicts in a cell are streams / JSON. Provider, gateway and caller were on one machine, with Python"
    yield f"{platform.python_version()} and Node {node.removeprefix('v')}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
