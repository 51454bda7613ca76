"""Twenty seconds of everything at once against a real gateway process: ``make soak``. Read next: rig.py.

Two hundred clients ask one after the other, a third of them for streams; a fifth leave at some moment, a tenth of the
provider's answers fail in one way or another. Afterwards there must be one journal line for each request, nothing in
flight, no file descriptor and no connection more than before, and no traceback; else the exit status is 1.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.chaos.random_faults import REFUSES_KEYS
from gateway.testing.faults import FAULTS
from gateway.testing.script import Pace, Script, Scripts
from gateway.testing.server import SimulatedProvider

CLIENTS, SECONDS, SEED = 200, float(os.environ.get("SOAK_SECONDS", "20")), 7
HEALTHY = Script(words=30, pace=Pace(0.005, 0.002))


class Moody(Scripts):
    """One answer in ten goes wrong, each time in another way.

    But never so that the key is refused: the gateway would leave both accounts alone for minutes, and do nothing else.
    """

    def __init__(self, dice: random.Random) -> None:
        super().__init__(HEALTHY)
        self._dice = dice
        self._faults = sorted(FAULTS.keys() - REFUSES_KEYS)

    def take(self, model: str, now: float) -> Script:
        if self._dice.random() >= 0.1:
            return HEALTHY
        return Script(words=30, pace=HEALTHY.pace, fault=self._dice.choice(self._faults))


class Client:
    """Asks, one request after the other, over raw sockets, so that leaving is a closed connection and nothing else."""

    def __init__(self, port: int, dice: random.Random, seen: Counter[str], times: list[float]) -> None:
        self._port, self._dice, self._seen, self._times = port, dice, seen, times

    async def run(self, until: float) -> None:
        """Ask until then (monotonic seconds)."""
        while time.monotonic() < until:
            leaves_after = self._dice.uniform(0, 0.15) if self._dice.random() < 0.2 else 60.0
            stream = self._dice.random() < 0.3
            asked_at = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                writer.write(request(stream))
                self._seen["asked"] += 1
                answer = await asyncio.wait_for(reader.read(-1), leaves_after)
            except TimeoutError:
                self._seen["left"] += 1
            except ConnectionError:
                self._seen["reset"] += 1
            else:
                self._seen[kind_of(answer, stream)] += 1
                self._times.append(time.monotonic() - asked_at)
            finally:
                writer.close()


def request(stream: bool) -> bytes:
    body = json.dumps({"model": "auto", "stream": stream, "messages": [{"role": "user", "content": "Hello!"}]}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def kind_of(answer: bytes, stream: bool) -> str:
    """``whole``, ``broken`` for a stream that says so, the status of an error, or what must not be."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head[9:12].decode()
    if status != "200":
        return f"error {status}"
    if not stream:
        return "whole" if json.loads(body)["choices"][0]["finish_reason"] else "WRONG: no finish reason"
    if not body.endswith(b"0\r\n\r\n"):
        return "WRONG: cut"
    if b"data: [DONE]" in body:
        return "whole"
    return "broken" if b'data: {"error"' in body else "WRONG: neither done nor an error"


async def soak(directory: Path) -> int:
    """Run it, print what was seen and which promises were kept. The exit status."""
    dice = random.Random(SEED)
    provider = SimulatedProvider(keep=1)
    provider.scripts = Moody(dice)
    async with provider:
        journal = directory / "journal"
        config = directory / "gateway.yaml"
        account = (
            f"{{kind: openai_compatible, base_url: {provider.url}, allow_private: true,"
            " timeouts: {connect: 1s, first_byte: 1s, stall: 1s}}"
        )
        config.write_text(
            f"providers: {{one: {account}, two: {account}}}\n"
            "deployments: {a: {provider: one, model: a}, b: {provider: two, model: b}}\n"
            "routes: [{name: r, policy: {pool: [a], fallback: [b]}}]\n"
            f"server: {{port: 0, admin_port: 0, drain_delay: 0s}}\njournal: {{path: {journal}}}\n"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "run", "--config", str(config),
            stdout=subprocess.PIPE, stderr=(directory / "stderr").open("wb"),
        )  # fmt: skip
        assert process.stdout is not None
        said = b"".join([await process.stdout.readline() for _ in range(3)]).decode()
        public, admin = dict.fromkeys(int(port) for port in re.findall(r"http://127.0.0.1:(\d+)", said))
        proc = Path(f"/proc/{process.pid}")
        seen: Counter[str] = Counter()
        times: list[float] = []
        await Client(public, dice, Counter(), []).run(time.monotonic() + 0.001)
        await asyncio.sleep(1)
        first = len(journal.read_bytes().splitlines())
        before = open_files(proc)
        print(f"before: {before} open files, {memory_mb(proc)} MB")
        until = time.monotonic() + SECONDS
        await asyncio.gather(*[Client(public, dice, seen, times).run(until) for _ in range(CLIENTS)])
        await asyncio.sleep(1.5)
        metrics = await scrape(admin)
        after, pooled = open_files(proc), len(provider.connections)
        print(f"after: {after} open files, {pooled} of them to the provider, {memory_mb(proc)} MB")
        process.send_signal(signal.SIGTERM)
        status = await process.wait()
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()][first:]
    times.sort()
    print(f"{seen['asked']} requests in {SECONDS:g} s, {dict(sorted(seen.items()))}")
    print(f"outcomes: {dict(Counter(line['outcome'] for line in lines))}")
    median, most = times[len(times) // 2], times[len(times) * 99 // 100]
    print(f"latency: median {median:.3f} s, p99 {most:.3f} s, max {times[-1]:.3f} s")
    stderr = (directory / "stderr").read_bytes()
    promises = {
        "the process ended well": status == 0,
        "most were answered in full": seen["whole"] > 0.5 * (seen["asked"] - seen["left"]),
        "one line for each request": len(lines) == len({line["id"] for line in lines}) == seen["asked"],
        "nothing in flight": inflight(metrics) == 0,
        "no file left open": after - pooled <= before,
        "no traceback": b"Traceback" not in stderr,
        "no wrong success": not any(kind.startswith("WRONG") for kind in seen) and not seen["reset"],
        "no defect of ours": not any(line["outcome"] == "gateway_error" for line in lines),
    }
    for promise, kept in promises.items():
        print(f"{'kept  ' if kept else 'BROKEN'} {promise}")
    if not all(promises.values()):
        print(b"\n".join(x for x in stderr.splitlines() if not x.startswith(b"{"))[:4000].decode())
    return 0 if all(promises.values()) else 1


async def scrape(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n")
    text = (await reader.read(-1)).decode()
    writer.close()
    return text


def inflight(metrics: str) -> float:
    found = re.search(r"^gateway_\w*inflight\w* ([\d.]+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else -1.0


def open_files(proc: Path) -> int:
    return len(list((proc / "fd").iterdir()))


def memory_mb(proc: Path) -> int:
    resident = re.search(r"VmRSS:\s+(\d+)", (proc / "status").read_text())
    return int(resident[1]) // 1024 if resident else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(asyncio.run(soak(Path(directory))))
